//! When an endpoint counts as offline: a state machine over values, and the word that holds it.
//!
//! After N consecutive connect failures an endpoint is left alone for T, counted from the last
//! failure. Then exactly one attempt is let through. If it fails, the endpoint is left alone for
//! another T; if it succeeds, the failures are forgotten. Failures do not expire. T = 0 turns the
//! rule off, N = 0 means that one failure is enough. Monkey judges connecting by this; where the
//! configuration says which responses are failures, a second such machine judges those.
//!
//! What the rule does when every endpoint of a cluster is offline is the cluster's business.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The present, in milliseconds since the process began.
#[must_use]
pub fn now() -> u64 {
    at(Instant::now())
}

/// A time, in milliseconds since the process began.
#[must_use]
pub fn at(time: Instant) -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    milliseconds(time.saturating_duration_since(*BEGIN))
}

/// N and T.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// At least 1.
    attempts: u32,
    /// In milliseconds; 0 turns the rule off.
    offline: u64,
}

impl Rule {
    /// After so many failures, for so long.
    #[must_use]
    pub fn new(attempts: u32, offline: Duration) -> Self {
        // A time that rounds to nothing is not the absence of a time.
        let shortest = u64::from(!offline.is_zero());
        Self {
            attempts: attempts.clamp(1, State::MAX_FAILURES),
            offline: milliseconds(offline).max(shortest),
        }
    }

    /// The rule that never holds.
    pub const NEVER: Self = Self { attempts: 1, offline: 0 };
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Any may.
    Open,
    /// One may.
    Probe,
    /// None may.
    Shut,
}

/// What is remembered about connecting to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Consecutive failures.
    pub failures: u32,
    /// When the last of them was; 0 if there is none.
    pub last_failure: u64,
    /// Whether the one attempt is under way.
    pub probing: bool,
}

impl State {
    const FAILURE_BITS: u32 = 23;
    const MAX_FAILURES: u32 = (1 << Self::FAILURE_BITS) - 1;
    /// 34 years of milliseconds.
    const MAX_TIME: u64 = (1 << 40) - 1;

    /// Whether the endpoint is offline: until a connection succeeds, also while it may be probed.
    #[must_use]
    pub fn is_offline(self, rule: Rule) -> bool {
        rule.offline > 0 && self.failures >= rule.attempts
    }

    /// When an offline endpoint may be probed.
    #[must_use]
    pub fn offline_until(self, rule: Rule) -> u64 {
        self.last_failure.saturating_add(rule.offline)
    }

    /// Whether an attempt may be made.
    #[must_use]
    pub fn gate(self, rule: Rule, now: u64) -> Gate {
        if !self.is_offline(rule) {
            Gate::Open
        } else if self.probing || now < self.offline_until(rule) {
            Gate::Shut
        } else {
            Gate::Probe
        }
    }

    fn probed(self) -> Self {
        Self { probing: true, ..self }
    }

    /// A failure of any attempt ends the probe: another is due when the time has elapsed anew.
    fn failed(self, rule: Rule, now: u64) -> Self {
        if rule.offline == 0 {
            return self;
        }
        Self {
            failures: (self.failures + 1).min(Self::MAX_FAILURES),
            last_failure: now.max(self.last_failure).min(Self::MAX_TIME),
            probing: false,
        }
    }

    /// Gives a probe back, if it is still the one that was granted after that failure.
    fn released(self, granted_after: u64) -> Option<Self> {
        let same = self.probing && self.last_failure == granted_after;
        same.then_some(Self { probing: false, ..self })
    }

    fn pack(self) -> u64 {
        self.last_failure << (Self::FAILURE_BITS + 1)
            | u64::from(self.failures) << 1
            | u64::from(self.probing)
    }

    fn unpack(word: u64) -> Self {
        let failures = (word >> 1) & u64::from(Self::MAX_FAILURES);
        Self {
            failures: u32::try_from(failures).unwrap_or(Self::MAX_FAILURES),
            last_failure: word >> (Self::FAILURE_BITS + 1),
            probing: word & 1 == 1,
        }
    }
}

/// That an endpoint is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline {
    /// Failures in a row.
    pub failures: u32,
    /// For how long.
    pub pause: Duration,
}

/// A [`State`] that many threads change. One word, so relaxed operations are enough: nothing else is
/// published by it.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicU64);

impl Health {
    pub(super) fn state(&self) -> State {
        State::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Answers as [`State::gate`], and with the state that was judged; after [`Gate::Probe`] the
    /// probe is taken.
    pub(super) fn admit(&self, rule: Rule, now: u64) -> (Gate, State) {
        loop {
            let state = self.state();
            let gate = state.gate(rule, now);
            if gate != Gate::Probe || self.replace(state, state.probed()) {
                return (gate, state);
            }
        }
    }

    /// Gives the state before.
    pub(super) fn succeeded(&self) -> State {
        // The usual case writes nothing, so that the line stays shared between workers.
        if self.state() == State::default() {
            return State::default();
        }
        State::unpack(self.0.swap(State::default().pack(), Ordering::Relaxed))
    }

    /// Gives the states before and after.
    pub(super) fn failed(&self, rule: Rule, now: u64) -> (State, State) {
        loop {
            let before = self.state();
            let after = before.failed(rule, now);
            if self.replace(before, after) {
                return (before, after);
            }
        }
    }

    /// Whether there was a probe to give back.
    pub(super) fn release_probe(&self, granted_after: u64) -> bool {
        loop {
            let before = self.state();
            let Some(after) = before.released(granted_after) else { return false };
            if self.replace(before, after) {
                return true;
            }
        }
    }

    fn replace(&self, before: State, after: State) -> bool {
        let (before, after) = (before.pack(), after.pack());
        self.0.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(attempts: u32, offline: u64) -> Rule {
        Rule::new(attempts, Duration::from_millis(offline))
    }

    fn gate(health: &Health, rule: Rule, now: u64) -> Gate {
        health.admit(rule, now).0
    }

    #[test]
    fn two_failures_close_for_the_offline_time_then_one_probe_goes_out() {
        let (rule, health) = (rule(2, 5_000), Health::default());
        assert_eq!(gate(&health, rule, 0), Gate::Open);
        health.failed(rule, 10);
        assert_eq!(gate(&health, rule, 10), Gate::Open);
        health.failed(rule, 20);
        assert_eq!(gate(&health, rule, 20), Gate::Shut);
        assert_eq!(gate(&health, rule, 5_019), Gate::Shut);
        assert_eq!(gate(&health, rule, 5_020), Gate::Probe);
        assert_eq!(gate(&health, rule, 5_020), Gate::Shut);
        // The probe fails: another offline time, though only one failure was added.
        health.failed(rule, 6_000);
        assert_eq!(gate(&health, rule, 10_999), Gate::Shut);
        assert_eq!(gate(&health, rule, 11_000), Gate::Probe);
        health.succeeded();
        assert_eq!(gate(&health, rule, 11_000), Gate::Open);
        assert_eq!(health.state(), State::default());
    }

    #[test]
    fn one_failure_is_enough_with_no_attempts_and_none_without_an_offline_time() {
        let health = Health::default();
        health.failed(rule(0, 0), 1);
        assert_eq!(gate(&health, rule(0, 0), 1), Gate::Open);
        health.failed(rule(0, 1_000), 1);
        assert_eq!(gate(&health, rule(0, 1_000), 1), Gate::Shut);
    }

    #[test]
    fn an_offline_time_below_a_millisecond_is_not_none() {
        let rule = Rule::new(1, Duration::from_micros(1));
        assert_eq!(rule.offline, 1);
    }

    #[test]
    fn a_stale_probe_gives_back_nothing() {
        let (rule, health) = (rule(1, 10), Health::default());
        health.failed(rule, 0);
        assert_eq!(gate(&health, rule, 10), Gate::Probe);
        health.succeeded();
        health.failed(rule, 20);
        assert_eq!(gate(&health, rule, 30), Gate::Probe);
        assert!(!health.release_probe(0), "the first probe");
        assert_eq!(gate(&health, rule, 30), Gate::Shut);
        assert!(health.release_probe(20), "the second");
        assert_eq!(gate(&health, rule, 30), Gate::Probe);
    }

    /// Monkey's rule in its own words: a count, the time of the last failure, and who probes.
    #[derive(Default)]
    struct Model {
        count: u32,
        last: u64,
        prober: bool,
    }

    #[derive(Debug, Clone)]
    enum Event {
        Wait(u64),
        Admit,
        Connected,
        Failed,
        Abandon,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..400_u64).prop_map(Event::Wait),
            Just(Event::Admit),
            Just(Event::Admit),
            Just(Event::Connected),
            Just(Event::Failed),
            Just(Event::Failed),
            Just(Event::Abandon),
        ]
    }

    proptest! {
        #[test]
        fn follows_the_model(
            attempts in 0..4_u32,
            offline in 0..1_000_u64,
            events in proptest::collection::vec(event(), 1..200),
        ) {
            let (rule, health) = (rule(attempts, offline), Health::default());
            let mut model = Model::default();
            let mut now = 0;
            let mut probe = None;
            for event in events {
                match event {
                    Event::Wait(time) => now += time,
                    Event::Admit => {
                        let (gate, state) = health.admit(rule, now);
                        let gated = offline > 0 && model.count >= attempts.max(1);
                        let expected = match (gated, now - model.last < offline || model.prober) {
                            (false, _) => Gate::Open,
                            (true, true) => Gate::Shut,
                            (true, false) => Gate::Probe,
                        };
                        prop_assert_eq!(gate, expected);
                        if gate == Gate::Probe {
                            model.prober = true;
                            probe = Some(state.last_failure);
                        }
                    }
                    Event::Connected => {
                        health.succeeded();
                        model = Model::default();
                    }
                    Event::Failed => {
                        health.failed(rule, now);
                        if offline > 0 {
                            model = Model { count: model.count + 1, last: now, prober: false };
                        }
                    }
                    Event::Abandon => {
                        let released = probe.take().is_some_and(|probe| health.release_probe(probe));
                        prop_assert_eq!(released, model.prober);
                        model.prober = false;
                    }
                }
            }
        }

        #[test]
        fn a_state_survives_its_word(
            failures in 0..=State::MAX_FAILURES,
            last_failure in 0..=State::MAX_TIME,
            probing: bool,
        ) {
            let state = State { failures, last_failure, probing };
            prop_assert_eq!(State::unpack(state.pack()), state);
        }
    }
}
