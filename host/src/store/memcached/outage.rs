//! When a server that does not answer is left alone: pure, over times that are given.
//!
//! It is after it could not be connected to, or has let several operations in a row time out, for a
//! while that doubles with each try that fails. Then one operation tries it, and all others go on to
//! fail at once until that has come to something.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Operations in a row that time out until the server is left alone.
const TIMEOUTS: u32 = 3;

/// How long it is left alone at first.
const FIRST: Duration = Duration::from_millis(100);

/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_secs(3);

/// Whether a server is left alone, as one worker knows it.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Operations that timed out since one last did not.
    timeouts: u32,
    /// How long it is left alone, and until when.
    down: Option<(Duration, Instant)>,
    /// Whether an operation is trying it.
    probing: bool,
}

/// What became of an operation, as far as it tells about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server answered, whatever it said.
    Answered,
    /// It did not in time.
    TimedOut,
    /// It could not be connected to.
    Unreachable,
}

/// A permission to try, which is given back when it is dropped.
#[derive(Debug)]
#[must_use = "what has been learnt of the server is to be told"]
pub(super) struct Try<'a> {
    outage: &'a Outage,
    probes: bool,
}

/// What an outcome has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The server is left alone for so long.
    Down(Duration),
    /// It has been, and goes on to be.
    StillDown(Duration),
    /// It is used again.
    Up,
}

impl Outage {
    /// Whether an operation may be tried now.
    pub(super) fn permit(&self, now: Instant) -> Option<Try<'_>> {
        let mut state = self.lock();
        let Some((_, until)) = state.down else {
            return Some(Try { outage: self, probes: false });
        };
        if now < until || state.probing {
            return None;
        }
        state.probing = true;
        Some(Try { outage: self, probes: true })
    }

    /// Whether the server is left alone.
    pub(super) fn is_down(&self) -> bool {
        self.lock().down.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try<'_> {
    /// Whether this is the one operation that tries a server which is left alone.
    pub(super) fn probes(&self) -> bool {
        self.probes
    }

    /// Tells what has come of it.
    pub(super) fn end(self, outcome: Outcome, now: Instant) -> Option<Change> {
        let mut state = self.outage.lock();
        // Those that began before it was left alone say nothing new, unless it answers.
        if state.down.is_some() && !self.probes && outcome != Outcome::Answered {
            return None;
        }
        match outcome {
            Outcome::Answered => {
                state.timeouts = 0;
                state.down.take().map(|_| Change::Up)
            }
            Outcome::TimedOut if !self.probes && state.timeouts + 1 < TIMEOUTS => {
                state.timeouts += 1;
                None
            }
            Outcome::TimedOut | Outcome::Unreachable => {
                let before = state.down.map(|(pause, _)| (pause * 2).min(LONGEST));
                let pause = before.unwrap_or(FIRST);
                state.down = Some((pause, now + pause));
                Some(before.map_or(Change::Down(pause), Change::StillDown))
            }
        }
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if self.probes {
            self.outage.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begin: Instant, milliseconds: u64) -> Instant {
        begin + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_server_that_cannot_be_connected_to_is_left_alone_for_longer_and_longer() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let first = outage.permit(begin).unwrap().end(Outcome::Unreachable, begin);
        assert_eq!(first, Some(Change::Down(FIRST)));
        assert!(outage.permit(after(begin, 99)).is_none());
        let mut now = after(begin, 100);
        for pause in [200, 400, 800, 1_600, 3_000, 3_000] {
            let probe = outage.permit(now).unwrap();
            assert!(probe.probes());
            assert!(outage.permit(now).is_none(), "one tries at a time");
            let pause = Duration::from_millis(pause);
            assert_eq!(probe.end(Outcome::TimedOut, now), Some(Change::StillDown(pause)));
            now += pause;
        }
        assert_eq!(outage.permit(now).unwrap().end(Outcome::Answered, now), Some(Change::Up));
        assert!(!outage.is_down());
        assert!(!outage.permit(now).unwrap().probes());
    }

    #[test]
    fn some_that_time_out_in_a_row_are_needed_and_an_answer_begins_anew() {
        let (outage, now) = (Outage::default(), Instant::now());
        let ended = |outcome| outage.permit(now).unwrap().end(outcome, now);
        for _ in 0..2 {
            assert_eq!(ended(Outcome::TimedOut), None);
            assert_eq!(ended(Outcome::TimedOut), None);
            assert_eq!(ended(Outcome::Answered), None);
        }
        assert_eq!(ended(Outcome::TimedOut), None);
        assert_eq!(ended(Outcome::TimedOut), None);
        let late = outage.permit(now).unwrap();
        assert_eq!(ended(Outcome::TimedOut), Some(Change::Down(FIRST)));
        assert_eq!(late.end(Outcome::TimedOut, now), None, "it began before");
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_room_for_the_next() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let _ = outage.permit(begin).unwrap().end(Outcome::Unreachable, begin);
        let now = after(begin, 100);
        drop(outage.permit(now).unwrap());
        assert!(outage.permit(now).unwrap().probes());
    }
}
