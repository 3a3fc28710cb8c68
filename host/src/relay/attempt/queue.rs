//! Waiting: what becomes of a request while every endpoint that it could go to has as many in flight
//! as it may.

use std::future::{pending, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http_body::Body as _;
use smallvec::SmallVec;
use tokio::time::{Duration, timeout};

use super::Attempts;
use crate::body::{Upload, UploadError};
use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::cluster::queue::Place;
use crate::metrics::Queued;
use crate::relay::choice::Tried;
use crate::relay::error::{Error, Limit};

/// How long a request waits until it looks again at endpoints that were offline, where there are any.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A place in the cluster's queue. It is kept until an attempt begins, so that whoever asks its
/// balancers in vain has lost nothing.
pub(super) struct Waiting {
    place: Place,
    _counted: Queued,
}

impl Attempts<'_> {
    /// Waits until one of the endpoints that were passed over has room. Then it is chosen anew, as if
    /// nobody had been passed over: of those that balancers know to be tried, `tried_ids`, there stay
    /// those that an attempt has failed at.
    pub(super) async fn wait(
        &mut self,
        waiting: &mut Option<Waiting>,
        tried: &mut Tried,
        tried_ids: &mut SmallVec<[u32; 4]>,
    ) -> Result<(), Error> {
        let Tried { full, passed_over, last, .. } = mem::take(tried);
        if let Some(error) = last {
            self.record.retry_after(&error);
        }
        // Somebody else may want what this one could not use.
        self.record.in_flight = None;
        let waiting = match waiting {
            Some(waiting) => waiting,
            None => waiting.insert(self.join()?),
        };
        self.record.queue_begins();
        let waited = self.slot(&waiting.place, &full).await;
        self.record.queue_ends();
        let slot = waited?;
        let id = slot.as_ref().map(|slot| slot.endpoint().id());
        // One that was down has a slot to offer when it is back.
        tried_ids.retain(|tried| Some(*tried) != id && !passed_over.contains(tried));
        // Balancers take the first for one before which nobody was tried.
        tried.asked = u32::try_from(tried_ids.len()).unwrap_or(u32::MAX);
        self.record.in_flight = slot;
        Ok(())
    }

    fn join(&self) -> Result<Waiting, Error> {
        let cluster = &self.cluster.cluster;
        let settings = cluster.settings();
        let (metrics, worker) = (&self.cluster.metrics, self.worker.index);
        let Some(place) = cluster.queue().join(settings.max_queue) else {
            metrics.queue_full(worker);
            return Err(Error::QueueFull(Limit::max_queue(&settings.name, settings.max_queue)));
        };
        self.tell_queued(cluster.queue().waiting());
        Ok(Waiting { place, _counted: metrics.queued(worker) })
    }

    /// A slot at one of the endpoints that were full. None if it is time to look at the others again:
    /// nobody is told when an offline time has elapsed, or when those that are left go offline as well.
    async fn slot(&self, place: &Place, full: &[Arc<Endpoint>]) -> Result<Option<InFlight>, Error> {
        let settings = self.cluster.cluster.settings();
        let patience = settings.queue_timeout;
        let left = patience.saturating_sub(self.record.queued());
        let mut slot = pin!(place.wait(full));
        let mut client = pin!(fails(self.upload));
        let either = poll_fn(|context| match slot.as_mut().poll(context) {
            Poll::Ready(slot) => Poll::Ready(Ok(slot)),
            Poll::Pending => client.as_mut().poll(context).map(Err),
        });
        let (_, out) = self.cluster.cluster.census();
        let look = if out > 0 { left.min(LOOK_AGAIN) } else { left };
        match timeout(look, either).await {
            Ok(Ok(slot)) => Ok(Some(slot)),
            Ok(Err(error)) => Err(self.of_client(&error)),
            Err(_elapsed) if look < left => Ok(None),
            Err(_elapsed) => {
                self.cluster.metrics.queue_timeout(self.worker.index);
                let limit = Limit::of_cluster(&settings.name, "queue-timeout", patience);
                Err(Error::QueueTimeout(limit))
            }
        }
    }

    fn of_client(&self, error: &UploadError) -> Error {
        let (listener, received) = (&self.listener.settings, self.upload.received_bytes());
        match error {
            UploadError::TooLarge => Error::TooLarge(Limit::max_body_bytes(listener)),
            UploadError::Silent => {
                let limit = Limit::body_timeout(&listener.name, listener.body_timeout);
                Error::ClientSilent(received, limit)
            }
            UploadError::Slow => Error::ClientSlow(received, Limit::min_body_rate(listener)),
            UploadError::Malformed(fault) => Error::Request(*fault, None),
            UploadError::Broken(_) | UploadError::Gone => Error::ClientGone(received),
        }
    }
}

/// Ends when the client fails within its body. As long as nobody reads that, nobody hears either
/// that it has gone; so what can be kept of it is read.
async fn fails(upload: &Upload) -> UploadError {
    if upload.fits() {
        let mut body = upload.body();
        loop {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => break,
            }
        }
    }
    pending().await
}
