//! What follows from a call's outcome: counters, a line in the log, parking, and calls that yield.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pool;
use crate::plugin::error::Failure;
use crate::plugin::identity::Identity;
use crate::plugin::parking::Permission;
use crate::plugin::time;

impl Pool {
    /// Whether the plugin may be called; and with what, if that is a probe.
    pub(super) fn permission(&self) -> Result<Option<Probe>, Failure> {
        let identity = &self.definition.identity;
        if !identity.parking.concerns() {
            return Ok(None);
        }
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
    pub(super) fn judge(
        &self,
        failure: Option<&Failure>,
        call: &'static str,
        probe: Option<Probe>,
    ) {
        let Some(failure) = failure else {
            if let Some(identity) = probe.and_then(Probe::over) {
                tracing::info!(plugin = &*identity.name, "answers again, no longer parked");
                identity.parking.recovered();
                identity.metrics.unpark();
            }
            return;
        };
        self.count(failure);
        self.note(failure, call);
        let identity = &self.definition.identity;
        if matches!(failure, Failure::TimedOut { .. }) {
            identity.yields.store(true, Ordering::Relaxed);
        }
        let (probes, now) = (probe.and_then(Probe::over).is_some(), time::since_start());
        let pause = if probes {
            Some(identity.parking.probe_failed(now))
        } else if failure.parks() {
            identity.parking.failed(now).inspect(|_| identity.metrics.park())
        } else {
            None
        };
        if let Some(pause) = pause {
            let (plugin, version) = (&*identity.name, &*identity.version);
            tracing::warn!(plugin, version, "failed repeatedly, and is not called for {pause:?}");
        }
    }

    /// Draws the consequences of an answer that cannot be followed.
    pub(in crate::plugin) fn unfit(&self, failure: &Failure, call: &'static str) {
        self.judge(Some(failure), call, None);
    }

    fn count(&self, failure: &Failure) {
        let metrics = &self.definition.identity.metrics;
        match failure.index() {
            Some(cause) => metrics.failure(self.worker, cause),
            None => metrics.busy(self.worker),
        }
    }

    /// Logs a failure, once a second for each kind.
    fn note(&self, failure: &Failure, call: &'static str) {
        let identity = &self.definition.identity;
        if !identity.failure_gate(failure).pass(time::since_start(), 1) {
            return;
        }
        let (plugin, version) = (&*identity.name, &*identity.version);
        let cause = failure.report();
        tracing::warn!(plugin, version, call, "{cause}");
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
