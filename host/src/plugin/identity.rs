//! Who a plugin is: what its instances have in common, in all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{Limits, Name};
use crate::plugin::cells::Cells;
use crate::plugin::engine::Ticker;
use crate::plugin::figures::Figures;
use crate::plugin::parking::Parking;
use crate::store::Store;

/// What all instances of a plugin share.
pub(super) struct Identity {
    /// The plugin's name.
    pub(super) name: Name,
    /// The version: a digest of component and configuration, as hexadecimal digits.
    pub(super) version: Arc<str>,
    /// What each instance may use.
    pub(super) limits: Limits,
    /// The stores that it may open.
    pub(super) stores: Vec<(Name, Arc<dyn Store>)>,
    /// The numbers that instances share.
    pub(super) cells: Arc<Cells>,
    /// The plugin's own counters and gauges.
    pub(super) figures: Arc<Figures>,
    /// Calls, failures, guest time.
    pub(super) account: Account,
    /// Whether a deadline was ever missed: from then on, calls yield.
    pub(super) yields: AtomicBool,
    /// Whether it is parked.
    pub(super) parking: Parking,
    /// How often it may still log in this second.
    pub(super) log_gate: Gate,
    /// How often its failures may still be logged in this second, by kind.
    pub(super) failure_gates: [Gate; LABELS.len()],
    /// Measures its time.
    pub(super) ticker: Arc<Ticker>,
}

impl Identity {
    /// The gate of a kind of failure.
    pub(super) fn failure_gate(&self, label: &str) -> &Gate {
        let place = LABELS.iter().position(|known| *known == label).unwrap_or(0);
        self.failure_gates.get(place).unwrap_or(&self.log_gate)
    }
}

/// What a plugin has cost so far.
#[derive(Debug, Default)]
pub struct Account {
    /// Failed calls by cause, as [`super::Failure::label`] names them.
    failures: [AtomicU64; LABELS.len()],
    /// Messages dropped for their number.
    pub(super) dropped_messages: AtomicU64,
}

/// The causes that are counted apart.
pub const LABELS: [&str; 7] = ["trap", "deadline", "memory", "contract", "busy", "parked", "birth"];

impl Account {
    /// Counts a failure.
    pub(super) fn fail(&self, label: &str) {
        let counters = LABELS.iter().zip(&self.failures);
        for (_, counter) in counters.filter(|(known, _)| **known == label) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Failures so far, by cause.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        LABELS.into_iter().zip(&self.failures).map(|(l, n)| (l, n.load(Ordering::Relaxed)))
    }
}

/// Lets a number of events pass each second.
#[derive(Debug, Default)]
pub(super) struct Gate {
    second: AtomicU64,
    passed: AtomicU32,
}

impl Gate {
    /// Whether one more may pass, at a time since the process began.
    pub(super) fn pass(&self, now: Duration, rate: u32) -> bool {
        let second = now.as_secs() + 1;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.passed.store(0, Ordering::Relaxed);
        }
        self.passed.fetch_add(1, Ordering::Relaxed) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_its_rate_pass_each_second() {
        let gate = Gate::default();
        let passed = |ms| (0..10).filter(|_| gate.pass(Duration::from_millis(ms), 3)).count();
        assert_eq!(passed(100), 3);
        assert_eq!(passed(900), 0);
        assert_eq!(passed(1_000), 3);
    }
}
