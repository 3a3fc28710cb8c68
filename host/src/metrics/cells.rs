//! Counters that each worker has to itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of a histogram's buckets in nanoseconds, rising.
pub(super) type Bounds = [u64; BOUNDS];

const BOUNDS: usize = 16;

/// One `T` per worker, and one for all other threads.
#[derive(Debug)]
pub(super) struct PerWorker<T> {
    workers: Box<[OwnLines<T>]>,
    others: OwnLines<T>,
}

/// 128 bytes apart: neighbouring lines are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLines<T>(T);

impl<T> PerWorker<T> {
    pub(super) fn new(workers: usize, mut make: impl FnMut() -> T) -> Self {
        let others = OwnLines(make());
        Self { workers: (0..workers).map(|_| OwnLines(make())).collect(), others }
    }

    pub(super) fn of(&self, worker: usize) -> &T {
        &self.workers.get(worker).unwrap_or(&self.others).0
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.workers.iter().chain([&self.others]).map(|cells| &cells.0)
    }

    /// Sums up a counter.
    pub(super) fn sum<'a>(&'a self, counter: impl Fn(&'a T) -> Option<&'a AtomicU64>) -> u64 {
        let counters = self.all().filter_map(counter);
        counters.map(|counter| counter.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// How many durations fell into each bucket, and their sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS],
    beyond: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, bounds: &Bounds, duration: Duration) {
        self.observe_for(bounds, duration, 1);
    }

    /// Adds a duration that stands for so many.
    pub(super) fn observe_for(&self, bounds: &Bounds, duration: Duration, many: u64) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let index = bounds.partition_point(|bound| *bound < nanoseconds);
        self.buckets.get(index).unwrap_or(&self.beyond).fetch_add(many, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds.wrapping_mul(many), Ordering::Relaxed);
    }
}

/// The sum of several histograms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many durations there were in each bucket, without those of the buckets before.
    pub buckets: [u64; BOUNDS],
    /// How many were beyond the last.
    pub beyond: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Distribution {
    pub(super) fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut total = Self::default();
        let mut nanoseconds = 0_u64;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for histogram in histograms {
            for (sum, bucket) in total.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += value(bucket);
            }
            total.beyond += value(&histogram.beyond);
            nanoseconds = nanoseconds.wrapping_add(value(&histogram.nanoseconds));
        }
        total.sum = Duration::from_nanos(nanoseconds);
        total
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }
}
