//! One worker: a thread with its own runtime, and all that its connections share without a lock.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::body::{DownloadLimits, UploadLimits};
use crate::cluster::Cluster;
use crate::cluster::pool::{ConnectSettings, Pool, SendLimits};
use crate::config::{self, Name};
use crate::drain::Watcher;
use crate::headers::clean_trailers;
use crate::listener::accept::Accepted;
use crate::log::access::{AccessLog, AccessRecord, AccessWriter};
use crate::log::id::{RequestId, RequestIds};
use crate::metrics::{ClusterMetrics, ListenerMetrics, Metrics, Words};
use crate::plugin::{FAILURES, Nursery, Plugin};
use crate::relay::budget::Budget;
use crate::relay::error::{Error, LABELS};
use crate::relay::serve::serve;
use crate::snapshot::{Snapshot, Use};

/// What is shown to all workers at once.
pub struct Stage {
    snapshot: ArcSwap<Snapshot>,
    /// The shown snapshot's, so that a request need only compare numbers.
    generation: AtomicU64,
}

impl Stage {
    /// Shows a first snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        snapshot.take_effect();
        let generation = AtomicU64::new(snapshot.generation);
        Self { snapshot: ArcSwap::new(snapshot), generation }
    }

    /// Shows another, in one step for all workers: requests that begin after it see the new one.
    pub fn show(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        snapshot.take_effect();
        self.snapshot.store(snapshot);
        self.generation.store(generation, Ordering::Release);
    }

    /// What is shown.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }
}

/// What the connections of a worker share.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// Its upstream connections.
    pub pool: Pool,
    /// Which repetitions may still be made.
    pub budget: Budget,
    metrics: Arc<Metrics>,
    access: RefCell<AccessWriter>,
    ids: RefCell<RequestIds>,
    stage: Arc<Stage>,
    make: Make,
    view: RefCell<Rc<View>>,
    generation: Cell<u64>,
}

/// A snapshot as one worker sees it.
pub struct View {
    /// The snapshot's number.
    pub generation: u64,
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
    /// Where requests go that no router decides.
    pub default_cluster: Option<Rc<ClusterUse>>,
    /// Where it counts.
    pub metrics: Arc<ListenerMetrics>,
}

/// A cluster with its plugins and what its settings come to.
pub struct ClusterUse {
    /// The cluster.
    pub cluster: Arc<Cluster>,
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
struct Make {
    worker: usize,
    workers: usize,
    nursery: Nursery,
    metrics: Arc<Metrics>,
}

/// The words that are counted by.
pub const WORDS: Words = Words { errors: &LABELS, plugin_failures: &FAILURES };

impl Worker {
    fn new(start: &mut Start) -> Rc<Self> {
        let snapshot = start.stage.snapshot();
        let workers = snapshot.config.server.workers;
        let make = Make {
            worker: start.index,
            workers,
            nursery: start.nursery.clone(),
            metrics: Arc::clone(&start.metrics),
        };
        let view = View::new(&snapshot, None, &make);
        Rc::new(Self {
            index: start.index,
            pool: Pool::new(),
            budget: Budget::new(workers),
            metrics: Arc::clone(&start.metrics),
            access: RefCell::new(std::mem::replace(&mut start.access, AccessLog::off().writer())),
            ids: RefCell::new(RequestIds::new()),
            stage: Arc::clone(&start.stage),
            make,
            generation: Cell::new(view.generation),
            view: RefCell::new(Rc::new(view)),
        })
    }

    async fn keep_house(self: Rc<Self>) {
        let mut flush = tokio::time::interval(FLUSH);
        for round in 0_u32.. {
            flush.tick().await;
            self.access.borrow_mut().flush();
            if round.is_multiple_of(SWEEP) {
                // A view that nothing asks for any more must not keep what a reload replaced.
                drop(self.view());
                self.pool.sweep();
            }
        }
    }

    /// A new request's id.
    pub(crate) fn issue_id(&self) -> RequestId {
        self.ids.borrow_mut().issue()
    }

    /// Writes an access line.
    pub(crate) fn write(&self, record: &AccessRecord<'_>) {
        self.access.borrow_mut().record(record);
    }

    /// Counts why a request failed.
    pub(crate) fn count_error(&self, error: &Error) {
        self.metrics.error(self.index, error.index());
    }

    /// What a request that begins now sees, to its end.
    pub fn view(&self) -> Rc<View> {
        if self.stage.generation.load(Ordering::Acquire) != self.generation.get() {
            let snapshot = self.stage.snapshot();
            let before = Rc::clone(&self.view.borrow());
            let view = View::new(&snapshot, Some(&before), &self.make);
            self.generation.set(view.generation);
            self.view.replace(Rc::new(view));
            let keys = self.endpoint_keys();
            self.pool.retain(|key| keys.binary_search(&key).is_ok());
        }
        Rc::clone(&self.view.borrow())
    }

    fn endpoint_keys(&self) -> Vec<u64> {
        let view = self.view.borrow();
        let mut keys = Vec::new();
        for cluster in view.clusters.values() {
            keys.extend(cluster.cluster.membership().endpoints().iter().map(|e| e.key()));
        }
        keys.sort_unstable();
        keys
    }
}

impl View {
    fn new(snapshot: &Snapshot, before: Option<&Self>, make: &Make) -> Self {
        let plugins: HashMap<Use, Plugin> = snapshot
            .plugins
            .iter()
            .map(|(used, staffed)| {
                let kept = before
                    .and_then(|before| before.plugins.get(used))
                    .filter(|plugin| Arc::ptr_eq(plugin.definition(), &staffed.definition));
                let plugin = kept.cloned().unwrap_or_else(|| {
                    let first = staffed.newborn(make.worker);
                    let definition = Arc::clone(&staffed.definition);
                    let (nursery, shared) = (make.nursery.clone(), staffed.shared.clone());
                    Plugin::new(definition, nursery, make.worker, first, shared)
                });
                (used.clone(), plugin)
            })
            .collect();
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
        Self { generation: snapshot.generation, listeners, clusters, plugins }
    }

    /// A listener; `None` if the snapshot has none of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Rc<Listener>> {
        self.listeners.get(name)
    }

    /// A cluster; `None` if the snapshot has none of that name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Rc<ClusterUse>> {
        self.clusters.get(name)
    }
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
    let on_request = all.iter().filter(|plugin| plugin.rewrites_requests()).cloned().collect();
    let on_response =
        all.iter().rev().filter(|plugin| plugin.rewrites_responses()).cloned().collect();
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
        default_cluster: settings.default_cluster.as_ref().and_then(|n| clusters.get(n)).cloned(),
        metrics: make.metrics.listener(&settings.name),
        settings: settings.clone(),
    }
}

fn cluster_use(cluster: &Arc<Cluster>, plugins: &HashMap<Use, Plugin>, make: &Make) -> ClusterUse {
    let settings = cluster.settings();
    let (on_request, on_response) = rewriters(&settings.rewriters, plugins);
    ClusterUse {
        balancers: named(&settings.balancers, Some(&settings.name), plugins),
        on_request,
        on_response,
        connect: ConnectSettings {
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            max_idle: settings.max_idle_per_endpoint.div_ceil(make.workers.max(1)),
        },
        send: SendLimits {
            response_timeout: settings.response_timeout,
            download: DownloadLimits {
                body_timeout: settings.body_timeout,
                filter_trailers: clean_trailers,
            },
        },
        metrics: make.metrics.cluster(&settings.name),
        cluster: Arc::clone(cluster),
    }
}

impl ClusterUse {
    /// What bounds a request's body.
    #[must_use]
    pub fn upload(&self, listener: &config::Listener) -> UploadLimits {
        UploadLimits {
            max_body_bytes: listener.max_body_bytes.unwrap_or(u64::MAX),
            body_timeout: listener.body_timeout,
            replay_bytes: self.cluster.settings().replay_bytes,
            filter_trailers: clean_trailers,
        }
    }
}

/// The time between two looks at the access log.
const FLUSH: Duration = Duration::from_millis(100);

/// Flushes between two sweeps of idle connections.
const SWEEP: u32 = 10;

/// What a worker's thread begins with.
pub struct Start {
    /// Its number, from 0.
    pub index: usize,
    /// What it shows.
    pub stage: Arc<Stage>,
    /// Where it orders instances.
    pub nursery: Nursery,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where its access lines go.
    pub access: AccessWriter,
    /// The connections that are handed to it; it ends when no more can come.
    pub connections: mpsc::Receiver<Accepted>,
    /// When to end connections.
    pub drain: Watcher,
}

impl Start {
    /// Runs the worker on this thread, until no connection can come any more.
    pub fn run(self) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve()),
            Err(error) => tracing::error!(worker = self.index, "cannot run: {error}"),
        }
    }

    async fn serve(mut self) {
        let worker = Worker::new(&mut self);
        spawn_local(Rc::clone(&worker).keep_house());
        while let Some(accepted) = self.connections.recv().await {
            spawn_local(serve(Rc::clone(&worker), accepted, self.drain.clone()));
        }
        worker.access.borrow_mut().flush();
    }
}
