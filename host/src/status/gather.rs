//! From what is served and counted to what is told.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cluster::health::now;
use crate::cluster::{Cluster, Member};
use crate::config::{self, Instances, Name};
use crate::log::timestamp;
use crate::plugin::{CONTRACT, Counted, Source};
use crate::snapshot::{Snapshot, Staffed, Trial, Unused};
use crate::status::sums::Sums;
use crate::status::time::moment;
use crate::status::{
    AboutView, Audience, CandidateView, CheckView, ClusterView, EndpointView, ListenerView,
    PluginView, ShadowView, Sources, Status, Step, TrialView, UnusedView,
};

impl Status {
    /// What is told now, about what a snapshot serves.
    #[must_use]
    pub fn now(sources: &Sources, snapshot: &Snapshot, audience: Audience) -> Self {
        let sums = Sums::new(sources.metrics.families());
        // All uses of a plugin are of one version; the first stands for them.
        let mut staffed: BTreeMap<&Name, &Staffed> = BTreeMap::new();
        for (used, staff) in &snapshot.plugins {
            staffed.entry(&used.plugin).or_insert(staff);
        }
        let listeners = snapshot.config.listeners.values();
        let listeners =
            listeners.map(|each| listener(each, snapshot, audience, &staffed, &sums)).collect();
        let clusters = snapshot.clusters.values();
        let clusters = clusters.map(|each| cluster(each, audience, &sums)).collect();
        let told = |staff: &Staffed| {
            audience == Audience::Administrator || staff.definition.config.beside.is_none()
        };
        let plugins = staffed.iter().filter(|(_, staff)| told(staff));
        let plugins = plugins.map(|(name, staff)| plugin(name, staff, snapshot, audience, &sums));
        let plugins = plugins.collect();
        let unused = match audience {
            Audience::Administrator => sources.stage.unused(),
            Audience::Public => Arc::default(),
        };
        let unused = unused.iter().map(|(name, unused)| unused_view(name, unused)).collect();
        Self { about: about(sources, snapshot), listeners, clusters, plugins, unused }
    }
}

impl AboutView {
    /// What is told now about the process alone.
    #[must_use]
    pub fn now(sources: &Sources, snapshot: &Snapshot) -> Self {
        about(sources, snapshot)
    }
}

impl EndpointView {
    /// What is told now of an endpoint to whoever runs the proxy; none if it has left its cluster.
    #[must_use]
    pub fn now(cluster: &Cluster, member: &Member) -> Option<Self> {
        let label = member.endpoint.label();
        let all = endpoints(cluster, Audience::Administrator).into_iter();
        all.into_iter().find(|endpoint| endpoint.address == *label)
    }
}

fn about(sources: &Sources, snapshot: &Snapshot) -> AboutView {
    AboutView {
        name: "linkspan",
        version: env!("CARGO_PKG_VERSION"),
        contract: CONTRACT,
        generation: snapshot.generation,
        workers: snapshot.config.server.workers,
        uptime_seconds: sources.begun.elapsed().as_secs(),
        draining: sources.drain.is_draining(),
        time: timestamp(SystemTime::now()),
    }
}

fn listener(
    listener: &config::Listener,
    snapshot: &Snapshot,
    audience: Audience,
    staffed: &BTreeMap<&Name, &Staffed>,
    sums: &Sums,
) -> ListenerView {
    let name = &listener.name;
    let step = |kind, plugin: &Name| {
        let definition = &staffed.get(plugin)?.definition;
        Some(Step {
            kind,
            plugin: Arc::clone(plugin),
            component: definition.config.component.clone(),
            version: definition.version().to_owned(),
        })
    };
    let routers = listener.routers.iter().filter_map(|plugin| step("router", plugin));
    let rewriters = listener.rewriters.iter().filter_map(|plugin| step("rewriter", plugin));
    let streams = listener.stream_routers();
    let stream_routers = streams.iter().filter_map(|plugin| step("stream-router", plugin));
    ListenerView {
        name: Arc::clone(name),
        address: match (snapshot.addresses.get(name).unwrap_or(&listener.bind), audience) {
            (bind, Audience::Administrator) => bind.to_string(),
            (bind, Audience::Public) => without_folders(&bind.to_string()),
        },
        protocol: listener.scheme(),
        routers: listener.routers.iter().chain(streams).cloned().collect(),
        rewriters: listener.rewriters.clone(),
        steps: routers.chain(rewriters).chain(stream_routers).collect(),
        default_cluster: listener.default_cluster.clone(),
        status_path: listener.status_path.clone(),
        connections: sums.total("linkspan_connections", name),
        connections_open: sums.total("linkspan_connections_open", name),
        requests: sums.parts("linkspan_requests", name),
    }
}

fn cluster(cluster: &Cluster, audience: Audience, sums: &Sums) -> ClusterView {
    let (name, settings) = (cluster.name(), cluster.settings());
    ClusterView {
        name: Arc::clone(name),
        balancers: settings.balancers.clone(),
        rewriters: settings.rewriters.clone(),
        attempts: sums.total("linkspan_upstream_attempts", name),
        failures: sums.total("linkspan_upstream_failures", name),
        retries: sums.total("linkspan_upstream_retries", name),
        queued: sums.total("linkspan_upstream_queued", name),
        waits: sums.total("linkspan_upstream_waits", name),
        queue_timeouts: sums.total("linkspan_upstream_queue_timeouts", name),
        queue_full: sums.total("linkspan_upstream_queue_full", name),
        endpoints: endpoints(cluster, audience),
    }
}

/// Each endpoint once, in the order of the configuration.
fn endpoints(cluster: &Cluster, audience: Audience) -> Vec<EndpointView> {
    let now = now();
    cluster.refresh(now);
    let membership = cluster.membership();
    let mut seen = HashMap::new();
    let mut endpoints: Vec<EndpointView> = Vec::new();
    for member in membership.members() {
        let view = endpoint(cluster, member, audience, now);
        match seen.entry(member.endpoint.id()) {
            Entry::Vacant(place) => {
                place.insert(endpoints.len());
                endpoints.push(view);
            }
            Entry::Occupied(place) => {
                if let Some(known) = endpoints.get_mut(*place.get()) {
                    join(known, &view);
                }
            }
        }
    }
    let total: u64 = endpoints.iter().map(|endpoint| endpoint.requests).sum();
    for endpoint in &mut endpoints {
        endpoint.share = (total > 0).then(|| endpoint.requests as f64 / total as f64);
    }
    endpoints
}

/// What is known of an endpoint, with another of its places in the list: it has the weights of both, and
/// the better state.
fn join(known: &mut EndpointView, again: &EndpointView) {
    if known.state != "alive" && again.state == "alive" {
        known.state = again.state;
    }
    known.usable |= again.usable;
    known.weight += again.weight;
    known.configured_weight += again.configured_weight;
}

fn endpoint(cluster: &Cluster, member: &Member, audience: Audience, now: u64) -> EndpointView {
    let (endpoint, state) = (&member.endpoint, cluster.state_of(member, now));
    let condition = cluster.condition(member, now);
    let latency = endpoint.latency();
    let failed = condition.last_failure > 0;
    EndpointView {
        address: match audience {
            Audience::Administrator => Arc::clone(endpoint.label()),
            Audience::Public => without_folders(endpoint.label()).into(),
        },
        state: condition.state.word(),
        since: moment(condition.since, now),
        by_hand: condition.by_hand,
        usable: state.usable,
        weight: f64::from(state.weight) / 100.0,
        configured_weight: f64::from(member.weight) / 100.0,
        in_flight: endpoint.in_flight(),
        max_connections: endpoint.max_connections(),
        requests: endpoint.total(),
        share: None,
        failures: endpoint.failures(),
        failures_in_a_row: condition.failures_in_a_row,
        last_failure: failed.then(|| moment(condition.last_failure, now)),
        bad_responses_in_a_row: condition.bad_responses_in_a_row,
        checks: condition.checks,
        checks_failed: condition.checks_failed,
        last_check: condition.check.map(|check| CheckView {
            time: moment(check.at, now),
            passed: check.passed,
            found: check.found.clone(),
        }),
        latency_ms: (latency > 0).then(|| Duration::from_nanos(latency).as_secs_f64() * 1e3),
        bytes_sent: endpoint.bytes_sent(),
        bytes_received: endpoint.bytes_received(),
    }
}

/// An address, or the label of an endpoint, that tells no path on disk.
fn without_folders(label: &str) -> String {
    let path = label.strip_prefix("unix:").and_then(|path| path.rsplit_once('/'));
    path.map_or_else(|| label.to_owned(), |(_, file)| format!("unix:{file}"))
}

fn plugin(
    name: &Name,
    staffed: &Staffed,
    snapshot: &Snapshot,
    audience: Audience,
    sums: &Sums,
) -> PluginView {
    let definition = &staffed.definition;
    let failures = sums.parts("linkspan_plugin_failures", name);
    let costs = sums.costs_us("linkspan_plugin_guest_seconds", name);
    PluginView {
        name: Arc::clone(name),
        component: definition.config.component.clone(),
        kinds: definition.component.kinds.iter().map(|kind| kind.name()).collect(),
        source: staffed.source.name(),
        path: match &staffed.source {
            Source::File(path) if audience == Audience::Administrator => {
                Some(path.display().to_string())
            }
            Source::File(_) | Source::BuiltIn | Source::Copy => None,
        },
        version: definition.version().to_owned(),
        digest: Arc::clone(&definition.component.digest),
        since: moment(snapshot.serving_since(name), now()),
        candidate: candidate(snapshot, name).filter(|_| audience == Audience::Administrator),
        trial: snapshot
            .trials
            .get(name)
            .filter(|_| audience == Audience::Administrator)
            .map(|trial| on_trial(snapshot, trial)),
        shadow: shadow(snapshot, name).filter(|_| audience == Audience::Administrator),
        shadow_of: definition.config.beside.clone(),
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
        mean_us: costs.map(|[mean, ..]| mean),
        p50_us: costs.map(|[_, p50, _]| p50),
        p99_us: costs.map(|[.., p99]| p99),
        live_instances: sums.total("linkspan_plugin_instances", name),
        memory_bytes: sums.total("linkspan_plugin_memory_bytes", name),
        memory_peak_bytes: sums.total("linkspan_plugin_memory_peak_bytes", name),
    }
}

fn unused_view(component: &str, unused: &Unused) -> UnusedView {
    UnusedView {
        component: component.to_owned(),
        path: unused.path.display().to_string(),
        digest: unused.digest.clone(),
        kinds: unused.kinds.iter().map(|kind| kind.name()).collect(),
        error: unused.refused.clone(),
        since: moment(unused.since, now()),
    }
}

fn candidate(snapshot: &Snapshot, plugin: &Name) -> Option<CandidateView> {
    let candidate = snapshot.refused.get(plugin)?;
    Some(CandidateView {
        digest: candidate.digest.clone(),
        reason: candidate.reason.clone(),
        since: moment(candidate.since, now()),
    })
}

fn shadow(snapshot: &Snapshot, plugin: &Name) -> Option<ShadowView> {
    let configured = snapshot.config.plugins.get(plugin)?;
    let name = config::Plugin::shadow_of(plugin);
    configured.shadow.as_ref()?;
    let pair = snapshot.pair(plugin);
    let compared = pair.map(|pair| pair.comparison.so_far()).unwrap_or_default();
    let us = |mean: Duration| mean.as_secs_f64() * 1e6;
    let means = compared.means();
    Some(ShadowView {
        candidate: candidate(snapshot, &name),
        plugin: name,
        since: pair.map(|pair| moment(pair.since, now())),
        calls: compared.calls(),
        agreed: compared.agreed,
        differed: compared.differed,
        failed: compared.failed,
        missed: compared.missed,
        unanswered: compared.unanswered,
        mean_us: means.map(|(_, shadowing)| us(shadowing)),
        serving_mean_us: means.map(|(deciding, _)| us(deciding)),
    })
}

fn on_trial(snapshot: &Snapshot, trial: &Trial) -> TrialView {
    let counted = trial.counted();
    let mean_us = |counted: Counted| counted.mean().map(|mean| mean.as_secs_f64() * 1e6);
    let version = trial.uses.first().map(|(_, staffed)| staffed.definition.version());
    TrialView {
        version: version.unwrap_or_default().to_owned(),
        digest: Arc::clone(&trial.digest),
        share: f64::from(trial.canary.share) / 100.0,
        since: moment(trial.since, now()),
        calls: counted.calls,
        failures: counted.failures,
        mean_us: mean_us(counted),
        serving_mean_us: mean_us(snapshot.counted_beside(trial)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_is_told_no_path() {
        let told = without_folders;
        assert_eq!(told("unix:/run/app/a.sock"), "unix:a.sock");
        assert_eq!(told("unix:/a#address"), "unix:a#address");
        assert_eq!(told("10.0.0.1:80"), "10.0.0.1:80");
    }
}
