//! Waiting: what becomes of a request or a connection while every endpoint that it could go to has as many in
//! flight as it may.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::{Instant, timeout};

use super::{Choosing, Notes, Tried};
use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::cluster::queue::Place;
use crate::metrics::Queued;
use crate::relay::error::{Error, Limit};

/// How long it takes to look again at endpoints that were offline, where there are any.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long somebody has waited for endpoints.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    total: Option<Duration>,
    since: Option<Instant>,
}

impl Waited {
    /// It waits no more.
    pub(crate) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.total = Some(self.total.unwrap_or_default() + since.elapsed());
        }
    }

    /// All of it, up to the last time that it ended; none if nobody had to wait.
    pub(crate) fn total(&self) -> Option<Duration> {
        self.total
    }
}

/// A place in the cluster's queue. It is kept until an attempt begins, so that whoever asks its
/// balancers in vain has lost nothing.
#[derive(Debug)]
pub(super) struct Waiting {
    place: Place,
    _counted: Queued,
}

impl Choosing<'_> {
    /// Waits until one of the endpoints that were passed over has room, or fails as `gone` does. Then it is
    /// chosen anew, as if nobody had been passed over: of those that balancers know to be tried, `tried_ids`,
    /// there stay those that an attempt has failed at.
    pub(super) async fn wait(
        &mut self,
        tried_ids: &mut SmallVec<[u32; 4]>,
        notes: &mut impl Notes,
        gone: impl Future<Output = Error>,
    ) -> Result<(), Error> {
        let Tried { full, passed_over, last, .. } = mem::take(&mut self.tried);
        if let Some(error) = last {
            notes.retry_after(&error);
        }
        // Somebody else may want what this one could not use.
        *notes.in_flight() = None;
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => self.join(notes)?,
        };
        let waited = notes.waited();
        let before = waited.total().unwrap_or_default();
        waited.since = Some(Instant::now());
        let slot = self.slot(&waiting.place, (&full, before), gone).await;
        notes.waited().end();
        self.waiting = Some(waiting);
        let slot = slot?;
        let id = slot.as_ref().map(|slot| slot.endpoint().id());
        // One that was down has a slot to offer when it is back.
        tried_ids.retain(|tried| Some(*tried) != id && !passed_over.contains(tried));
        // Balancers take the first for one before which nobody was tried.
        self.tried.asked = u32::try_from(tried_ids.len()).unwrap_or(u32::MAX);
        *notes.in_flight() = slot;
        Ok(())
    }

    fn join(&self, notes: &impl Notes) -> Result<Waiting, Error> {
        let (cluster, metrics) = (&self.cluster.cluster, &self.cluster.metrics);
        let settings = cluster.settings();
        let Some(place) = cluster.queue().join(settings.max_queue) else {
            metrics.queue_full(self.worker.index);
            return Err(Error::QueueFull(Limit::max_queue(&settings.name, settings.max_queue)));
        };
        let (id, waiting) = (notes.id(), cluster.queue().waiting());
        tracing::trace!(%id, cluster = &**cluster.name(), waiting, "queued");
        Ok(Waiting { place, _counted: metrics.queued(self.worker.index) })
    }

    /// A slot at one of the endpoints that were full, for somebody who has waited so long `before`. None if it
    /// is time to look at the others again: nobody is told when an offline time has elapsed, or when those
    /// that are left go offline as well.
    async fn slot(
        &self,
        place: &Place,
        (full, before): (&[Arc<Endpoint>], Duration),
        gone: impl Future<Output = Error>,
    ) -> Result<Option<InFlight>, Error> {
        let settings = self.cluster.cluster.settings();
        let patience = settings.queue_timeout;
        let left = patience.saturating_sub(before);
        let mut slot = pin!(place.wait(full));
        let mut gone = pin!(gone);
        let either = poll_fn(|context| match slot.as_mut().poll(context) {
            Poll::Ready(slot) => Poll::Ready(Ok(slot)),
            Poll::Pending => gone.as_mut().poll(context).map(Err),
        });
        let (_, out) = self.cluster.cluster.census();
        let look = if out > 0 { left.min(LOOK_AGAIN) } else { left };
        match timeout(look, either).await {
            Ok(Ok(slot)) => Ok(Some(slot)),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) if look < left => Ok(None),
            Err(_elapsed) => {
                self.cluster.metrics.queue_timeout(self.worker.index);
                let limit = Limit::of_cluster(&settings.name, "queue-timeout", patience);
                Err(Error::QueueTimeout(limit))
            }
        }
    }
}
