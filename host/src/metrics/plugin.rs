//! What is counted of plugins, and what they count themselves.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::MetricType;

use super::cells::{Bounds, Histogram, PerWorker};
use super::figures::{Figure, Figures};
use super::text::{Family, MICROSECOND, MILLISECOND, Sample, Value, histogram};
use super::{Metrics, counters, increment, lock};

/// One in so many calls is measured, and stands for as many.
pub const SAMPLED: u64 = 16;

/// What comes of a call that a plugin has decided and another is to be asked about beside it: they agreed
/// or differed; that other failed; it was not asked, as it was parked or too many were under way; or the
/// plugin itself failed, and there is nothing to compare.
pub const SHADOWED: [&str; 5] = ["agreed", "differed", "failed", "missed", "unanswered"];

/// What a plugin asks for and may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// An address that a router names and that its grants do not cover, or that is none.
    Address,
    /// A store that it was not granted.
    Store,
    /// Memory beyond its limit.
    Memory,
    /// A table beyond its limit.
    Table,
}

impl Denied {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Address, "address"),
        (Self::Store, "store"),
        (Self::Memory, "memory"),
        (Self::Table, "table"),
    ];
}

/// A quarter of a microsecond to a tenth of a second.
const GUEST_BOUNDS: Bounds = [
    250,
    500,
    MICROSECOND,
    2_500,
    5 * MICROSECOND,
    10 * MICROSECOND,
    25 * MICROSECOND,
    50 * MICROSECOND,
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    100 * MILLISECOND,
];

/// The counters of one plugin, of all its uses together.
#[derive(Debug)]
pub struct PluginMetrics {
    cells: PerWorker<PluginCells>,
    /// How many of its uses are parked.
    parked: AtomicU64,
    messages_dropped: AtomicU64,
    /// In the order of [`Denied::ALL`].
    denied: [AtomicU64; Denied::ALL.len()],
    /// Versions that have come to serve in place of another, and such that were refused.
    taken: AtomicU64,
    refused: AtomicU64,
    /// Such that got a share of the requests, and then no more, or that were rolled back.
    tried: AtomicU64,
    withdrawn: AtomicU64,
    /// Instances that there are, and the linear memory that they have, now and at most.
    instances: AtomicU64,
    memory: AtomicU64,
    memory_peak: AtomicU64,
    /// What came of comparing it with another, as [`SHADOWED`]; nothing if that never was.
    shadowed: OnceLock<[AtomicU64; SHADOWED.len()]>,
    /// Decisions that were recorded, and those that were to be and are not.
    recorded: AtomicU64,
    unrecorded: AtomicU64,
    /// How many recordings of it go on.
    recording: AtomicU64,
    /// What it counts itself.
    pub figures: Figures,
}

#[derive(Debug)]
pub(super) struct PluginCells {
    calls: AtomicU64,
    guest_time: Histogram,
    busy: AtomicU64,
    failures: Box<[AtomicU64]>,
}

impl PluginCells {
    pub(super) fn new(failures: &[&str]) -> Self {
        Self {
            calls: AtomicU64::new(0),
            guest_time: Histogram::default(),
            busy: AtomicU64::new(0),
            failures: counters(failures),
        }
    }
}

impl PluginMetrics {
    pub(super) fn new(cells: PerWorker<PluginCells>) -> Self {
        Self {
            cells,
            parked: AtomicU64::new(0),
            messages_dropped: AtomicU64::new(0),
            denied: Default::default(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            withdrawn: AtomicU64::new(0),
            instances: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            shadowed: OnceLock::new(),
            recorded: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            recording: AtomicU64::new(0),
            figures: Figures::default(),
        }
    }

    /// Counts a call that was made, whatever came of it.
    pub fn call(&self, worker: usize) {
        increment(&self.cells.of(worker).calls);
    }

    /// Adds the time that a call spent in the guest: one of [`SAMPLED`].
    pub fn guest_time(&self, worker: usize, time: Duration) {
        self.cells.of(worker).guest_time.observe_for(&GUEST_BOUNDS, time, SAMPLED);
    }

    /// Counts a failure; `cause` is an index into
    /// [`Words::plugin_failures`](super::Words::plugin_failures).
    pub fn failure(&self, worker: usize, cause: usize) {
        if let Some(counter) = self.cells.of(worker).failures.get(cause) {
            increment(counter);
        }
    }

    /// Counts a call that was not made because no instance was free.
    pub fn busy(&self, worker: usize) {
        increment(&self.cells.of(worker).busy);
    }

    /// Notes that a use of the plugin is not called from now on.
    pub fn park(&self) {
        increment(&self.parked);
    }

    /// Notes that it is called again, or gone.
    pub fn unpark(&self) {
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a version that serves from now on.
    pub fn taken(&self) {
        increment(&self.taken);
    }

    /// Counts one that was to serve, and is refused.
    pub fn refused(&self) {
        increment(&self.refused);
    }

    /// Counts one that gets a share of the requests from now on.
    pub fn tried(&self) {
        increment(&self.tried);
    }

    /// Counts one that has served and does no more, for a reason.
    pub fn withdrawn(&self) {
        increment(&self.withdrawn);
    }

    /// Notes an instance more.
    pub fn born(&self) {
        increment(&self.instances);
    }

    /// Notes an instance less, which had so many bytes of linear memory.
    pub fn dropped(&self, memory: usize) {
        self.instances.fetch_sub(1, Ordering::Relaxed);
        self.memory.fetch_sub(memory as u64, Ordering::Relaxed);
    }

    /// Notes that an instance has so many bytes of linear memory more.
    pub fn grown(&self, memory: usize) {
        let memory = memory as u64;
        let all = self.memory.fetch_add(memory, Ordering::Relaxed).saturating_add(memory);
        self.memory_peak.fetch_max(all, Ordering::Relaxed);
    }

    /// Counts a call that another is to be asked about, by its place in [`SHADOWED`]; without one, shows
    /// that such will be counted.
    pub fn shadowed(&self, outcome: Option<usize>) {
        let counters = self.shadowed.get_or_init(Default::default);
        if let Some(counter) = outcome.and_then(|outcome| counters.get(outcome)) {
            increment(counter);
        }
    }

    /// Notes that a recording of it begins.
    pub fn recording_begins(&self) {
        increment(&self.recording);
    }

    /// Notes that one is over.
    pub fn recording_ends(&self) {
        self.recording.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a decision that is in its recording.
    pub fn recorded(&self) {
        increment(&self.recorded);
    }

    /// Counts one that was to be, and is not.
    pub fn unrecorded(&self) {
        increment(&self.unrecorded);
    }

    /// Counts that it was denied something.
    pub fn denied(&self, what: Denied) {
        let of = |(_, (kind, _)): &(_, (Denied, _))| *kind == what;
        let counter = self.denied.iter().zip(Denied::ALL).find(of);
        if let Some((counter, _)) = counter {
            increment(counter);
        }
    }

    /// Counts a log message that was one too many.
    pub fn message_dropped(&self) {
        increment(&self.messages_dropped);
    }
}

impl Metrics {
    pub(super) fn plugins(&self, families: &mut Vec<Family>) {
        let table = &self.plugins;
        let mut push = |name, help, kind, samples| {
            families.push(Family { name, help, samples, kind });
        };
        let counter = MetricType::Counter;
        let sum = |part: fn(&PluginCells) -> &AtomicU64| {
            table.sample("plugin", |plugin| {
                Value::Counter(plugin.cells.sum(|cells| Some(part(cells))))
            })
        };
        push("linkspan_plugin_calls", "Calls of a plugin", counter, sum(|cells| &cells.calls));
        let guest_time = |plugin: &PluginMetrics| {
            histogram(&GUEST_BOUNDS, &plugin.cells, |cells| &cells.guest_time)
        };
        push(
            "linkspan_plugin_guest_seconds",
            "Time that calls spent in the guest, measured in one of 16 that then counts as 16",
            MetricType::Histogram,
            table.sample("plugin", guest_time),
        );
        let failures = table.samples("plugin", |plugin| {
            let causes = self.words.plugin_failures.iter().enumerate().map(|(index, cause)| {
                let failures = plugin.cells.sum(|cells| cells.failures.get(index));
                (Some(("cause", *cause)), Value::Counter(failures))
            });
            causes.collect()
        });
        push("linkspan_plugin_failures", "Calls that failed", counter, failures);
        let busy = sum(|cells| &cells.busy);
        push("linkspan_plugin_busy", "Calls without a free instance", counter, busy);
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let parked = table.sample("plugin", |plugin| Value::Gauge(read(&plugin.parked)));
        let help = "Uses of a plugin that are not called, after repeated failures";
        push("linkspan_plugin_parked", help, MetricType::Gauge, parked);
        let mut gauge = |name, help, part: fn(&PluginMetrics) -> &AtomicU64| {
            let samples = table.sample("plugin", |plugin| Value::Gauge(read(part(plugin))));
            push(name, help, MetricType::Gauge, samples);
        };
        gauge("linkspan_plugin_instances", "Instances of a plugin", |plugin| &plugin.instances);
        let help = "Linear memory that instances of a plugin have";
        gauge("linkspan_plugin_memory_bytes", help, |plugin| &plugin.memory);
        let help = "The most linear memory that they had at a time";
        gauge("linkspan_plugin_memory_peak_bytes", help, |plugin| &plugin.memory_peak);
        let dropped = table.sample("plugin", |p| Value::Counter(read(&p.messages_dropped)));
        push("linkspan_plugin_messages_dropped", "Log messages one too many", counter, dropped);
        let denied = table.samples("plugin", |plugin| {
            let counters = plugin.denied.iter().zip(Denied::ALL);
            let part = |(count, (_, what))| (Some(("what", what)), Value::Counter(read(count)));
            counters.map(part).collect()
        });
        let help = "What a plugin asked for and may not have";
        push("linkspan_plugin_denied", help, counter, denied);
        let candidates = table.samples("plugin", |plugin| {
            let parts = [
                ("taken", &plugin.taken),
                ("refused", &plugin.refused),
                ("tried", &plugin.tried),
                ("withdrawn", &plugin.withdrawn),
            ];
            let part = |(outcome, count)| (Some(("outcome", outcome)), Value::Counter(read(count)));
            parts.into_iter().map(part).collect()
        });
        let help = "Versions that were to take the place of the one that serves";
        push("linkspan_plugin_candidates", help, counter, candidates);
        self.shadows(families);
        self.recordings(families);
        self.figures(families);
    }

    /// What comes of calling others beside plugins.
    fn shadows(&self, families: &mut Vec<Family>) {
        let samples = self.plugins.samples("plugin", |plugin| {
            let counters = plugin.shadowed.get().into_iter().flatten();
            let part = |(outcome, count): (_, &AtomicU64)| {
                (Some(("outcome", outcome)), Value::Counter(count.load(Ordering::Relaxed)))
            };
            SHADOWED.into_iter().zip(counters).map(part).collect()
        });
        let help = "Calls that a plugin has decided, by what its shadow says of them";
        let name = "linkspan_plugin_shadow_calls";
        families.push(Family { name, help, samples, kind: MetricType::Counter });
    }

    /// What is recorded of them.
    fn recordings(&self, families: &mut Vec<Family>) {
        let table = &self.plugins;
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let samples = table.samples("plugin", |plugin| {
            let parts = [("written", &plugin.recorded), ("dropped", &plugin.unrecorded)];
            let part = |(outcome, count)| (Some(("outcome", outcome)), Value::Counter(read(count)));
            parts.into_iter().map(part).collect()
        });
        let (name, help) = ("linkspan_plugin_recorded", "Decisions that were to be recorded");
        families.push(Family { name, help, samples, kind: MetricType::Counter });
        let samples = table.sample("plugin", |plugin| Value::Gauge(read(&plugin.recording)));
        let (name, help) = ("linkspan_plugin_recording", "Recordings that go on");
        families.push(Family { name, help, samples, kind: MetricType::Gauge });
    }

    /// What plugins count themselves.
    fn figures(&self, families: &mut Vec<Family>) {
        let (mut counters, mut gauges, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for (plugin, handle) in &*lock(&self.plugins.0) {
            let (figures, lost) = handle.figures.read();
            let labels =
                |name: &str| vec![("plugin", plugin.to_string()), ("name", name.to_owned())];
            for (name, figure) in figures {
                let labels = labels(&name);
                match figure {
                    Figure::Counter(sum) => {
                        counters.push(Sample { labels, value: Value::Counter(sum) });
                    }
                    Figure::Gauge(value) => {
                        gauges.push(Sample { labels, value: Value::Fraction(value) });
                    }
                }
            }
            let labels = vec![("plugin", plugin.to_string())];
            dropped.push(Sample { labels, value: Value::Counter(lost) });
        }
        let mut push = |name, help, kind, samples| {
            families.push(Family { name, help, samples, kind });
        };
        push("linkspan_plugin_events", "Plugins' own counters", MetricType::Counter, counters);
        push("linkspan_plugin_value", "Plugins' own gauges", MetricType::Gauge, gauges);
        let help = "Changes of plugins' own figures that broke a rule";
        push("linkspan_plugin_figures_dropped", help, MetricType::Counter, dropped);
    }
}
