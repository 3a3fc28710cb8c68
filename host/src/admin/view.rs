//! What is told about listeners, clusters and plugins: the objects of `/api`, made anew each time.
//!
//! Keys are stable: they may become more, and none changes its meaning.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::admin::Handles;
use crate::cluster::health::now;
use crate::cluster::{Cluster, Member};
use crate::config::{Instances, Name};
use crate::metrics::{Family, Value};
use crate::plugin::{CONTRACT, Source};
use crate::snapshot::{Snapshot, Staffed};

#[derive(Serialize)]
pub(super) struct Version {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) contract: &'static str,
    /// The number of the configuration that is served; a later one has a higher number.
    pub(super) generation: u64,
    pub(super) workers: usize,
    pub(super) uptime_seconds: u64,
    pub(super) draining: bool,
}

#[derive(Serialize)]
pub(super) struct ListenerView {
    pub(super) name: Name,
    pub(super) address: String,
    pub(super) protocol: &'static str,
    pub(super) routers: Vec<Name>,
    pub(super) rewriters: Vec<Name>,
    pub(super) default_cluster: Option<Name>,
    pub(super) connections: u64,
    pub(super) connections_open: u64,
    /// By the class of the status, as `2xx`; `none` where there was none.
    pub(super) requests: BTreeMap<String, u64>,
}

#[derive(Serialize)]
pub(super) struct ClusterView {
    pub(super) name: Name,
    pub(super) balancers: Vec<Name>,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) retries: u64,
    pub(super) endpoints: Vec<EndpointView>,
}

#[derive(Serialize)]
pub(super) struct EndpointView {
    pub(super) address: Arc<str>,
    /// `alive`, `offline`, `failing`, `unhealthy`, `draining`, `maintenance` or `disabled`.
    pub(super) state: &'static str,
    /// Whether balancers may choose it; an offline one too, if all are.
    pub(super) usable: bool,
    pub(super) weight: f64,
    pub(super) in_flight: u32,
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Failures to connect since it could last be connected to.
    pub(super) failures_in_a_row: u32,
    /// The time to a response's head, mostly of the last second; null before the first.
    pub(super) latency_ms: Option<f64>,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

#[derive(Serialize)]
pub(super) struct PluginView {
    pub(super) name: Name,
    pub(super) component: String,
    pub(super) kinds: Vec<&'static str>,
    /// `built-in` or `file`.
    pub(super) source: &'static str,
    pub(super) path: Option<String>,
    pub(super) version: String,
    pub(super) digest: Arc<str>,
    /// `per-worker` or `shared`.
    pub(super) instances: &'static str,
    pub(super) used_by: Vec<String>,
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) failures_by_cause: BTreeMap<String, u64>,
    /// Calls that found no free instance.
    pub(super) busy: u64,
    /// Uses of it that are not called for now, after repeated failures.
    pub(super) parked: u64,
    /// The mean time of a call in the guest; null before the first that was measured.
    pub(super) mean_us: Option<f64>,
}

pub(super) fn version(handles: &Handles, snapshot: &Snapshot) -> Version {
    Version {
        name: "linkspan",
        version: env!("CARGO_PKG_VERSION"),
        contract: CONTRACT,
        generation: snapshot.generation,
        workers: snapshot.config.server.workers,
        uptime_seconds: handles.begun.elapsed().as_secs(),
        draining: handles.drain.is_draining(),
    }
}

pub(super) fn listeners(handles: &Handles, snapshot: &Snapshot) -> Vec<ListenerView> {
    let sums = Sums::new(handles.metrics.families());
    let view = |(name, listener): (&Name, &crate::config::Listener)| ListenerView {
        name: Arc::clone(name),
        address: snapshot.addresses.get(name).unwrap_or(&listener.bind).to_string(),
        protocol: "http",
        routers: listener.routers.clone(),
        rewriters: listener.rewriters.clone(),
        default_cluster: listener.default_cluster.clone(),
        connections: sums.total("linkspan_connections", name),
        connections_open: sums.total("linkspan_connections_open", name),
        requests: sums.parts("linkspan_requests", name),
    };
    snapshot.config.listeners.iter().map(view).collect()
}

pub(super) fn clusters(handles: &Handles, snapshot: &Snapshot) -> Vec<ClusterView> {
    let sums = Sums::new(handles.metrics.families());
    let view = |(name, cluster): (&Name, &Arc<Cluster>)| ClusterView {
        name: Arc::clone(name),
        balancers: cluster.settings().balancers.clone(),
        attempts: sums.total("linkspan_upstream_attempts", name),
        failures: sums.total("linkspan_upstream_failures", name),
        retries: sums.total("linkspan_upstream_retries", name),
        endpoints: endpoints(cluster),
    };
    snapshot.clusters.iter().map(view).collect()
}

/// Each endpoint once, in the order of the configuration.
fn endpoints(cluster: &Cluster) -> Vec<EndpointView> {
    let now = now();
    cluster.refresh(now);
    let membership = cluster.membership();
    let mut seen = std::collections::HashSet::new();
    let members = membership.members().iter();
    let members = members.filter(|member| seen.insert(member.endpoint.id()));
    members.map(|member| endpoint(cluster, member, now)).collect()
}

fn endpoint(cluster: &Cluster, member: &Member, now: u64) -> EndpointView {
    let (endpoint, state) = (&member.endpoint, cluster.state_of(member, now));
    let latency = endpoint.latency();
    EndpointView {
        address: Arc::clone(endpoint.label()),
        state: cluster.condition(member, now).state.word(),
        usable: state.usable,
        weight: f64::from(state.weight) / 100.0,
        in_flight: endpoint.in_flight(),
        requests: endpoint.total(),
        failures: endpoint.failures(),
        failures_in_a_row: endpoint.health().failures,
        latency_ms: (latency > 0)
            .then(|| std::time::Duration::from_nanos(latency).as_secs_f64() * 1e3),
        bytes_sent: endpoint.bytes_sent(),
        bytes_received: endpoint.bytes_received(),
    }
}

pub(super) fn plugins(handles: &Handles, snapshot: &Snapshot) -> Vec<PluginView> {
    let sums = Sums::new(handles.metrics.families());
    // All uses of a plugin are of one version; the first stands for them.
    let mut staffed: BTreeMap<&Name, &Staffed> = BTreeMap::new();
    for (used, staff) in &snapshot.plugins {
        staffed.entry(&used.plugin).or_insert(staff);
    }
    staffed.into_iter().map(|(name, staff)| plugin(name, staff, snapshot, &sums)).collect()
}

fn plugin(name: &Name, staffed: &Staffed, snapshot: &Snapshot, sums: &Sums) -> PluginView {
    let definition = &staffed.definition;
    let failures = sums.parts("linkspan_plugin_failures", name);
    PluginView {
        name: Arc::clone(name),
        component: definition.config.component.clone(),
        kinds: definition.component.kinds.iter().map(|kind| kind.name()).collect(),
        source: staffed.source.name(),
        path: match &staffed.source {
            Source::BuiltIn => None,
            Source::File(path) => Some(path.display().to_string()),
        },
        version: definition.version().to_owned(),
        digest: Arc::clone(&definition.component.digest),
        instances: match definition.config.instances {
            Instances::PerWorker => "per-worker",
            Instances::Shared => "shared",
        },
        used_by: snapshot.config.uses_of(name),
        calls: sums.total("linkspan_plugin_calls", name),
        failures: failures.values().sum(),
        failures_by_cause: failures,
        busy: sums.total("linkspan_plugin_busy", name),
        parked: sums.total("linkspan_plugin_parked", name),
        mean_us: sums.mean_us("linkspan_plugin_guest_seconds", name),
    }
}

/// What is counted now, by metric and by the value of the first label: of what it is counted.
struct Sums(HashMap<(&'static str, String), Vec<(String, Value)>>);

impl Sums {
    fn new(families: Vec<Family>) -> Self {
        let mut sums: HashMap<_, Vec<_>> = HashMap::new();
        for family in families {
            for sample in family.samples {
                let mut labels = sample.labels.into_iter().map(|(_, value)| value);
                let of = labels.next().unwrap_or_default();
                let part = labels.next().unwrap_or_default();
                sums.entry((family.name, of)).or_default().push((part, sample.value));
            }
        }
        Self(sums)
    }

    fn samples(&self, metric: &'static str, of: &str) -> &[(String, Value)] {
        self.0.get(&(metric, of.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn total(&self, metric: &'static str, of: &str) -> u64 {
        self.parts(metric, of).values().sum()
    }

    /// By the value of the second label.
    fn parts(&self, metric: &'static str, of: &str) -> BTreeMap<String, u64> {
        let part = |(part, value): &(String, Value)| match value {
            Value::Counter(value) | Value::Gauge(value) => Some((part.clone(), *value)),
            Value::Fraction(_) | Value::Histogram(..) => None,
        };
        self.samples(metric, of).iter().filter_map(part).collect()
    }

    fn mean_us(&self, metric: &'static str, of: &str) -> Option<f64> {
        self.samples(metric, of).iter().find_map(|(_, value)| match value {
            Value::Histogram(_, distribution) => {
                let count = u32::try_from(distribution.count()).unwrap_or(u32::MAX);
                (count > 0).then(|| distribution.sum.as_secs_f64() * 1e6 / f64::from(count))
            }
            Value::Counter(_) | Value::Gauge(_) | Value::Fraction(_) => None,
        })
    }
}
