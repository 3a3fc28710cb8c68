//! Who a plugin is: what its instances have in common, in all workers.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::config::{Limits, Name};
use crate::log::gate::Gate;
use crate::metrics::PluginMetrics;
use crate::plugin::cells::Cells;
use crate::plugin::error::{FAILURES, Failure};
use crate::plugin::guest::Skips;
use crate::plugin::parking::Parking;
use crate::plugin::tally::Tally;
use crate::plugin::ticker::Ticker;
use crate::store::Store;

/// What a plugin is given.
#[derive(Clone)]
pub(super) struct Given {
    /// The plugin's name.
    pub(super) name: Name,
    /// The version: a digest of component and configuration, as hexadecimal digits.
    pub(super) version: Arc<str>,
    /// What each instance may use.
    pub(super) limits: Limits,
    /// The names of all clusters, sorted.
    pub(super) clusters: Arc<[Name]>,
    /// Whether any address is granted.
    pub(super) any_address: bool,
    /// The stores that it may open.
    pub(super) stores: Vec<(Name, Arc<Store>)>,
    /// Whether it may write to them.
    pub(super) writes: bool,
    /// The numbers that instances share.
    pub(super) cells: Arc<Cells>,
    /// Where it is counted, and its own counters and gauges.
    pub(super) metrics: Arc<PluginMetrics>,
    /// Measures its time.
    pub(super) ticker: Arc<Ticker>,
}

/// What all instances of a plugin share.
pub(super) struct Identity {
    /// What it is given.
    pub(super) given: Given,
    /// The phases that it need not be called for, as its first instance said in `configure`.
    pub(super) skips: OnceLock<Skips>,
    /// Whether a deadline was ever missed: from then on, calls yield.
    pub(super) yields: AtomicBool,
    /// What this version is counted by.
    pub(super) tally: Tally,
    /// Whether it is parked.
    pub(super) parking: Parking,
    /// How often it may still log in this second.
    pub(super) log_gate: Gate,
    /// How often its failures may still be logged in this second, by kind.
    pub(super) failure_gates: [Gate; FAILURES.len()],
    /// The same for requests that found no instance.
    pub(super) busy_gate: Gate,
}

impl Identity {
    /// One that nothing is known of yet. `failed` is rung at failures while it is watched.
    pub(super) fn new(given: Given, failed: Arc<Notify>) -> Self {
        Self {
            given,
            skips: OnceLock::new(),
            yields: AtomicBool::new(false),
            tally: Tally::new(failed),
            parking: Parking::default(),
            log_gate: Gate::default(),
            failure_gates: Default::default(),
            busy_gate: Gate::default(),
        }
    }

    /// It is parked no more, if it was.
    pub(super) fn unpark(&self) {
        if self.parking.recovered() {
            self.given.metrics.unpark();
        }
    }

    /// The gate of a kind of failure.
    pub(super) fn failure_gate(&self, failure: &Failure) -> &Gate {
        let gate = failure.index().and_then(|index| self.failure_gates.get(index));
        gate.unwrap_or(&self.busy_gate)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.unpark();
    }
}
