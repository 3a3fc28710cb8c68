//! When nothing can be accepted, for want of descriptors or memory, or because a limit is reached: what is told
//! of it, and when. Pure, over times that are passed in.
//!
//! Accepting is tried again and again meanwhile, and often one connection comes through where another
//! ends. Neither is told each time.

use std::time::Duration;

use tokio::time::Instant;

/// How long to wait after an error that accepting again would meet again.
pub const BACK_OFF: Duration = Duration::from_millis(100);

/// The time from one line about it to the next.
const AGAIN: Duration = Duration::from_secs(10);

/// How long nothing may fail until it counts as over.
const CALM: Duration = Duration::from_secs(1);

/// Whether there is one, and what has been told.
#[derive(Debug, Default)]
pub struct Shortage {
    now: Option<Times>,
    failures: Seldom,
}

/// What may happen often, and is not told each time.
#[derive(Debug, Default)]
pub struct Seldom {
    told: Option<Instant>,
    /// How often since.
    untold: u64,
}

impl Seldom {
    /// It has happened. How often it has since that was last told, if it is to be told now.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < AGAIN) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    first: Instant,
    last: Instant,
}

impl Shortage {
    /// Accepting has failed. How often it has since that was last told, if it is to be told now.
    pub fn failed(&mut self, now: Instant) -> Option<u64> {
        let first = self.now.map_or(now, |times| times.first);
        self.now = Some(Times { first, last: now });
        self.failures.happened(now)
    }

    /// A connection was accepted. How long nothing could be, if that was told and is over.
    pub fn accepted(&mut self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let Times { first, last } = self.now?;
        if now().saturating_duration_since(last) < CALM {
            return None;
        }
        self.now = None;
        self.failures
            .told
            .filter(|told| *told >= first)
            .map(|_told| last.saturating_duration_since(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_in_a_while_and_when_it_is_over() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut shortage = Shortage::default();
        assert_eq!(shortage.accepted(|| at(0)), None);
        assert_eq!(shortage.failed(at(0)), Some(1));
        let told: Vec<_> = (1..=200).filter_map(|n| shortage.failed(at(n * 100))).collect();
        assert_eq!(told, [100, 100]);
        assert_eq!(shortage.accepted(|| at(20_100)), None, "one came through");
        assert_eq!(shortage.failed(at(20_200)), None);
        assert_eq!(shortage.accepted(|| at(21_200)), Some(Duration::from_millis(20_200)));
        assert_eq!(shortage.accepted(|| at(21_300)), None, "once");
    }

    #[test]
    fn what_comes_and_goes_is_not_told_each_time() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut shortage = Shortage::default();
        assert_eq!(shortage.failed(at(0)), Some(1));
        assert_eq!(shortage.accepted(|| at(1_000)), Some(Duration::ZERO));
        for round in 1..6 {
            assert_eq!(shortage.failed(at(round * 1_500)), None);
            assert_eq!(shortage.accepted(|| at(round * 1_500 + 1_000)), None);
        }
        assert_eq!(shortage.failed(at(10_000)), Some(6));
    }
}
