//! How many repetitions may be made: above a floor of 10 a second, at most a fifth of requests, so
//! that a failing upstream is not buried under repeated requests.

use std::cell::Cell;

use super::health;

/// Repetitions a second that are always allowed, over all workers.
const FLOOR: u64 = 10;

/// One in this many requests may be repeated beyond that.
const SHARE: u64 = 5;

/// The length of one of the two spans that are looked at.
const SPAN: u64 = 5_000;

/// The repetitions of one worker. Looks at the last 5 to 10 seconds.
#[derive(Debug)]
pub struct Budget {
    floor: u64,
    start: Cell<u64>,
    now: Cell<Span>,
    before: Cell<Span>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    requests: u64,
    repetitions: u64,
}

impl Budget {
    /// The share of one of so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let workers = u64::try_from(workers).unwrap_or(1).max(1);
        let floor = (FLOOR * 2 * SPAN / 1000).div_ceil(workers);
        Self { floor, start: Cell::default(), now: Cell::default(), before: Cell::default() }
    }

    /// Notes a request.
    pub fn request(&self) {
        let now = self.now.get();
        self.now.set(Span { requests: now.requests + 1, ..now });
    }

    /// Whether a request may be repeated now; if so, it is noted.
    pub fn repeat(&self) -> bool {
        self.repeat_at(health::now())
    }

    fn repeat_at(&self, time: u64) -> bool {
        let age = time.saturating_sub(self.start.get());
        if age >= SPAN {
            self.before.set(if age < 2 * SPAN { self.now.get() } else { Span::default() });
            self.now.set(Span::default());
            self.start.set(time);
        }
        let (now, before) = (self.now.get(), self.before.get());
        let allowed = self.floor + (now.requests + before.requests) / SHARE;
        if now.repetitions + before.repetitions >= allowed {
            return false;
        }
        self.now.set(Span { repetitions: now.repetitions + 1, ..now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_floor_a_fifth_of_requests_may_be_repeated() {
        let budget = Budget::new(1);
        let repeated = |time, times| (0..times).filter(|_| budget.repeat_at(time)).count();
        assert_eq!(repeated(1, 200), 100, "the floor of ten seconds");
        (0..1000).for_each(|_| budget.request());
        assert_eq!(repeated(2, 1000), 200);
        assert_eq!(repeated(20_000, 200), 100, "what is long ago does not count");
    }

    #[test]
    fn workers_share_the_floor() {
        let budget = Budget::new(4);
        assert_eq!((0..200).filter(|_| budget.repeat_at(1)).count(), 25);
    }
}
