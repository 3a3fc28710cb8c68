//! What one version of a plugin is counted by while another is on trial: the plugin's own counters go
//! on over all its versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The counters of a version.
#[derive(Debug)]
pub(super) struct Tally {
    watched: AtomicBool,
    calls: AtomicU64,
    failures: AtomicU64,
    measured: AtomicU64,
    nanoseconds: AtomicU64,
    /// Rung at a failure.
    failed: Arc<Notify>,
}

/// What a version has done since it is watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls.
    pub calls: u64,
    /// Those of them that failed, whatever the cause.
    pub failures: u64,
    /// Those whose time was measured.
    pub measured: u64,
    /// The time that these took in the guest.
    pub time: Duration,
}

impl Counted {
    /// The mean time of a call; nothing before the first.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let calls = u32::try_from(self.measured).ok().filter(|calls| *calls > 0)?;
        Some(self.time / calls)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            measured: self.measured + other.measured,
            time: self.time + other.time,
        }
    }
}

impl Tally {
    /// Counts nothing yet.
    pub(super) fn new(failed: Arc<Notify>) -> Self {
        let (watched, calls, failures, measured, nanoseconds) = Default::default();
        Self { watched, calls, failures, measured, nanoseconds, failed }
    }

    /// Counts from now on, from nothing, or no longer.
    pub(super) fn watch(&self, watched: bool) {
        if watched {
            for counter in [&self.calls, &self.failures, &self.measured, &self.nanoseconds] {
                counter.store(0, Ordering::Relaxed);
            }
        }
        self.watched.store(watched, Ordering::Relaxed);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(super) fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failed.notify_one();
    }

    pub(super) fn time(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.measured.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            calls: read(&self.calls),
            failures: read(&self.failures),
            measured: read(&self.measured),
            time: Duration::from_nanos(read(&self.nanoseconds)),
        }
    }
}
