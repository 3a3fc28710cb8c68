//! Connections that a listener turns away: each is counted, and for each reason one a second is told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::{self, Name};
use crate::log::gate::Gate;
use crate::metrics::{ListenerMetrics, Refusal};
use crate::socket::bind::{Bind, ShownPeer};

/// Lines about each reason a second.
const RATE: u32 = 1;

/// Where a listener's connections are turned away, by whichever thread.
pub struct Door {
    /// The listener's name.
    pub listener: Name,
    /// Where it listens.
    pub bind: Bind,
    /// Where it counts.
    pub metrics: Arc<ListenerMetrics>,
    begun: Instant,
    gates: [Gate; Refusal::ALL.len()],
}

impl Door {
    /// That of a listener.
    #[must_use]
    pub fn new(settings: &config::Listener, metrics: Arc<ListenerMetrics>) -> Self {
        let (listener, bind) = (Arc::clone(&settings.name), settings.bind.clone());
        Self { listener, bind, metrics, begun: Instant::now(), gates: Default::default() }
    }

    /// Turns a connection away, which its worker drops then.
    pub fn refuse(
        &self,
        worker: usize,
        peer: Option<SocketAddr>,
        refusal: Refusal,
        reason: &dyn fmt::Display,
    ) {
        self.metrics.refused(worker, refusal);
        let gate = self.gates.get(refusal.index());
        if gate.is_some_and(|gate| gate.pass(self.begun.elapsed(), RATE)) {
            let (listener, client) = (&*self.listener, ShownPeer(peer));
            tracing::warn!(listener, %client, "connection refused: {reason}");
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Door").field(&self.listener).finish()
    }
}
