//! What comes of asking two plugins the same: how often they agree, and what either takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Name;
use crate::log::gate::Gate;
use crate::metrics::{PluginMetrics, SHADOWED};
use crate::plugin::definition::Definition;

/// Counts what a version of a plugin and one of its shadow say, of all their uses and in all workers.
/// The plugin's own counters go on over all versions of both.
#[derive(Debug)]
pub struct Comparison {
    /// The plugin that decides.
    pub(super) plugin: Name,
    /// Its version.
    pub(super) version: String,
    /// How often a difference may still be logged in this second.
    pub(super) gate: Gate,
    metrics: Arc<PluginMetrics>,
    /// As [`SHADOWED`].
    outcomes: [AtomicU64; SHADOWED.len()],
    /// Nanoseconds in the guests of those that were asked both.
    deciding: AtomicU64,
    shadowing: AtomicU64,
}

/// What came of a call: a place in [`SHADOWED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Both answered alike.
    Agreed,
    /// They did not.
    Differed,
    /// The shadow failed.
    Failed,
    /// The shadow was not asked.
    Missed,
    /// The plugin failed.
    Unanswered,
}

/// What has been counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Calls that both answered alike.
    pub agreed: u64,
    /// Calls that they answered otherwise.
    pub differed: u64,
    /// Calls on which the shadow failed.
    pub failed: u64,
    /// Calls that it was not asked about: it was parked, or too many were under way.
    pub missed: u64,
    /// Calls on which the plugin failed, so that the shadow was not asked.
    pub unanswered: u64,
    deciding: Duration,
    shadowing: Duration,
}

impl Comparison {
    /// Nothing compared yet with what this is the definition of.
    #[must_use]
    pub fn with(plugin: &Definition) -> Self {
        let metrics = Arc::clone(&plugin.identity.given.metrics);
        metrics.shadowed(None);
        Self {
            plugin: Arc::clone(&plugin.config.name),
            version: plugin.version().to_owned(),
            gate: Gate::default(),
            metrics,
            outcomes: Default::default(),
            deciding: AtomicU64::new(0),
            shadowing: AtomicU64::new(0),
        }
    }

    /// Counts a call that the shadow was not asked about.
    pub(super) fn count(&self, outcome: Outcome) {
        let place = outcome as usize;
        self.metrics.shadowed(Some(place));
        if let Some(counter) = self.outcomes.get(place) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one that both were asked about, with the time that it took the plugin, and its shadow.
    pub(super) fn compared(&self, outcome: Outcome, deciding: Duration, shadowing: Duration) {
        let add = |sum: &AtomicU64, time: Duration| {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            sum.fetch_add(nanoseconds, Ordering::Relaxed);
        };
        add(&self.deciding, deciding);
        add(&self.shadowing, shadowing);
        self.count(outcome);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn so_far(&self) -> Compared {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [agreed, differed, failed, missed, unanswered] = self.outcomes.each_ref().map(read);
        let (deciding, shadowing) = (read(&self.deciding), read(&self.shadowing));
        let [deciding, shadowing] = [deciding, shadowing].map(Duration::from_nanos);
        Compared { agreed, differed, failed, missed, unanswered, deciding, shadowing }
    }
}

impl Compared {
    /// Calls that both were asked about.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.agreed + self.differed + self.failed
    }

    /// The mean time of these in the plugin that decides, and in its shadow; none before the first.
    #[must_use]
    pub fn means(&self) -> Option<(Duration, Duration)> {
        let calls = Some(u128::from(self.calls())).filter(|calls| *calls > 0)?;
        let mean = |sum: Duration| {
            Duration::from_nanos(u64::try_from(sum.as_nanos() / calls).unwrap_or(u64::MAX))
        };
        Some((mean(self.deciding), mean(self.shadowing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_go_on_after_four_billion_calls() {
        let calls = 1 << 33;
        let (deciding, shadowing) =
            (Duration::from_nanos(calls * 700), Duration::from_nanos(calls * 900));
        let compared = Compared { agreed: calls, deciding, shadowing, ..Compared::default() };
        let means = (Duration::from_nanos(700), Duration::from_nanos(900));
        assert_eq!(compared.means(), Some(means));
        assert_eq!(Compared::default().means(), None);
    }
}
