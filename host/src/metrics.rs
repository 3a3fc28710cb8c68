//! What is counted, per worker and summed up by whoever reads.
//!
//! A request costs a handful of relaxed additions to cache lines that its worker alone writes. The
//! handles ([`ListenerMetrics`], [`ClusterMetrics`], [`PluginMetrics`]) are made once per snapshot,
//! so that no request looks anything up; they go on counting over reloads as long as the name stays.
//! Figures of single endpoints are with the endpoints.
//!
//! A `worker` is the index of a worker. Any other number, as [`ELSEWHERE`], is right as well: it
//! stands for a line that all other threads share.

mod cells;
mod figures;
mod plain;
mod plugin;
mod refusal;
mod store;
mod stream;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::cells::{Bounds, Distribution};
use self::cells::{Histogram, PerWorker};
pub use self::figures::Figures;
pub use self::plain::plain;
use self::plugin::PluginCells;
pub use self::plugin::{Denied, PluginMetrics, SAMPLED, SHADOWED};
pub use self::refusal::Refusal;
pub use self::store::{
    Operation, Outcome, ServerConnection, ServerDown, ServerMetrics, StoreMetrics,
};
pub use self::stream::OpenStream;
pub use self::text::{Family, Sample, Value, open_metrics};

/// The `worker` of threads that are none.
pub const ELSEWHERE: usize = usize::MAX;

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    words: Words,
    listeners: Table<ListenerMetrics>,
    clusters: Table<ClusterMetrics>,
    plugins: Table<PluginMetrics>,
    stores: Table<StoreMetrics>,
    errors: PerWorker<Box<[AtomicU64]>>,
    beats: PerWorker<AtomicU64>,
    logs: Mutex<Vec<Log>>,
}

/// The label values that other modules define. They count by index.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Why a request failed.
    pub errors: &'static [&'static str],
    /// Why a call of a plugin failed.
    pub plugin_failures: &'static [&'static str],
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(workers: usize, words: Words) -> Self {
        Self {
            workers,
            words,
            listeners: Table::default(),
            clusters: Table::default(),
            plugins: Table::default(),
            stores: Table::default(),
            errors: PerWorker::new(workers, || counters(words.errors)),
            beats: PerWorker::new(workers, AtomicU64::default),
            logs: Mutex::default(),
        }
    }

    /// A worker has had time for its house-keeping.
    pub fn beat(&self, worker: usize) {
        increment(self.beats.of(worker));
    }

    /// How often each worker has had time so far, the first one first.
    #[must_use]
    pub fn beats(&self) -> Vec<u64> {
        (0..self.workers).map(|worker| self.beats.of(worker).load(Ordering::Relaxed)).collect()
    }

    /// The counters of a listener.
    #[must_use]
    pub fn listener(&self, name: &Arc<str>) -> Arc<ListenerMetrics> {
        self.listeners.entry(name, || ListenerMetrics(self.per_worker(ListenerCells::default)))
    }

    /// The counters of a cluster.
    #[must_use]
    pub fn cluster(&self, name: &Arc<str>) -> Arc<ClusterMetrics> {
        self.clusters.entry(name, || ClusterMetrics(self.per_worker(ClusterCells::default)))
    }

    /// The counters of a plugin.
    #[must_use]
    pub fn plugin(&self, name: &Arc<str>) -> Arc<PluginMetrics> {
        let words = self.words.plugin_failures;
        self.plugins.entry(name, || PluginMetrics::new(self.per_worker(|| PluginCells::new(words))))
    }

    /// The counters of a store.
    #[must_use]
    pub fn store(&self, name: &Arc<str>) -> Arc<StoreMetrics> {
        self.stores.entry(name, StoreMetrics::default)
    }

    /// Counts a request that failed; `reason` is an index into [`Words::errors`].
    pub fn error(&self, worker: usize, reason: usize) {
        if let Some(counter) = self.errors.of(worker).get(reason) {
            increment(counter);
        }
    }

    /// Adds a log, of which `read` tells the lines that were lost: `access` or `diagnostics`.
    pub fn watch_log(&self, log: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        lock(&self.logs).push(Log { name: log, lost: Box::new(read) });
    }

    /// Removes what no snapshot holds any more, so that vanished names do not stay for ever.
    pub fn forget_unused(&self) {
        self.listeners.forget_unused();
        self.clusters.forget_unused();
        self.plugins.forget_unused();
        self.stores.forget_unused();
    }

    fn per_worker<T>(&self, make: impl FnMut() -> T) -> PerWorker<T> {
        PerWorker::new(self.workers, make)
    }
}

/// The counters of one listener.
#[derive(Debug)]
pub struct ListenerMetrics(PerWorker<ListenerCells>);

#[derive(Debug, Default)]
struct ListenerCells {
    /// By the first digit of the status; 0 where there was none, 6 for all from there.
    requests: [AtomicU64; 7],
    durations: Histogram,
    opened: AtomicU64,
    closed: AtomicU64,
    tunnels_opened: AtomicU64,
    tunnels_closed: AtomicU64,
    streams: stream::Cells,
    refused: [AtomicU64; Refusal::ALL.len()],
    accept_errors: AtomicU64,
}

impl ListenerMetrics {
    /// Counts a request that has ended: the status that the client got, 0 if none, and the time
    /// from its head to the end of the response, where that says something.
    pub fn request(&self, worker: usize, status: u16, duration: Option<Duration>) {
        let cells = self.0.of(worker);
        let class = usize::from(status / 100).min(6);
        if let Some(counter) = cells.requests.get(class) {
            increment(counter);
        }
        if let Some(duration) = duration {
            cells.durations.observe(&text::REQUEST_BOUNDS, duration);
        }
    }

    /// Counts a connection that is closed before its first request.
    pub fn refused(&self, worker: usize, refusal: Refusal) {
        if let Some(counter) = self.0.of(worker).refused.get(refusal.index()) {
            increment(counter);
        }
    }

    /// Counts a connection that could not be accepted, as the system has no room for it.
    pub fn accept_error(&self) {
        increment(&self.0.of(ELSEWHERE).accept_errors);
    }

    /// Counts a connection, as open until the guard is dropped.
    pub fn connection(self: &Arc<Self>, worker: usize) -> Connection {
        increment(&self.0.of(worker).opened);
        Connection { listener: Arc::clone(self), worker }
    }

    /// Counts a tunnel that has begun.
    pub fn tunnel(self: &Arc<Self>, worker: usize) -> Tunnel {
        increment(&self.0.of(worker).tunnels_opened);
        Tunnel { listener: Arc::clone(self), worker }
    }
}

/// A tunnel that counts as open.
#[derive(Debug)]
#[must_use = "the tunnel counts as closed when this is dropped"]
pub struct Tunnel {
    listener: Arc<ListenerMetrics>,
    worker: usize,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        increment(&self.listener.0.of(self.worker).tunnels_closed);
    }
}

/// A connection that counts as open.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct Connection {
    listener: Arc<ListenerMetrics>,
    worker: usize,
}

impl Drop for Connection {
    fn drop(&mut self) {
        increment(&self.listener.0.of(self.worker).closed);
    }
}

/// What becomes of responses that name a file to send: it is; it is not one that may be, or its name
/// is not understood; there is none; it could not be opened otherwise.
pub const SENDFILES: [&str; 4] = ["served", "refused", "missing", "failed"];

/// The counters of one cluster.
#[derive(Debug)]
pub struct ClusterMetrics(PerWorker<ClusterCells>);

#[derive(Debug, Default)]
struct ClusterCells {
    attempts: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    queued: AtomicU64,
    dequeued: AtomicU64,
    queue_timeouts: AtomicU64,
    queue_full: AtomicU64,
    /// By outcome, as [`SENDFILES`] names them.
    sendfiles: [AtomicU64; 4],
}

impl ClusterMetrics {
    /// Counts an attempt at an endpoint.
    pub fn attempt(&self, worker: usize) {
        increment(&self.0.of(worker).attempts);
    }

    /// Counts an attempt that came to no response head.
    pub fn failure(&self, worker: usize) {
        increment(&self.0.of(worker).failures);
    }

    /// Counts an attempt that is not the first of its request.
    pub fn retry(&self, worker: usize) {
        increment(&self.0.of(worker).retries);
    }

    /// Counts a request that waits for an endpoint with room, as waiting until the guard is dropped.
    pub fn queued(self: &Arc<Self>, worker: usize) -> Queued {
        increment(&self.0.of(worker).queued);
        Queued { cluster: Arc::clone(self), worker }
    }

    /// Counts a request that has waited too long.
    pub fn queue_timeout(&self, worker: usize) {
        increment(&self.0.of(worker).queue_timeouts);
    }

    /// Counts a response that names a file to send, by its place in [`SENDFILES`].
    pub fn sendfile(&self, worker: usize, outcome: usize) {
        if let Some(counter) = self.0.of(worker).sendfiles.get(outcome) {
            increment(counter);
        }
    }

    /// Counts a request that found no place to wait at.
    pub fn queue_full(&self, worker: usize) {
        increment(&self.0.of(worker).queue_full);
    }
}

/// A request that counts as waiting.
#[derive(Debug)]
#[must_use = "the request counts as waiting no more when this is dropped"]
pub struct Queued {
    cluster: Arc<ClusterMetrics>,
    worker: usize,
}

impl Drop for Queued {
    fn drop(&mut self) {
        increment(&self.cluster.0.of(self.worker).dequeued);
    }
}

/// Handles by name.
#[derive(Debug)]
struct Table<T>(Mutex<BTreeMap<Arc<str>, Arc<T>>>);

impl<T> Table<T> {
    fn entry(&self, name: &Arc<str>, make: impl FnOnce() -> T) -> Arc<T> {
        let mut table = lock(&self.0);
        Arc::clone(table.entry(Arc::clone(name)).or_insert_with(|| Arc::new(make())))
    }

    fn forget_unused(&self) {
        lock(&self.0).retain(|_, handle| Arc::strong_count(handle) > 1);
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A log, which counts for itself.
struct Log {
    name: &'static str,
    lost: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Log").field("name", &self.name).finish_non_exhaustive()
    }
}

fn counters(words: &[&str]) -> Box<[AtomicU64]> {
    words.iter().map(|_| AtomicU64::new(0)).collect()
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
