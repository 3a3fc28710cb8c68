//! Counters that each worker has to itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of a histogram's buckets in nanoseconds, rising.
pub type Bounds = [u64; BOUNDS];

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

    /// The duration that a share of all, 0 to 1, did not exceed; none if there were none. An
    /// estimate: within a bucket they are taken to lie evenly, and beyond the last bound at it.
    #[must_use]
    pub fn quantile(&self, bounds: &Bounds, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share * count as f64;
        let (mut before, mut lower) = (0_u64, 0_u64);
        for (bucket, upper) in self.buckets.iter().zip(bounds) {
            if *bucket > 0 && (before + bucket) as f64 >= rank {
                let part = ((rank - before as f64) / *bucket as f64).clamp(0.0, 1.0);
                let width = Duration::from_nanos(upper.saturating_sub(lower));
                return Some(Duration::from_nanos(lower) + width.mul_f64(part));
            }
            before += bucket;
            lower = *upper;
        }
        Some(Duration::from_nanos(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        std::array::from_fn(|index| 100 * (index as u64 + 1))
    }

    fn distribution(durations: &[u64]) -> Distribution {
        let histogram = Histogram::default();
        for duration in durations {
            histogram.observe(&bounds(), Duration::from_nanos(*duration));
        }
        Distribution::of([&histogram].into_iter())
    }

    #[test]
    fn quantiles_lie_evenly_within_a_bucket() {
        let nanoseconds = |durations: &[u64], share| {
            let quantile = distribution(durations).quantile(&bounds(), share);
            quantile.map(|duration| duration.as_nanos())
        };
        assert_eq!(nanoseconds(&[], 0.99), None);
        // Ten in the second bucket, from 100 to 200.
        assert_eq!(nanoseconds(&[150; 10], 0.5), Some(150));
        assert_eq!(nanoseconds(&[150; 10], 0.99), Some(199));
        assert_eq!(nanoseconds(&[150; 10], 1.0), Some(200));
        // One in a hundred is slow, and just not among the 99.
        let mut mixed = vec![50; 99];
        mixed.push(1_550);
        assert_eq!(nanoseconds(&mixed, 0.99), Some(100));
        assert_eq!(nanoseconds(&mixed, 1.0), Some(1_600));
        // What is beyond the last bound is told as that.
        assert_eq!(nanoseconds(&[9_999], 0.99), Some(1_600));
    }
}
