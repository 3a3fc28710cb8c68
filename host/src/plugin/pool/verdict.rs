//! What follows from a call's outcome: counters, a line in the log, parking, and calls that yield.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::field::{DisplayValue, display};

use super::Pool;
use crate::log::id::RequestId;
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::identity::Identity;
use crate::plugin::parking::Permission;
use crate::plugin::time;

impl Pool {
    /// Whether the plugin may be called; and with what, if that is a probe.
    #[inline]
    pub(super) fn permission(&self) -> Result<Option<Probe>, Failure> {
        match self.definition.identity.parking.concerns() {
            false => Ok(None),
            true => self.permission_of_parked(),
        }
    }

    fn permission_of_parked(&self) -> Result<Option<Probe>, Failure> {
        let identity = &self.definition.identity;
        match identity.parking.permission(time::since_start()) {
            Permission::Call => Ok(None),
            Permission::Probe => Ok(Some(Probe(Some(Arc::clone(identity))))),
            Permission::Parked => {
                // Counted, but no news.
                self.count(&Failure::Parked);
                Err(Failure::Parked)
            }
        }
    }

    /// Draws the consequences of a call's outcome.
    pub(super) fn judge(&self, failure: Option<&Failure>, about: About<'_>, probe: Option<Probe>) {
        let (id, listener) = about.request();
        let Some(failure) = failure else {
            if let Some(identity) = probe.and_then(Probe::over) {
                let (plugin, version) = (&*identity.given.name, &*identity.given.version);
                tracing::info!(plugin, version, id, listener, "answers again, no longer parked");
                identity.unpark();
            }
            return;
        };
        self.count(failure);
        self.note(failure, about);
        let identity = &self.definition.identity;
        if matches!(failure, Failure::TimedOut { .. }) {
            identity.yields.store(true, Ordering::Relaxed);
        }
        let (probes, now) = (probe.and_then(Probe::over).is_some(), time::since_start());
        let pause = if probes {
            identity.parking.probe_failed(now)
        } else if failure.parks() {
            identity.parking.failed(now).inspect(|_| identity.given.metrics.park())
        } else {
            None
        };
        if let Some(pause) = pause {
            let (plugin, version) = (&*identity.given.name, &*identity.given.version);
            let cause = failure.words();
            let text = "failed repeatedly, and is not called";
            tracing::warn!(plugin, version, id, listener, last = cause, "{text} for {pause:?}");
        }
    }

    /// Draws the consequences of an answer that cannot be followed.
    pub(in crate::plugin) fn unfit(&self, failure: &Failure, about: About<'_>) {
        self.judge(Some(failure), about, None);
    }

    pub(super) fn count(&self, failure: &Failure) {
        let metrics = &self.definition.identity.given.metrics;
        match failure.index() {
            Some(cause) => metrics.failure(self.worker, cause),
            None => metrics.busy(self.worker),
        }
        let tally = &self.definition.identity.tally;
        if tally.is_watched() && !matches!(failure, Failure::GivenUp(_)) {
            tally.failure();
        }
    }

    /// Logs a failure, once a second for each kind.
    fn note(&self, failure: &Failure, about: About<'_>) {
        let identity = &self.definition.identity;
        if !identity.failure_gate(failure).pass(time::since_start(), 1) {
            return;
        }
        let (plugin, version) = (&*identity.given.name, &*identity.given.version);
        let ((id, listener), call) = (about.request(), about.call);
        let cause = failure.report();
        tracing::warn!(plugin, version, call, id, listener, "{cause}");
    }
}

/// Which call an outcome is of.
#[derive(Clone, Copy)]
pub(in crate::plugin) struct About<'a> {
    /// The function.
    pub(in crate::plugin) call: &'static str,
    /// The request, if it was about one.
    pub(in crate::plugin) exchange: Option<&'a Exchange>,
}

impl<'a> About<'a> {
    /// The making of an instance.
    pub(super) const BIRTH: Self = Self { call: "birth", exchange: None };

    /// The request's id and listener.
    fn request(&self) -> (Option<DisplayValue<&'a RequestId>>, Option<&'a str>) {
        let id = self.exchange.map(|exchange| display(&exchange.trail.id));
        (id, self.exchange.map(|exchange| &*exchange.connection.listener))
    }
}

/// The leave to call a parked plugin once. Whoever drops it unused leaves it to the next.
pub(super) struct Probe(Option<Arc<Identity>>);

impl Probe {
    /// The probe has been made.
    fn over(mut self) -> Option<Arc<Identity>> {
        self.0.take()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(identity) = &self.0 {
            identity.parking.release();
        }
    }
}
