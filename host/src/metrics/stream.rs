//! TCP connections that are relayed as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::text::{Family, Value};
use super::{ListenerMetrics, Metrics, increment};

/// What is counted of a listener's streams.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

/// A stream that counts as open.
#[derive(Debug)]
#[must_use = "the stream counts as closed when this is dropped"]
pub struct OpenStream {
    listener: Arc<ListenerMetrics>,
    worker: usize,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        increment(&self.listener.0.of(self.worker).streams.closed);
    }
}

impl ListenerMetrics {
    /// Counts a connection that has been joined to an upstream's.
    pub fn stream(self: &Arc<Self>, worker: usize) -> OpenStream {
        increment(&self.0.of(worker).streams.opened);
        OpenStream { listener: Arc::clone(self), worker }
    }

    /// Counts bytes from clients, or to them.
    pub fn stream_bytes(&self, worker: usize, up: bool, bytes: u64) {
        let cells = &self.0.of(worker).streams;
        let total = if up { &cells.bytes_up } else { &cells.bytes_down };
        total.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn stream_bytes(&self, families: &mut Vec<Family>) {
        let samples = self.listeners.samples("listener", |listener| {
            let sum = |total: fn(&Cells) -> &AtomicU64| {
                Value::Counter(listener.0.sum(|cells| Some(total(&cells.streams))))
            };
            vec![
                (Some(("direction", "up")), sum(|cells| &cells.bytes_up)),
                (Some(("direction", "down")), sum(|cells| &cells.bytes_down)),
            ]
        });
        let help = "Bytes of TCP connections from clients (up) and to them (down)";
        families.push(Family::counter("linkspan_stream_bytes", help, samples));
    }
}
