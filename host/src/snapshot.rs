//! All that one request needs, immutable: the result of one configuration load.
//!
//! Workers share a snapshot and make a view of it with instances of their
//! own. The instances that they begin with are made before the snapshot is shown to anybody, so
//! that showing it is one atomic step, and a configuration that does not work is never shown.

mod back;
mod committed;
mod crew;
mod recorders;
mod refused;
mod remarks;
mod shadow;
mod staffing;
mod stage;
mod swap;
mod trial;
mod unused;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::Cluster;
use crate::cluster::members::View;
use crate::cluster::registry::Registry;
use crate::config::{self, Config, Name};
use crate::dns::Inquiries;
use crate::metrics::Metrics;
use crate::plugin::{Committed, Definition, Host, Kind, Newborn, Quiet, Recorder, Shared, Source};
use crate::socket::bind::Bind;
use crate::store::Store;
use back::Retired;

pub use back::Back;
pub use crew::{Crew, Wish};
pub use refused::Refused;
pub use shadow::Pair;
pub use stage::Stage;
pub use swap::{Candidate, Judged, Swapped};
pub use trial::{Promotion, Trial, Verdict};
pub use unused::{AllUnused, Unused};

/// The result of one configuration load.
pub struct Snapshot {
    /// Told apart from all others; later ones have higher numbers.
    pub generation: u64,
    /// What was configured.
    pub config: Config,
    /// The clusters by name.
    pub clusters: BTreeMap<Name, Arc<Cluster>>,
    /// Where its listeners listen; empty if they do not, as in a mere check.
    pub addresses: BTreeMap<Name, Bind>,
    /// The IP addresses of these and of the administrator's listener, which are not for plugins.
    pub listening: Vec<SocketAddr>,
    /// The names of the clusters, in order.
    names: Arc<[Name]>,
    /// Endpoints without an address: their clusters, and their places there.
    unresolved: Vec<(Name, usize)>,
    views: BTreeMap<Name, Arc<View>>,
    /// The plugins in use.
    pub plugins: HashMap<Use, Staffed>,
    /// What was to serve as a plugin and is refused, so that it goes on as it was.
    pub refused: BTreeMap<Name, Arc<Candidate>>,
    /// Versions that get a share of a plugin's requests.
    pub trials: BTreeMap<Name, Arc<Trial>>,
    /// What is called beside plugins, by these.
    pairs: BTreeMap<Name, Arc<Pair>>,
    /// The versions before.
    retired: BTreeMap<Name, Retired>,
    stores: BTreeMap<Name, (config::Store, Arc<Store>)>,
    recorders: BTreeMap<Name, Arc<Recorder>>,
}

/// One use of a plugin: a balancer's with its cluster, all others of a plugin together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Use {
    /// The plugin.
    pub plugin: Name,
    /// The cluster that it balances.
    pub cluster: Option<Name>,
}

/// A plugin with the instances that workers begin with. Clones share these.
#[derive(Clone)]
pub struct Staffed {
    /// The plugin.
    pub definition: Arc<Definition>,
    /// Where its component was found.
    pub source: Source,
    /// The one instance of a shared plugin.
    pub shared: Option<Shared>,
    /// Since when it is used, in milliseconds since this process began.
    since: u64,
    /// Kept over snapshots: a worker may never have seen the one that they were made for.
    newborns: Arc<[Mutex<Option<Newborn>>]>,
}

impl Staffed {
    /// The instance that was made for a worker, the first time that it asks.
    #[must_use]
    pub fn newborn(&self, worker: usize) -> Option<Newborn> {
        let mut place = self.newborns.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }
}

/// What was served before.
#[derive(Clone, Copy)]
pub enum Before<'b> {
    /// Nothing, or it does not matter.
    Nothing,
    /// What another process served.
    Process(&'b Committed),
    /// This.
    Snapshot(&'b Snapshot),
}

/// What snapshots are made with.
#[derive(Clone, Copy)]
pub struct Means<'m> {
    /// What judges plugins.
    pub host: &'m Host,
    /// What makes clusters.
    pub registry: &'m Registry,
    /// Whom instances are made for.
    pub crew: &'m Crew,
    /// The files that may be read, if not all are.
    pub quiet: Option<&'m Quiet>,
}

/// The uses of a plugin, with the kinds that it must be of for each.
type Uses = Vec<(Use, BTreeSet<Kind>)>;

/// The same of each plugin.
fn uses_by_plugin(config: &Config) -> BTreeMap<Name, Uses> {
    let mut all: BTreeMap<Name, Uses> = BTreeMap::new();
    for (used, kinds) in uses(config) {
        all.entry(Arc::clone(&used.plugin)).or_default().push((used, kinds));
    }
    all
}

/// What a configuration uses plugins for: each use, with the kinds that it must be of. A plugin
/// that nothing uses is listed without kinds, to be judged all the same.
fn uses(config: &Config) -> BTreeMap<Use, BTreeSet<Kind>> {
    let mut uses: BTreeMap<Use, BTreeSet<Kind>> = BTreeMap::new();
    let mut add = |plugin: &Name, cluster: Option<&Name>, kind| {
        let key = Use { plugin: Arc::clone(plugin), cluster: cluster.cloned() };
        uses.entry(key).or_default().insert(kind);
    };
    for listener in config.listeners.values() {
        listener.routers.iter().for_each(|plugin| add(plugin, None, Kind::Router));
        listener.rewriters.iter().for_each(|plugin| add(plugin, None, Kind::Rewriter));
        listener.stream_routers().iter().for_each(|it| add(it, None, Kind::StreamRouter));
    }
    for (name, cluster) in &config.clusters {
        cluster.balancers.iter().for_each(|plugin| add(plugin, Some(name), Kind::Balancer));
        cluster.rewriters.iter().for_each(|plugin| add(plugin, None, Kind::Rewriter));
    }
    let used: BTreeSet<Name> = uses.keys().map(|used| Arc::clone(&used.plugin)).collect();
    let others = config.plugins.iter().filter(|(plugin, _)| !used.contains(*plugin));
    for (plugin, _) in others.filter(|(_, config)| config.beside.is_none()) {
        uses.insert(Use { plugin: Arc::clone(plugin), cluster: None }, BTreeSet::new());
    }
    shadow::add_uses(config, &mut uses);
    uses
}

impl Snapshot {
    /// Loads all that a configuration names, and makes the instances that workers begin with. What
    /// was served before and is still configured alike is kept, with its state; what is not, and can,
    /// takes the state that was. Where another process served something else than what is there by
    /// now, it begins with that: [`judge`](Self::judge) is for what is there.
    ///
    /// # Errors
    ///
    /// Every plugin that is refused.
    pub async fn build(
        means: Means<'_>,
        config: Config,
        before: Before<'_>,
    ) -> Result<Self, Vec<Refused>> {
        let Means { host, registry, .. } = means;
        let nothing = Committed::default();
        let (previous, committed) = match before {
            Before::Nothing => (None, &nothing),
            Before::Process(committed) => (None, committed),
            Before::Snapshot(previous) => (Some(previous), &nothing),
        };
        let clusters = registry.load(&config).await;
        let mut snapshot = Self {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            stores: stores(&config, previous, &registry.inquiries(), host.metrics()),
            names: clusters.keys().cloned().collect(),
            unresolved: registry.unresolved(&config),
            views: views(&clusters, previous),
            config,
            clusters,
            addresses: BTreeMap::new(),
            listening: Vec::new(),
            plugins: HashMap::new(),
            refused: BTreeMap::new(),
            trials: BTreeMap::new(),
            pairs: previous.map(|previous| previous.pairs.clone()).unwrap_or_default(),
            recorders: BTreeMap::new(),
            retired: BTreeMap::new(),
        };
        let refused = snapshot.staff_all(means, previous, committed).await;
        // What serves and is on trial is touched only by what takes its place.
        if !refused.is_empty() {
            return Err(refused);
        }
        if let Some(previous) = previous {
            snapshot.carry_on(previous);
        }
        snapshot.remember(committed);
        snapshot.compare();
        snapshot.recorders = snapshot.recorders(previous, host.metrics());
        Ok(snapshot)
    }

    /// The plugins with their components and versions, each once, in order.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<(&str, &str, &str)> {
        let mut versions = BTreeSet::new();
        for Staffed { definition, .. } in self.plugins.values() {
            let config = &definition.config;
            versions.insert((&*config.name, &*config.component, definition.version()));
        }
        versions
    }

    /// The version of a plugin that serves.
    #[must_use]
    pub fn version_of(&self, plugin: &str) -> Option<&str> {
        let mut used = self.plugins.iter().filter(|(used, _)| &*used.plugin == plugin);
        used.next().map(|(_, staffed)| staffed.definition.version())
    }

    /// Since when the version of a plugin serves, in milliseconds since this process began: its first use.
    #[must_use]
    pub fn serving_since(&self, plugin: &Name) -> u64 {
        self.uses_of(plugin).map(|(_, staffed)| staffed.since).min().unwrap_or_default()
    }

    /// The snapshot, with where its listeners listen, and the administrator's.
    #[must_use]
    pub fn listening_on(
        mut self,
        addresses: &BTreeMap<Name, Bind>,
        admin: Option<SocketAddr>,
    ) -> Self {
        self.listening = addresses.values().filter_map(Bind::address).chain(admin).collect();
        self.addresses.clone_from(addresses);
        self
    }

    /// Lets balancers that outlive the snapshot before see this one's clusters, and the limits of
    /// these hold, and begins recordings. To be called when it is shown to the workers.
    pub fn take_effect(&self) {
        self.recorders.values().for_each(|recorder| recorder.begin());
        for (name, cluster) in &self.clusters {
            cluster.take_effect();
            if let Some(view) = self.views.get(name) {
                view.show(Arc::clone(cluster));
            }
        }
    }
}

/// The views of the clusters; those of clusters that were there before are kept.
fn views(
    clusters: &BTreeMap<Name, Arc<Cluster>>,
    previous: Option<&Snapshot>,
) -> BTreeMap<Name, Arc<View>> {
    let view = |(name, cluster): (&Name, &Arc<Cluster>)| {
        let before = previous.and_then(|previous| previous.views.get(name)).cloned();
        (Arc::clone(name), before.unwrap_or_else(|| Arc::new(View::new(Arc::clone(cluster)))))
    };
    clusters.iter().map(view).collect()
}

/// The stores of a configuration; those configured alike before are kept, with what they hold.
fn stores(
    config: &Config,
    previous: Option<&Snapshot>,
    names: &Inquiries,
    metrics: &Metrics,
) -> BTreeMap<Name, (config::Store, Arc<Store>)> {
    let open = |(name, settings): (&Name, &config::Store)| {
        let before = previous.and_then(|previous| previous.stores.get(name));
        let kept =
            before.filter(|(before, _)| before == settings).map(|(_, store)| Arc::clone(store));
        let store = kept.unwrap_or_else(|| Arc::new(Store::open(settings, names, metrics)));
        (Arc::clone(name), (settings.clone(), store))
    };
    config.stores.iter().map(open).collect()
}
