//! A plugin as all workers share it: a component, its configuration, and who it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;

use crate::config;
use crate::config::Name;
use crate::metrics::Denied;
use crate::plugin::component::{Component, Kind};
use crate::plugin::engine::Machine;
use crate::plugin::error::Refusal;
use crate::plugin::guest::Skips;
use crate::plugin::identity::Identity;
use crate::plugin::instance::Instance;
use crate::plugin::members::Members;
use crate::plugin::tally::Counted;
use crate::store::Store;

/// One use of a plugin: of a balancer one per cluster, of others one for all their uses.
pub struct Definition {
    /// Told apart from all others of the process.
    pub id: u64,
    /// What was configured.
    pub config: config::Plugin,
    /// The component that it runs.
    pub component: Arc<Component>,
    /// What it is used as.
    pub kinds: Vec<Kind>,
    pub(super) members: Option<Arc<dyn Members>>,
    pub(super) identity: Arc<Identity>,
    pub(super) machine: Arc<Machine>,
}

/// An instance that is ready to be called and belongs to no worker yet.
pub struct Newborn(pub(super) Box<Instance>);

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Definition {
    /// A definition with a number of its own.
    pub(super) fn new(
        config: config::Plugin,
        component: Arc<Component>,
        kinds: &[Kind],
        members: Option<Arc<dyn Members>>,
        identity: Arc<Identity>,
        machine: Arc<Machine>,
    ) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, config, component, kinds: kinds.to_vec(), members, identity, machine }
    }

    /// Makes an instance, on a thread of its own: the guest may compute for up to 5 s.
    ///
    /// # Errors
    ///
    /// What keeps the instance from beginning.
    pub async fn birth_apart(self: &Arc<Self>) -> Result<Newborn, Refusal> {
        let (definition, runtime) = (Arc::clone(self), Handle::current());
        let born = move || runtime.block_on(Instance::birth(&definition)).map(Newborn);
        match tokio::task::spawn_blocking(born).await {
            Ok(born) => born,
            Err(_ended) => Err(Refusal::Unfit("the process is ending".to_owned())),
        }
    }

    /// Has an instance take the state of its predecessor, likewise.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub async fn restore_apart(
        self: &Arc<Self>,
        newborn: Newborn,
        state: Vec<u8>,
    ) -> Result<Newborn, Refusal> {
        let (definition, runtime) = (Arc::clone(self), Handle::current());
        let restored = move || {
            definition.machine.ticker.touch();
            let mut newborn = newborn;
            runtime.block_on(newborn.0.restore(state)).map(|()| newborn)
        };
        match tokio::task::spawn_blocking(restored).await {
            Ok(restored) => restored,
            Err(_ended) => Err(Refusal::Unfit("the process is ending".to_owned())),
        }
    }

    /// The version: a digest of component and configuration.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.identity.given.version
    }

    /// Whether it is the same plugin as a newly configured one, so that its instances and their
    /// state can be kept.
    #[must_use]
    pub fn serves(&self, config: &config::Plugin, version: &str, kinds: &[Kind]) -> bool {
        // How much is logged of it is no reason to begin anew, nor is how others take its place, what is
        // called beside it, or what is recorded.
        let config::Plugin { log_level, state, canary, .. } = self.config;
        let (shadow, record) = (self.config.shadow.clone(), self.config.record.clone());
        let config = config::Plugin { log_level, state, canary, shadow, record, ..config.clone() };
        self.config == config && self.version() == version && self.kinds == kinds
    }

    /// The store that it was granted by a name.
    #[must_use]
    pub fn store(&self, name: &str) -> Option<&Arc<Store>> {
        let mut stores = self.identity.given.stores.iter();
        stores.find(|(granted, _)| **granted == *name).map(|(_, store)| store)
    }

    /// The names of all clusters, as it knows them.
    #[must_use]
    pub fn clusters(&self) -> &[Name] {
        &self.identity.given.clusters
    }

    /// Counts that an address which it names may not be forwarded to.
    pub fn denied_address(&self) {
        self.identity.given.metrics.denied(Denied::Address);
    }

    /// Counts what this version does from now on, from nothing, or no longer.
    pub fn watch(&self, watched: bool) {
        self.identity.tally.watch(watched);
    }

    /// Another version takes its place: it counts as parked no more, although workers may yet hold it.
    pub fn retire(&self) {
        self.identity.unpark();
    }

    /// What it has done since it is watched.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.identity.tally.counted()
    }

    /// The phases that it need not be called for; none until an instance has been born.
    pub(super) fn skips(&self) -> Skips {
        self.identity.skips.get().copied().unwrap_or_default()
    }
}
