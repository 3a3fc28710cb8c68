//! When a failing plugin is left alone: after 5 failures in 10 s it is not called for 5 s, then
//! once; as long as that one call fails the time doubles, up to 5 minutes.
//!
//! Failures are what costs more than an answer: traps, broken limits, births that fail. An answer
//! against the contract is none of them, or a client that finds a request which a plugin answers
//! badly could have it left alone for everybody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Failures within [`WINDOW`] that park a plugin.
const FAILURES: usize = 5;
/// See [`FAILURES`].
const WINDOW: Duration = Duration::from_secs(10);
/// The first time that a plugin is left alone.
const FIRST: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);

/// Whether one plugin is parked. Times are since the process began.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// Milliseconds of the time from which it may be called again; 0 while it is not parked, so
    /// that a call costs one load.
    until: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<Duration>,
    pause: Duration,
    probing: bool,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may.
    Call,
    /// It may, and its success ends the parking.
    Probe,
    /// It may not.
    Parked,
}

impl Parking {
    /// Whether it is parked at all; only then need [`Self::permission`] be asked.
    pub(super) fn concerns(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// Whether a call may be made now.
    pub(super) fn permission(&self, now: Duration) -> Permission {
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        if until.is_zero() {
            return Permission::Call;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now < until || state.probing {
            return Permission::Parked;
        }
        state.probing = true;
        Permission::Probe
    }

    /// A call failed that was no probe. Gives the pause if that has parked the plugin just now.
    pub(super) fn failed(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.concerns() {
            // A call that began before says nothing new.
            return None;
        }
        while state.recent.front().is_some_and(|first| now.saturating_sub(*first) > WINDOW) {
            state.recent.pop_front();
        }
        state.recent.push_back(now);
        if state.recent.len() < FAILURES {
            return None;
        }
        state.recent.clear();
        state.pause = FIRST;
        self.park(now + FIRST);
        Some(FIRST)
    }

    /// The probing call failed. Gives the pause until the next, unless it is not parked any more.
    pub(super) fn probe_failed(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.probing = false;
        if !self.concerns() {
            return None;
        }
        state.pause = (state.pause * 2).min(LONGEST);
        self.park(now + state.pause);
        Some(state.pause)
    }

    /// The probing call succeeded, or nobody is to call it any more. Gives whether it was parked.
    pub(super) fn recovered(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
        self.until.swap(0, Ordering::Relaxed) != 0
    }

    /// The probing call was not made after all: the next may be one.
    pub(super) fn release(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).probing = false;
    }

    fn park(&self, until: Duration) {
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX).max(1);
        self.until.store(until, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(100 + seconds)
    }

    #[test]
    fn five_failures_within_ten_seconds_park() {
        let parking = Parking::default();
        for second in [0, 3, 6, 9] {
            assert_eq!(parking.failed(at(second)), None);
        }
        assert_eq!(parking.failed(at(12)), None, "the first is forgotten");
        assert!(!parking.concerns());
        assert_eq!(parking.failed(at(13)), Some(FIRST));
        assert_eq!(parking.failed(at(13)), None, "one that began before");
        assert_eq!(parking.permission(at(17)), Permission::Parked);
        assert_eq!(parking.permission(at(18)), Permission::Probe);
        assert_eq!(parking.permission(at(18)), Permission::Parked, "one probe at a time");
    }

    #[test]
    fn the_pause_doubles_to_five_minutes_and_a_success_ends_it() {
        let parking = Parking::default();
        for _ in 0..5 {
            parking.failed(at(0));
        }
        let mut now = at(5);
        for pause in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(parking.permission(now), Permission::Probe);
            assert_eq!(parking.probe_failed(now), Some(Duration::from_secs(pause)));
            assert_eq!(
                parking.permission(now + Duration::from_secs(pause - 1)),
                Permission::Parked
            );
            now += Duration::from_secs(pause);
        }
        assert_eq!(parking.permission(now), Permission::Probe);
        parking.release();
        assert_eq!(parking.permission(now), Permission::Probe);
        assert!(parking.recovered() && !parking.recovered());
        assert_eq!(parking.probe_failed(now), None);
        assert_eq!(parking.permission(now), Permission::Call);
    }
}
