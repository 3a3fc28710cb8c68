//! A snapshot as one worker sees it: its listeners and clusters, with the worker's own instances of
//! their plugins.

mod direct;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::body::{DownloadLimits, LeastRate, UploadLimits};
use crate::cluster::Cluster;
use crate::cluster::pool::{ConnectSettings, SendLimits};
use crate::config::{self, Name};
use crate::dns::Inquiries;
use crate::headers::{clean_trailers, request_trailers};
use crate::listener::ahead::LEAST_BYTES;
use crate::listener::door::Door;
use crate::metrics::{ClusterMetrics, ListenerMetrics, Metrics};
use crate::plugin::{Nursery, Plugin};
use crate::snapshot::{Snapshot, Staffed, Use};
use crate::wire::Limits;

pub use direct::Direct;

/// A snapshot as one worker sees it.
pub struct View {
    /// The snapshot's number.
    pub generation: u64,
    /// Where its listeners listen.
    pub listening: Vec<SocketAddr>,
    /// The clusters of addresses that routers name.
    pub direct: Direct,
    listeners: HashMap<Name, Rc<Listener>>,
    clusters: BTreeMap<Name, Rc<ClusterUse>>,
    plugins: HashMap<Use, Plugin>,
}

/// A listener with its plugins.
pub struct Listener {
    /// What is configured.
    pub settings: config::Listener,
    /// In the order in which they are asked.
    pub routers: Vec<Plugin>,
    /// In the order of requests.
    pub on_request: Vec<Plugin>,
    /// In the order of responses.
    pub on_response: Vec<Plugin>,
    /// What decides where a TCP connection goes.
    pub stream_router: Option<Plugin>,
    /// Where requests go that no router decides.
    pub default_cluster: Option<Rc<ClusterUse>>,
    /// Where it counts.
    pub metrics: Arc<ListenerMetrics>,
}

/// A cluster with its plugins and what its settings come to.
pub struct ClusterUse {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The worker's own copy of its name: each request takes it some times, and what counts who has it
    /// is not to be written by several workers.
    name: Option<Name>,
    /// In the order in which they are asked.
    pub balancers: Vec<Plugin>,
    /// In the order of requests.
    pub on_request: Vec<Plugin>,
    /// In the order of responses.
    pub on_response: Vec<Plugin>,
    /// How connections to its endpoints are made.
    pub connect: ConnectSettings,
    /// What bounds a request to them.
    pub send: SendLimits,
    /// Where it counts.
    pub metrics: Arc<ClusterMetrics>,
}

/// What a worker makes its views with.
pub struct Make {
    /// The worker's number, from 0.
    pub worker: usize,
    /// How many there are.
    pub workers: usize,
    /// Where instances are ordered.
    pub nursery: Nursery,
    /// Where names are resolved.
    pub names: Inquiries,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl View {
    /// A worker's view of a snapshot. Plugins that are the same as before keep their instances.
    #[must_use]
    pub fn new(snapshot: &Snapshot, before: Option<&Self>, make: &Make) -> Self {
        let plugin = |(used, staffed): (&Use, &Staffed)| {
            let before = before.and_then(|before| before.plugins.get(used));
            let serving = staff(staffed, before, make);
            let plugin = match snapshot.on_trial(used) {
                Some((tried, share)) => serving.with_trial(staff(tried, before, make), share),
                None => serving,
            };
            (used.clone(), plugin.recorded_by(snapshot.recorder(&used.plugin)))
        };
        let mut plugins: HashMap<Use, Plugin> = snapshot.plugins.iter().map(plugin).collect();
        for (used, shadow, pair) in snapshot.shadowed() {
            let shadow = plugins.get(shadow).cloned();
            if let Some((shadow, plugin)) = shadow.zip(plugins.get_mut(&used)) {
                *plugin = plugin.clone().with_shadow(shadow, Arc::clone(&pair.comparison));
            }
        }
        let clusters: BTreeMap<Name, Rc<ClusterUse>> = snapshot
            .clusters
            .iter()
            .map(|(name, cluster)| {
                (Arc::clone(name), Rc::new(cluster_use(cluster, &plugins, make)))
            })
            .collect();
        let listeners = snapshot.config.listeners.iter();
        let listeners = listeners
            .map(|(name, settings)| {
                (Arc::clone(name), Rc::new(listener(settings, &clusters, &plugins, make)))
            })
            .collect();
        Self {
            generation: snapshot.generation,
            listening: snapshot.listening.clone(),
            direct: Direct::new(snapshot.config.dns.timeout, snapshot.config.direct_tls.clone()),
            listeners,
            clusters,
            plugins,
        }
    }

    /// A listener; `None` if the snapshot has none of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Rc<Listener>> {
        self.listeners.get(name)
    }

    /// The listener of a connection that has come in at a door: the one of its name, or if that was taken out
    /// meanwhile, the one that is at the same place now. `None` if there is neither.
    #[must_use]
    pub fn behind(&self, door: &Door) -> Option<&Rc<Listener>> {
        let known = !door.bind.takes_any_port();
        let here = |listener: &&Rc<Listener>| known && listener.settings.bind == door.bind;
        self.listener(&door.listener).or_else(|| self.listeners.values().find(here))
    }

    /// The plugin of a use, if its definition has this number.
    #[must_use]
    pub fn plugin(&self, used: &Use, definition: u64) -> Option<Plugin> {
        self.plugins.get(used).filter(|plugin| plugin.definition().id == definition).cloned()
    }

    /// The endpoints of all clusters, those of addresses that routers name included, as the pool tells them apart, in order.
    #[must_use]
    pub fn endpoint_keys(&self) -> Vec<u64> {
        let mut keys = Vec::new();
        for cluster in self.clusters.values() {
            keys.extend(cluster.cluster.membership().endpoints().iter().map(|e| e.key()));
        }
        self.direct.add_endpoint_keys(&mut keys);
        keys.sort_unstable();
        keys
    }

    /// What is to be done about once a second.
    pub fn sweep(&self) {
        self.plugins.values().for_each(Plugin::sweep);
    }

    /// A number that differs, as good as always, when the members of a cluster have been replaced.
    #[must_use]
    pub fn memberships(&self) -> u64 {
        let clusters = self.clusters.values();
        clusters
            .fold(0, |sum, of| sum.wrapping_mul(31).wrapping_add(of.cluster.membership().version()))
    }

    /// A cluster; `None` if the snapshot has none of that name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Rc<ClusterUse>> {
        self.clusters.get(name)
    }
}

/// A plugin on this worker: the one that is there, if it serves or is on trial by now, or a new one.
fn staff(staffed: &Staffed, before: Option<&Plugin>, make: &Make) -> Plugin {
    let there = before.into_iter().flat_map(|plugin| [Some(plugin), plugin.on_trial()]).flatten();
    let mut kept = there.filter(|there| Arc::ptr_eq(there.definition(), &staffed.definition));
    let kept = kept.next().cloned().map(Plugin::alone);
    kept.unwrap_or_else(|| {
        let first = staffed.newborn(make.worker);
        let definition = Arc::clone(&staffed.definition);
        let (nursery, shared) = (make.nursery.clone(), staffed.shared.clone());
        Plugin::new(definition, nursery, make.worker, first, shared)
    })
}

/// The plugins of these names, as the use says.
fn named(names: &[Name], cluster: Option<&Name>, plugins: &HashMap<Use, Plugin>) -> Vec<Plugin> {
    let plugin = |name: &Name| {
        plugins.get(&Use { plugin: Arc::clone(name), cluster: cluster.cloned() }).cloned()
    };
    names.iter().filter_map(plugin).collect()
}

/// The rewriters of these names, apart by what they want to see, each in the order of the calls.
fn rewriters(names: &[Name], plugins: &HashMap<Use, Plugin>) -> (Vec<Plugin>, Vec<Plugin>) {
    let all = named(names, None, plugins);
    let on_request = all.iter().filter(|plugin| plugin.any(Plugin::rewrites_requests));
    let on_response = all.iter().rev().filter(|plugin| plugin.any(Plugin::rewrites_responses));
    let (on_request, on_response) = (on_request.cloned().collect(), on_response.cloned().collect());
    (on_request, on_response)
}

fn listener(
    settings: &config::Listener,
    clusters: &BTreeMap<Name, Rc<ClusterUse>>,
    plugins: &HashMap<Use, Plugin>,
    make: &Make,
) -> Listener {
    let (on_request, on_response) = rewriters(&settings.rewriters, plugins);
    Listener {
        routers: named(&settings.routers, None, plugins),
        on_request,
        on_response,
        stream_router: named(settings.stream_routers(), None, plugins).into_iter().next(),
        default_cluster: settings.default_cluster.as_ref().and_then(|n| clusters.get(n)).cloned(),
        metrics: make.metrics.listener(&settings.name),
        settings: settings.clone(),
    }
}

fn cluster_use(cluster: &Arc<Cluster>, plugins: &HashMap<Use, Plugin>, make: &Make) -> ClusterUse {
    let settings = cluster.settings();
    let (on_request, on_response) = rewriters(&settings.rewriters, plugins);
    let name = Some(&settings.name).filter(|name| !name.is_empty());
    ClusterUse {
        name: name.map(|name| Name::from(&**name)),
        balancers: named(&settings.balancers, Some(&settings.name), plugins),
        on_request,
        on_response,
        connect: ConnectSettings {
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            max_idle: settings.max_idle_per_endpoint.div_ceil(make.workers.max(1)),
            proxy_protocol: settings.proxy_protocol,
            protocol: settings.protocol,
            heads: Limits {
                head_bytes: settings.max_response_head_bytes,
                fields: settings.max_response_headers,
                target_bytes: 0,
            },
        },
        send: SendLimits {
            response_timeout: settings.response_timeout,
            download: DownloadLimits {
                body_timeout: settings.body_timeout,
                filter_trailers: clean_trailers,
                read_bytes: LEAST_BYTES,
            },
        },
        metrics: make.metrics.cluster(&settings.name),
        cluster: Arc::clone(cluster),
    }
}

impl ClusterUse {
    /// A cluster that uses no plugins.
    #[must_use]
    pub fn plain(cluster: &Arc<Cluster>, make: &Make) -> Self {
        cluster_use(cluster, &HashMap::new(), make)
    }

    /// The cluster's name; none if it is of an address that a router named.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// What bounds a request's body.
    #[must_use]
    pub fn upload(&self, listener: &config::Listener) -> UploadLimits {
        UploadLimits {
            max_body_bytes: listener.max_body_bytes.unwrap_or(u64::MAX),
            body_timeout: listener.body_timeout,
            min_body_rate: listener.min_body_rate.map(|bytes_per_second| LeastRate {
                bytes_per_second,
                grace: listener.min_body_rate_grace,
            }),
            replay_bytes: self.cluster.settings().replay_bytes,
            filter_trailers: request_trailers(listener.underscores),
        }
    }
}
