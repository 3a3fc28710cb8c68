//! What is counted of stores, and of the servers that hold them.
//!
//! All workers share these cells: an operation costs far more than a cache line that is on its way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::text::{Family, Sample, Value};
use super::{Metrics, increment, lock};

/// What a plugin does with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It asks for a value.
    Get,
    /// It sets one.
    Set,
    /// It removes one.
    Delete,
    /// It adds to a number.
    Increment,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a value.
    Hit,
    /// There is none.
    Miss,
    /// Either, as the worker remembers it or as it was just told to another.
    Remembered,
    /// It is done.
    Done,
    /// The store cannot be reached.
    Unavailable,
    /// The store is too slow.
    Timeout,
    /// The key is none.
    InvalidKey,
    /// The value is too large.
    TooLarge,
    /// The value is no number.
    NotANumber,
    /// The store refuses, or makes no sense.
    Other,
}

const OPERATIONS: [(Operation, &str); 4] = [
    (Operation::Get, "get"),
    (Operation::Set, "set"),
    (Operation::Delete, "delete"),
    (Operation::Increment, "increment"),
];

const OUTCOMES: [(Outcome, &str); 10] = [
    (Outcome::Hit, "hit"),
    (Outcome::Miss, "miss"),
    (Outcome::Remembered, "remembered"),
    (Outcome::Done, "done"),
    (Outcome::Unavailable, "unavailable"),
    (Outcome::Timeout, "timeout"),
    (Outcome::InvalidKey, "invalid-key"),
    (Outcome::TooLarge, "too-large"),
    (Outcome::NotANumber, "not-a-number"),
    (Outcome::Other, "other"),
];

impl Outcome {
    /// Whether an operation can come to it.
    fn is_of(self, operation: Operation) -> bool {
        match self {
            Self::Hit | Self::Miss | Self::Remembered => operation == Operation::Get,
            Self::Done => operation != Operation::Get,
            Self::TooLarge => operation != Operation::Delete,
            Self::NotANumber => operation == Operation::Increment,
            Self::Unavailable | Self::Timeout | Self::InvalidKey | Self::Other => true,
        }
    }
}

/// The counters of one store.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    operations: [[AtomicU64; OUTCOMES.len()]; OPERATIONS.len()],
    servers: Mutex<BTreeMap<Arc<str>, Arc<ServerMetrics>>>,
}

/// The counters of one of its servers.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    opened: AtomicU64,
    closed: AtomicU64,
    /// How many workers leave it alone.
    down: AtomicU64,
}

impl StoreMetrics {
    /// Counts an operation that has ended.
    pub fn operation(&self, operation: Operation, outcome: Outcome) {
        let of_operation = self.operations.get(operation as usize);
        if let Some(counter) = of_operation.and_then(|outcomes| outcomes.get(outcome as usize)) {
            increment(counter);
        }
    }

    /// The counters of a server.
    #[must_use]
    pub fn server(&self, address: &str) -> Arc<ServerMetrics> {
        let mut servers = lock(&self.servers);
        // Those that a reload has taken away.
        servers.retain(|of, metrics| &**of == address || Arc::strong_count(metrics) > 1);
        Arc::clone(servers.entry(address.into()).or_default())
    }
}

impl ServerMetrics {
    /// Counts a connection, as open until the guard is dropped.
    pub fn connection(self: &Arc<Self>) -> ServerConnection {
        increment(&self.opened);
        ServerConnection(Arc::clone(self))
    }

    /// Notes that a worker leaves the server alone, until the guard is dropped.
    pub fn down(self: &Arc<Self>) -> ServerDown {
        increment(&self.down);
        ServerDown(Arc::clone(self))
    }
}

/// A connection that counts as open.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct ServerConnection(Arc<ServerMetrics>);

impl Drop for ServerConnection {
    fn drop(&mut self) {
        increment(&self.0.closed);
    }
}

/// A worker that leaves a server alone.
#[derive(Debug)]
#[must_use = "the server counts as used again when this is dropped"]
pub struct ServerDown(Arc<ServerMetrics>);

impl Drop for ServerDown {
    fn drop(&mut self) {
        self.0.down.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn stores(&self, families: &mut Vec<Family>) {
        let (mut operations, mut opened) = (Vec::new(), Vec::new());
        let (mut open, mut down) = (Vec::new(), Vec::new());
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        for (store, metrics) in &*lock(&self.stores.0) {
            let label = || ("store", store.to_string());
            for ((operation, word), of_operation) in OPERATIONS.iter().zip(&metrics.operations) {
                for ((outcome, of), counter) in OUTCOMES.iter().zip(of_operation) {
                    if outcome.is_of(*operation) {
                        let (word, of) = ((*word).to_owned(), (*of).to_owned());
                        let labels = vec![label(), ("operation", word), ("outcome", of)];
                        operations.push(Sample { labels, value: Value::Counter(read(counter)) });
                    }
                }
            }
            for (server, metrics) in &*lock(&metrics.servers) {
                let labels = || vec![label(), ("server", server.to_string())];
                // Closed first: what closes in between must not make the difference negative.
                let closed = read(&metrics.closed);
                let total = read(&metrics.opened);
                opened.push(Sample { labels: labels(), value: Value::Counter(total) });
                let value = Value::Gauge(total.saturating_sub(closed));
                open.push(Sample { labels: labels(), value });
                let value = Value::Gauge(read(&metrics.down));
                down.push(Sample { labels: labels(), value });
            }
        }
        let name = "linkspan_store_operations";
        families.push(Family::counter(name, "What was asked of stores", operations));
        let name = "linkspan_store_connections";
        families.push(Family::counter(name, "Connections made to a store's server", opened));
        let name = "linkspan_store_connections_open";
        families.push(Family::gauge(name, "Connections to a store's server that are open", open));
        let help = "Workers that leave a store's server alone, as it did not answer";
        families.push(Family::gauge("linkspan_store_server_down", help, down));
    }
}
