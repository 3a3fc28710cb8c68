//! What is known of an endpoint's condition: a few atomics, written when something changes and read
//! by every worker. They belong to the endpoint, and so outlive reloads with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::condition::Check;
use super::health::{Gate, Health, Rule, State};

/// The rules that an endpoint's failures are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// For failures to connect.
    pub(super) connecting: Rule,
    /// For responses that count as failures.
    pub(super) responding: Rule,
    /// Whether active checks are made.
    pub(super) checked: bool,
}

/// What somebody has set an endpoint to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// It takes requests, whatever the configuration says.
    Ready,
    /// Only requests that belong to it.
    Drain,
    /// None.
    Maintenance,
}

impl Hand {
    /// The word for it, as whoever sets it says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

/// The atomics.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    pub(super) connecting: Health,
    pub(super) responding: Health,
    verdict: AtomicU8,
    /// Shared with those whose place it has taken.
    hand: Arc<AtomicU8>,
    since: AtomicU64,
    up_since: AtomicU64,
    checks: AtomicU64,
    checks_failed: AtomicU64,
    last_check: ArcSwapOption<Check>,
}

/// No check has been judged yet.
const UNKNOWN: u8 = 0;
const PASSING: u8 = 1;
const FAILING: u8 = 2;

impl Vitals {
    /// Whether an attempt may be made, as far as failures of requests say.
    pub(super) fn gate(&self, rules: Rules, now: u64) -> Gate {
        let connecting = self.connecting.state().gate(rules.connecting, now);
        connecting.max(self.responding.state().gate(rules.responding, now))
    }

    /// Whether its failures, or its checks, keep it from being used.
    pub(super) fn is_out(&self, rules: Rules) -> bool {
        self.is_unhealthy(rules)
            || self.connecting.state().is_offline(rules.connecting)
            || self.responding.state().is_offline(rules.responding)
    }

    /// Whether its active checks fail.
    pub(super) fn is_unhealthy(&self, rules: Rules) -> bool {
        rules.checked && self.verdict.load(Ordering::Relaxed) == FAILING
    }

    /// The two machines with their rules.
    pub(super) fn machines(&self, rules: Rules) -> [(State, Rule); 2] {
        let connecting = (self.connecting.state(), rules.connecting);
        [connecting, (self.responding.state(), rules.responding)]
    }

    /// When the last failure of either kind was.
    pub(super) fn last_failure(&self) -> u64 {
        self.connecting.state().last_failure.max(self.responding.state().last_failure)
    }

    /// Takes the judgement of active checks; `None` forgets it. Answers whether the endpoint turns from
    /// failing to not failing, or the other way.
    pub(super) fn judge(&self, passing: Option<bool>) -> bool {
        let verdict = match passing {
            None => UNKNOWN,
            Some(true) => PASSING,
            Some(false) => FAILING,
        };
        let before = self.verdict.swap(verdict, Ordering::Relaxed);
        (before == FAILING) != (verdict == FAILING)
    }

    /// Notes what came of an active check.
    pub(super) fn note_check(&self, check: Check) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.checks_failed.fetch_add(u64::from(!check.passed), Ordering::Relaxed);
        self.last_check.store(Some(Arc::new(check)));
    }

    /// How many checks there were, and how many of them failed.
    pub(super) fn checks(&self) -> (u64, u64) {
        // The failed ones first: what comes in between must not make them more than all.
        let failed = self.checks_failed.load(Ordering::Relaxed);
        (self.checks.load(Ordering::Relaxed).max(failed), failed)
    }

    pub(super) fn last_check(&self) -> Option<Arc<Check>> {
        self.last_check.load_full()
    }

    pub(super) fn hand(&self) -> Option<Hand> {
        match self.hand.load(Ordering::Relaxed) {
            1 => Some(Hand::Ready),
            2 => Some(Hand::Drain),
            3 => Some(Hand::Maintenance),
            _ => None,
        }
    }

    pub(super) fn set_hand(&self, hand: Option<Hand>) {
        let hand = match hand {
            None => 0,
            Some(Hand::Ready) => 1,
            Some(Hand::Drain) => 2,
            Some(Hand::Maintenance) => 3,
        };
        self.hand.store(hand, Ordering::Relaxed);
    }

    /// From here on what either is set to, both are.
    pub(super) fn share_hand(&mut self, other: &Self) {
        self.hand = Arc::clone(&other.hand);
    }

    /// Notes that its condition is another from now on.
    pub(super) fn turned(&self, now: u64) {
        self.since.store(now.max(1), Ordering::Relaxed);
    }

    /// When its condition became what it is; 0 if it was never another.
    pub(super) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Notes that it begins to take requests, which it may do slowly.
    pub(super) fn rose(&self, now: u64) {
        self.up_since.store(now.max(1), Ordering::Relaxed);
    }

    /// When it began to take requests; 0 if it has always done so.
    pub(super) fn up_since(&self) -> u64 {
        self.up_since.load(Ordering::Relaxed)
    }
}
