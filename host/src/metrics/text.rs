//! What readers get: the sums, by name and labels, and as text for Prometheus.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::cells::{Bounds, Distribution, PerWorker};
use super::{
    ClusterCells, ListenerCells, ListenerMetrics, Metrics, Refusal, SENDFILES, Table, lock,
};

pub(super) const MICROSECOND: u64 = 1_000;
pub(super) const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Half a millisecond to a minute.
pub(super) const REQUEST_BOUNDS: Bounds = [
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// A cell of a listener.
type Cell = fn(&ListenerCells) -> &AtomicU64;

/// What a listener opens and closes: two names with their descriptions, and the cells.
const OPENED: [(&str, &str, &str, &str, Cell, Cell); 3] = [
    (
        "linkspan_connections",
        "Connections accepted",
        "linkspan_connections_open",
        "Connections that are open",
        |cells| &cells.opened,
        |cells| &cells.closed,
    ),
    (
        "linkspan_tunnels",
        "Connections that switched to another protocol",
        "linkspan_tunnels_open",
        "Connections that speak another protocol",
        |cells| &cells.tunnels_opened,
        |cells| &cells.tunnels_closed,
    ),
    (
        "linkspan_streams",
        "TCP connections joined to an upstream's",
        "linkspan_streams_open",
        "TCP connections that are joined to an upstream's",
        |cells| &cells.streams.opened,
        |cells| &cells.streams.closed,
    ),
];

/// The last is for what upstreams make up beyond 599.
const CLASSES: [&str; 7] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// All samples of one metric.
#[derive(Debug)]
pub struct Family {
    /// Its name; without the `_total` that a counter gets in the text.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// One per set of labels.
    pub samples: Vec<Sample>,
    pub(super) kind: MetricType,
}

impl Family {
    /// A metric that only rises; its name is without `_total`.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, help, samples, kind: MetricType::Counter }
    }

    /// A metric that rises and falls.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, help, samples, kind: MetricType::Gauge }
    }
}

/// One value of a metric.
#[derive(Debug)]
pub struct Sample {
    /// Names and values of the labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// What was measured.
#[derive(Debug)]
pub enum Value {
    /// Rises only.
    Counter(u64),
    /// Rises and falls.
    Gauge(u64),
    /// Rises and falls in fractions.
    Fraction(f64),
    /// Durations.
    Histogram(&'static Bounds, Box<Distribution>),
}

impl Metrics {
    /// The sums now.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        self.listeners(&mut families);
        self.stream_bytes(&mut families);
        self.clusters(&mut families);
        self.plugins(&mut families);
        self.stores(&mut families);
        let errors = self.words.errors.iter().enumerate().map(|(index, reason)| Sample {
            labels: vec![("reason", (*reason).to_owned())],
            value: Value::Counter(self.errors.sum(|cells| cells.get(index))),
        });
        let mut counter = |name, help, samples| {
            families.push(Family { name, help, samples, kind: MetricType::Counter });
        };
        counter("linkspan_errors", "Requests that failed", errors.collect());
        let of_log = |log: &super::Log| Sample {
            labels: vec![("log", log.name.to_owned())],
            value: Value::Counter((log.lost)()),
        };
        let lost = lock(&self.logs).iter().map(of_log).collect();
        counter("linkspan_log_lines_dropped", "Lines that a log's target did not take", lost);
        families
    }

    /// The value of a counter, gauge or, as the number of its durations, histogram: of all samples
    /// that have these labels, summed up. `name` may be with or without `_total`; 0 if there is
    /// nothing of that name.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let families = self.families();
        let samples =
            families.iter().filter(|family| family.name == name).flat_map(|family| &family.samples);
        let wanted = samples.filter(|sample| {
            let has = |name, value| sample.labels.iter().any(|own| own.0 == name && own.1 == value);
            labels.iter().all(|(name, value)| has(*name, *value))
        });
        wanted
            .map(|sample| match &sample.value {
                Value::Counter(value) | Value::Gauge(value) => *value,
                Value::Histogram(_, distribution) => distribution.count(),
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "saturates"
                )]
                Value::Fraction(value) => *value as u64,
            })
            .sum()
    }

    fn listeners(&self, families: &mut Vec<Family>) {
        let table = &self.listeners;
        let counter =
            |samples, name, help| Family { name, help, samples, kind: MetricType::Counter };
        let by_class = table.samples("listener", |listener| {
            let classes = CLASSES.iter().enumerate().map(|(index, class)| {
                let requests = listener.0.sum(|cells| cells.requests.get(index));
                (Some(("status", *class)), Value::Counter(requests))
            });
            classes.collect()
        });
        families.push(counter(by_class, "linkspan_requests", "Requests that ended, by status"));
        let durations = table.sample("listener", |listener| {
            histogram(&REQUEST_BOUNDS, &listener.0, |cells: &ListenerCells| &cells.durations)
        });
        families.push(Family {
            name: "linkspan_request_duration_seconds",
            help: "From the head of a request to the end of its response",
            samples: durations,
            kind: MetricType::Histogram,
        });
        for (name, help, name_open, help_open, opened, closed) in OPENED {
            let sum =
                |listener: &ListenerMetrics, cell: Cell| listener.0.sum(|cells| Some(cell(cells)));
            let all = table.sample("listener", |listener| Value::Counter(sum(listener, opened)));
            families.push(counter(all, name, help));
            let open = table.sample("listener", |listener| {
                // Closed first: what closes in between must not make the difference negative.
                let closed = sum(listener, closed);
                Value::Gauge(sum(listener, opened).saturating_sub(closed))
            });
            families.push(Family {
                name: name_open,
                help: help_open,
                samples: open,
                kind: MetricType::Gauge,
            });
        }
        let refused = table.samples("listener", |listener| {
            let reasons = Refusal::ALL.map(|refusal| {
                let refused = listener.0.sum(|cells| cells.refused.get(refusal.index()));
                (Some(("reason", refusal.label())), Value::Counter(refused))
            });
            reasons.into()
        });
        let help = "Connections closed before their first request";
        families.push(counter(refused, "linkspan_connections_refused", help));
        let errors = table.sample("listener", |listener| {
            Value::Counter(listener.0.sum(|cells| Some(&cells.accept_errors)))
        });
        let help = "Connections that could not be accepted for want of descriptors or memory";
        families.push(counter(errors, "linkspan_accept_errors", help));
    }

    fn clusters(&self, families: &mut Vec<Family>) {
        let mut counter = |name, help, counter: fn(&ClusterCells) -> &AtomicU64| {
            let samples = self.clusters.sample("cluster", |cluster| {
                Value::Counter(cluster.0.sum(|cells| Some(counter(cells))))
            });
            families.push(Family { name, help, samples, kind: MetricType::Counter });
        };
        counter("linkspan_upstream_attempts", "Attempts at an endpoint", |cells| &cells.attempts);
        counter("linkspan_upstream_failures", "Attempts without a response", |cells| {
            &cells.failures
        });
        counter("linkspan_upstream_retries", "Attempts after the first of a request", |cells| {
            &cells.retries
        });
        counter("linkspan_upstream_waits", "Requests that waited for an endpoint", |cells| {
            &cells.queued
        });
        counter("linkspan_upstream_queue_timeouts", "Requests that waited too long", |cells| {
            &cells.queue_timeouts
        });
        counter("linkspan_upstream_queue_full", "Requests that found the queue full", |cells| {
            &cells.queue_full
        });
        let sendfiles = self.clusters.samples("cluster", |cluster| {
            let outcomes = SENDFILES.iter().enumerate().map(|(index, outcome)| {
                let count = cluster.0.sum(|cells| cells.sendfiles.get(index));
                (Some(("outcome", *outcome)), Value::Counter(count))
            });
            outcomes.collect()
        });
        families.push(Family {
            name: "linkspan_sendfiles",
            help: "Responses that name a file to send",
            samples: sendfiles,
            kind: MetricType::Counter,
        });
        let waiting = self.clusters.sample("cluster", |cluster| {
            // Those who have left first, as with connections.
            let left = cluster.0.sum(|cells| Some(&cells.dequeued));
            let joined = cluster.0.sum(|cells| Some(&cells.queued));
            Value::Gauge(joined.saturating_sub(left))
        });
        families.push(Family {
            name: "linkspan_upstream_queued",
            help: "Requests that wait for an endpoint now",
            samples: waiting,
            kind: MetricType::Gauge,
        });
    }
}

pub(super) type Label = (&'static str, &'static str);

impl<T> Table<T> {
    /// One sample per handle.
    pub(super) fn sample(&self, label: &'static str, value: impl Fn(&T) -> Value) -> Vec<Sample> {
        self.samples(label, |handle| vec![(None, value(handle))])
    }

    /// Several samples per handle, with a label more.
    pub(super) fn samples(
        &self,
        label: &'static str,
        values: impl Fn(&T) -> Vec<(Option<Label>, Value)>,
    ) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (name, handle) in &*lock(&self.0) {
            for (more, value) in values(handle) {
                let more = more.map(|(label, value)| (label, value.to_owned()));
                let labels = [(label, name.to_string())].into_iter().chain(more).collect();
                samples.push(Sample { labels, value });
            }
        }
        samples
    }
}

pub(super) fn histogram<T>(
    bounds: &'static Bounds,
    cells: &PerWorker<T>,
    part: fn(&T) -> &super::Histogram,
) -> Value {
    Value::Histogram(bounds, Box::new(Distribution::of(cells.all().map(part))))
}

/// What Prometheus scrapes, in the OpenMetrics format.
#[must_use]
pub fn open_metrics(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &registry);
    out
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let Family { name, help, kind, samples } = family;
            // The encoder puts the unit behind the name.
            let units = [("_seconds", &Unit::Seconds), ("_bytes", &Unit::Bytes)];
            let mut named = units
                .into_iter()
                .filter_map(|(end, unit)| name.strip_suffix(end).map(|name| (name, Some(unit))));
            let (name, unit) = named.next().unwrap_or((name, None));
            let mut encoder = encoder.encode_descriptor(name, help, unit, *kind)?;
            for sample in samples {
                if sample.labels.is_empty() {
                    sample.value.encode(&mut encoder)?;
                } else {
                    sample.value.encode(&mut encoder.encode_family(&sample.labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Counter(value) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Fraction(value) => encoder.encode_gauge(value),
            Self::Histogram(bounds, distribution) => {
                let bounds = bounds.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64());
                let mut buckets: Vec<_> =
                    bounds.zip(distribution.buckets.iter().copied()).collect();
                buckets.push((f64::INFINITY, distribution.beyond));
                let (sum, count) = (distribution.sum.as_secs_f64(), distribution.count());
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
        }
    }
}
