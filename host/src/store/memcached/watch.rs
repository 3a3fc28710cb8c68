//! What is told of a server: its figures, and a line of the log for each kind of trouble a second.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::lane::Trouble;
use super::outage::Change;
use crate::config::{Address, Name};
use crate::log::gate::Gate;
use crate::metrics::{ServerMetrics, StoreMetrics};

/// Lines of each kind a second.
const RATE: u32 = 1;

/// Who is told about one server, by all workers.
pub(crate) struct Watch {
    /// Its figures.
    pub(super) metrics: Arc<ServerMetrics>,
    store: Name,
    server: String,
    begun: Instant,
    gates: [Gate; Trouble::KINDS],
    refusals: Gate,
    recoveries: Gate,
}

impl Watch {
    /// For a server of a store.
    pub(crate) fn new(store: &Name, address: &Address, metrics: &StoreMetrics) -> Self {
        let server = address.to_string();
        Self {
            metrics: metrics.server(&server),
            store: Arc::clone(store),
            server,
            begun: Instant::now(),
            gates: Default::default(),
            refusals: Gate::default(),
            recoveries: Gate::default(),
        }
    }

    /// An operation came to nothing, and has perhaps changed whether the server is used.
    pub(super) fn trouble(&self, trouble: &Trouble, change: Option<Change>) {
        let gate = trouble.kind().and_then(|kind| self.gates.get(kind));
        if !gate.is_some_and(|gate| self.passes(gate)) {
            return;
        }
        let (store, server) = (&*self.store, &*self.server);
        let alone_for = match change {
            Some(Change::Down(pause) | Change::StillDown(pause)) => Some(pause),
            Some(Change::Up) | None => None,
        };
        let error: &(dyn std::error::Error + 'static) = trouble;
        match alone_for {
            Some(alone_for) => {
                tracing::warn!(store, server, error, ?alone_for, "store server is left alone");
            }
            None => tracing::warn!(store, server, error, "store server fails"),
        }
    }

    /// The server does not do what it was asked to.
    pub(super) fn refused(&self, words: &str) {
        if self.passes(&self.refusals) {
            let (store, server) = (&*self.store, &*self.server);
            tracing::warn!(store, server, words, "store server refuses");
        }
    }

    /// The server is used again.
    pub(super) fn up(&self) {
        if self.passes(&self.recoveries) {
            let (store, server) = (&*self.store, &*self.server);
            tracing::info!(store, server, "store server answers again");
        }
    }

    fn passes(&self, gate: &Gate) -> bool {
        gate.pass(self.begun.elapsed(), RATE)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Watch").field(&self.server).finish()
    }
}
