//! What is told about listeners, clusters and plugins: the objects of `/api` and of the page.
//!
//! Keys are stable: they may become more, and none changes its meaning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Name;

/// All that is told.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The process.
    pub about: AboutView,
    /// In the order of their names, as all that follow.
    pub listeners: Vec<ListenerView>,
    /// The clusters.
    pub clusters: Vec<ClusterView>,
    /// The plugins in use.
    pub plugins: Vec<PluginView>,
    /// Components in the plugin directory that no plugin uses; the public is told of none.
    pub unused: Vec<UnusedView>,
}

/// A component that no plugin uses.
#[derive(Debug, Serialize)]
pub struct UnusedView {
    /// The name by which a plugin would use it.
    pub component: String,
    /// Its file.
    pub path: String,
    /// The SHA-256 digest of its bytes; null if they cannot be read.
    pub digest: Option<Arc<str>>,
    /// What it can be: `router`, `balancer`, `rewriter`, `stream-router`.
    pub kinds: Vec<&'static str>,
    /// Why it would be refused; null if it would not be for what it is.
    pub error: Option<String>,
    /// When it was found.
    pub since: Moment,
}

/// What runs here, and since when.
#[derive(Debug, Serialize)]
pub struct AboutView {
    /// `linkspan`.
    pub name: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The contract that its plugins are made for.
    pub contract: &'static str,
    /// The number of the configuration that is served; a later one has a higher number.
    pub generation: u64,
    /// How many threads serve.
    pub workers: usize,
    /// How long it has served, in seconds.
    pub uptime_seconds: u64,
    /// Whether it is leaving.
    pub draining: bool,
    /// When this was told.
    pub time: String,
}

/// A time of the day, in UTC as RFC 3339 has it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Moment {
    /// As text.
    pub time: String,
    /// How long ago it was when it was told.
    #[serde(skip)]
    pub ago: Duration,
}

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerView {
    /// Its name.
    pub name: Name,
    /// Where it listens: `127.0.0.1:80` or `unix:/path`; to the public, the path is told without its folders.
    pub address: String,
    /// `http` or `tcp`.
    pub protocol: &'static str,
    /// The plugins that route, in the order in which they are asked; of `tcp` one at most.
    pub routers: Vec<Name>,
    /// The plugins that rewrite, in the order of requests.
    pub rewriters: Vec<Name>,
    /// The same plugins, routers first, with what they are made of.
    pub steps: Vec<Step>,
    /// Where requests go that no router decides; null if they are answered with 404.
    pub default_cluster: Option<Name>,
    /// Where it shows this page; null if it does not.
    pub status_path: Option<Arc<str>>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// By the class of the status, as `2xx`; `none` where there was none.
    pub requests: BTreeMap<String, u64>,
}

/// A plugin that a listener asks.
#[derive(Debug, Serialize)]
pub struct Step {
    /// `router` or `rewriter`.
    pub kind: &'static str,
    /// The plugin's name.
    pub plugin: Name,
    /// The component that it is made of.
    pub component: String,
    /// The version that serves.
    pub version: String,
}

/// A cluster.
#[derive(Debug, Serialize)]
pub struct ClusterView {
    /// Its name.
    pub name: Name,
    /// The balancers, in the order in which they are asked.
    pub balancers: Vec<Name>,
    /// The plugins that rewrite, after the listener's.
    pub rewriters: Vec<Name>,
    /// Attempts at an endpoint.
    pub attempts: u64,
    /// Attempts that came to no response head.
    pub failures: u64,
    /// Attempts that were not the first of their request.
    pub retries: u64,
    /// Requests that wait now for an endpoint to have room.
    pub queued: u64,
    /// Requests that ever waited.
    pub waits: u64,
    /// Requests that were turned away because they waited too long.
    pub queue_timeouts: u64,
    /// Requests that were turned away because too many waited.
    pub queue_full: u64,
    /// Each once, in the order of the configuration.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Debug, Serialize)]
pub struct EndpointView {
    /// `host:port` or `unix:/path`; to the public, the path is told without its folders.
    pub address: Arc<str>,
    /// `alive`, or why it is not used as usual: `offline`, `unhealthy`, `failing`, `draining`,
    /// `maintenance` or `disabled`.
    pub state: &'static str,
    /// When that began.
    pub since: Moment,
    /// Whether somebody has set it by hand, which lasts until the process ends.
    pub by_hand: bool,
    /// Whether balancers may choose it; an offline one too, if all are.
    pub usable: bool,
    /// What balancers weigh it by now, at all of its places in the list together.
    pub weight: f64,
    /// What its weight grows to, if it starts slowly; likewise.
    pub configured_weight: f64,
    /// Requests sent and not finished.
    pub in_flight: u32,
    /// The most of these that it may have; null without a limit.
    pub max_connections: Option<u32>,
    /// Requests ever sent.
    pub requests: u64,
    /// Its part of the requests of its cluster's endpoints, 0 to 1; null before the first.
    pub share: Option<f64>,
    /// Attempts that failed to connect, or broke before a response head.
    pub failures: u64,
    /// The offline count: failures to connect since it could last be connected to.
    pub failures_in_a_row: u32,
    /// When the last of these was; null if there are none.
    pub last_failure: Option<Moment>,
    /// Responses since the last good one that count as failures.
    pub bad_responses_in_a_row: u32,
    /// Active checks ever made.
    pub checks: u64,
    /// How many of them failed.
    pub checks_failed: u64,
    /// The last active check; null without one.
    pub last_check: Option<CheckView>,
    /// The time to a response's head, mostly of the last second; null before the first.
    pub latency_ms: Option<f64>,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of response bodies.
    pub bytes_received: u64,
}

/// An active check.
#[derive(Debug, Serialize)]
pub struct CheckView {
    /// When it ended.
    pub time: Moment,
    /// Whether the endpoint passed.
    pub passed: bool,
    /// What it found, in a few words.
    pub found: String,
}

/// A version that gets a share of a plugin's requests, until it takes its place or is withdrawn.
#[derive(Debug, Serialize)]
pub struct TrialView {
    /// A digest of its component and its configuration.
    pub version: String,
    /// The SHA-256 of its component.
    pub digest: Arc<str>,
    /// Its share of the requests, in percent.
    pub share: f64,
    /// When it began.
    pub since: Moment,
    /// Its calls.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// The mean time of its calls in the guest; null before the first.
    pub mean_us: Option<f64>,
    /// The same of the version that serves, since then.
    pub serving_mean_us: Option<f64>,
}

/// What is called beside a plugin with copies of what that is asked about, and decides nothing; how its
/// answers compare.
#[derive(Debug, Serialize)]
pub struct ShadowView {
    /// The name that it has among the plugins.
    pub plugin: Name,
    /// Since when these versions of both are compared; null if it is not called at all.
    pub since: Option<Moment>,
    /// Calls that both were asked about.
    pub calls: u64,
    /// Those of them that both answered alike.
    pub agreed: u64,
    /// Those that they answered otherwise.
    pub differed: u64,
    /// Those on which the shadow failed.
    pub failed: u64,
    /// Calls that it was not asked about, as it was parked or too many were under way.
    pub missed: u64,
    /// Calls on which the plugin itself failed.
    pub unanswered: u64,
    /// The mean time of its calls in the guest; null before the first.
    pub mean_us: Option<f64>,
    /// The same of the plugin, in the same calls.
    pub serving_mean_us: Option<f64>,
    /// What was to be called beside it and is refused; null if there is nothing.
    pub candidate: Option<CandidateView>,
}

/// A component that was to serve as a plugin, and is refused.
#[derive(Debug, Serialize)]
pub struct CandidateView {
    /// The SHA-256 digest of its bytes; null if there are none.
    pub digest: Option<Arc<str>>,
    /// Why it is refused.
    pub reason: String,
    /// When it was found.
    pub since: Moment,
}

/// A plugin.
#[derive(Debug, Serialize)]
pub struct PluginView {
    /// Its name.
    pub name: Name,
    /// The component that it is made of.
    pub component: String,
    /// What it can be: `router`, `balancer`, `rewriter`.
    pub kinds: Vec<&'static str>,
    /// `built-in`, `file`, or `copy`: of what served before, while its file has other bytes.
    pub source: &'static str,
    /// The component's file; null if it is built in, and to the public.
    pub path: Option<String>,
    /// The version that serves.
    pub version: String,
    /// The SHA-256 digest of the component's bytes.
    pub digest: Arc<str>,
    /// When it came to serve.
    pub since: Moment,
    /// What was to take its place and is refused; null if there is nothing, and to the public.
    pub candidate: Option<CandidateView>,
    /// The version that is tried with a share of the requests; null if there is none, and to the public.
    pub trial: Option<TrialView>,
    /// What is called beside it; null if nothing is to be, and to the public.
    pub shadow: Option<ShadowView>,
    /// Of what is called beside a plugin, and decides nothing: that plugin; null of all others. The public
    /// is not told of it.
    pub shadow_of: Option<Name>,
    /// `per-worker` or `shared`.
    pub instances: &'static str,
    /// The keys of the configuration that name it.
    pub used_by: Vec<String>,
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// The same by cause.
    pub failures_by_cause: BTreeMap<String, u64>,
    /// Calls that found no free instance.
    pub busy: u64,
    /// Uses of it that are not called for now, after repeated failures.
    pub parked: u64,
    /// The mean time of a call in the guest; null before the first that was measured.
    pub mean_us: Option<f64>,
    /// The time that half of the calls did not exceed, estimated from a histogram; null likewise.
    pub p50_us: Option<f64>,
    /// The time that 99 of 100 calls did not exceed, likewise.
    pub p99_us: Option<f64>,
    /// Instances that there are, of all its versions and uses.
    pub live_instances: u64,
    /// The linear memory that they have, in bytes.
    pub memory_bytes: u64,
    /// The most that they had at a time, in bytes.
    pub memory_peak_bytes: u64,
}
