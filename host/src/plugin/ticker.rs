//! Who measures the time of guests: it counts epochs while any guest is called.
//!
//! That a call has gone on for its deadline is told by ticks, which are close to each other then. As long as no tick
//! finds the same call that the one before found, they are far apart: waking up costs as much processor as several
//! calls take.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use crate::plugin::guest::TICK;

/// Without a call for so long, it sleeps.
const QUIET: Duration = Duration::from_secs(1);

/// The most ticks that are left out between two while no call takes long. Half as many as fit into the shortest
/// deadline, so that none is missed by more than that.
const SPARED: u32 = 5;

/// How many ticks are close after one that found a call to take long.
const WATCHED: u32 = 1000;

/// Counts epochs while guests run, and sleeps while none does.
#[derive(Debug)]
pub(super) struct Ticker {
    active: AtomicBool,
    asleep: AtomicBool,
    stopped: AtomicBool,
    /// How many of the next ticks are to be close.
    close: AtomicU32,
    /// Whether it waits for one that is not.
    far: AtomicBool,
    /// How far such a tick is, in [`TICK`]s.
    stride: AtomicU32,
    sleeper: OnceLock<thread::Thread>,
}

impl Default for Ticker {
    fn default() -> Self {
        Self {
            active: AtomicBool::default(),
            asleep: AtomicBool::default(),
            stopped: AtomicBool::default(),
            close: AtomicU32::default(),
            far: AtomicBool::default(),
            stride: AtomicU32::new(SPARED),
            sleeper: OnceLock::default(),
        }
    }
}

impl Ticker {
    /// Calls may have this deadline from now on.
    pub(super) fn expect(&self, deadline: Duration) {
        let half = deadline.as_millis() / (2 * TICK.as_millis());
        let stride = u32::try_from(half).unwrap_or(SPARED).max(1);
        self.stride.fetch_min(stride, Ordering::Relaxed);
    }

    /// Notes that a call begins. One load, but for the first call of a tick.
    pub(super) fn touch(&self) {
        if !self.active.load(Ordering::Relaxed) {
            self.active.store(true, Ordering::SeqCst);
            if self.asleep.load(Ordering::SeqCst) {
                self.wake();
            }
        }
    }

    /// Notes that a tick has found a call at work, and whether the tick before had found it already.
    pub(super) fn found(&self, again: bool) {
        // A long call keeps the ticker awake by itself.
        self.touch();
        let close = if again { WATCHED } else { 1 };
        if self.close.fetch_max(close, Ordering::SeqCst) == 0 && self.far.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Ends [`Ticker::run`] soon.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Counts the epochs of an engine, until it is stopped.
    pub(super) fn run(&self, engine: &Engine) {
        let _ = self.sleeper.set(thread::current());
        // The clock of calls takes half a millisecond to tune when it is first read: here, nobody waits for that.
        let _ = quanta::Instant::now();
        let mut quiet = Duration::ZERO;
        while !self.stopped.load(Ordering::SeqCst) {
            let Some(passed) = self.wait() else { continue };
            engine.increment_epoch();
            if self.active.swap(false, Ordering::SeqCst) {
                quiet = Duration::ZERO;
                continue;
            }
            quiet += passed;
            if quiet < QUIET {
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            while !self.active.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            quiet = Duration::ZERO;
        }
    }

    /// Waits for the next tick, and tells how far it was; nothing if a far one turned out to have to be close.
    fn wait(&self) -> Option<Duration> {
        if self.close.load(Ordering::SeqCst) > 0 {
            thread::park_timeout(TICK);
            // Nobody else makes it less.
            self.close.fetch_sub(1, Ordering::SeqCst);
            return Some(TICK);
        }
        let time = TICK * self.stride.load(Ordering::Relaxed);
        self.far.store(true, Ordering::SeqCst);
        // Who finds a call from here on wakes this thread; who did before shows here.
        if self.close.load(Ordering::SeqCst) == 0 {
            thread::park_timeout(time);
        }
        self.far.store(false, Ordering::SeqCst);
        (self.close.load(Ordering::SeqCst) == 0).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::plugin::engine::Machine;

    /// Waits for something that another thread does.
    fn until(what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "never: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_ticker_sleeps_and_wakes() {
        let machine = Machine::start().unwrap();
        for _ in 0..2 {
            until("it sleeps", || machine.ticker.asleep.load(Ordering::SeqCst));
            machine.ticker.touch();
            until("it wakes", || !machine.ticker.asleep.load(Ordering::SeqCst));
        }
    }

    #[test]
    fn ticks_are_close_after_one_that_found_a_long_call() {
        let ticker = Ticker::default();
        ticker.found(false);
        assert_eq!(ticker.wait(), Some(TICK));
        assert_eq!(ticker.wait(), Some(SPARED * TICK), "it was a short one");
        ticker.found(false);
        ticker.found(true);
        assert_eq!(ticker.wait(), Some(TICK));
        assert_eq!(ticker.close.load(Ordering::SeqCst), WATCHED - 1);
        ticker.found(true);
        assert_eq!(ticker.close.load(Ordering::SeqCst), WATCHED, "it goes on");
    }

    #[test]
    fn a_call_that_is_found_ends_the_wait_for_a_far_tick() {
        let ticker = Arc::new(Ticker::default());
        ticker.stride.store(3_600_000, Ordering::Relaxed);
        let waiting = thread::spawn({
            let ticker = Arc::clone(&ticker);
            move || {
                let _ = ticker.sleeper.set(thread::current());
                ticker.wait()
            }
        });
        until("it waits", || ticker.far.load(Ordering::SeqCst));
        ticker.found(false);
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(ticker.wait(), Some(TICK));
    }

    #[test]
    fn far_ticks_are_no_farther_than_half_the_shortest_deadline() {
        let ticker = Ticker::default();
        ticker.expect(Duration::from_secs(10));
        assert_eq!(ticker.wait(), Some(5 * TICK));
        ticker.expect(Duration::from_millis(4));
        ticker.expect(Duration::from_millis(9));
        assert_eq!(ticker.wait(), Some(2 * TICK));
        ticker.expect(Duration::from_millis(1));
        assert_eq!(ticker.wait(), Some(TICK));
    }
}
