//! From bytes to plugins that can be called: compiles or loads components, and judges whether they fit
//! their use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::config::{self, Instances, Name, OnFailure};
use crate::metrics::Metrics;
use crate::plugin::cache::{Cache, deserialise};
use crate::plugin::cells::AllCells;
use crate::plugin::compile::Compiler;
use crate::plugin::component::{Component, Kind, check_preamble};
use crate::plugin::definition::Definition;
use crate::plugin::engine::Machine;
use crate::plugin::error::{Misuse, Refusal};
use crate::plugin::found::{Found, hex};
use crate::plugin::identity::{Given, Identity};
use crate::plugin::members::Members;
use crate::plugin::vault::Vault;
use crate::store::Store;

/// Named bytes of built-in components.
pub type BuiltIn = &'static [(&'static str, &'static [u8])];

/// What a host is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory whose `NAME.wasm` override built-in components.
    pub plugin_dir: Option<PathBuf>,
    /// Where images are kept; `None` keeps none.
    pub cache_dir: Option<PathBuf>,
    /// The most bytes of images that are kept.
    pub cache_bytes: u64,
    /// How components are compiled.
    pub compiler: Compiler,
    /// The components that the program carries.
    pub built_in: BuiltIn,
    /// Where plugins are counted.
    pub metrics: Arc<Metrics>,
}

/// What a plugin finds around it.
pub struct Around<'n> {
    /// Of a balancer: its cluster.
    pub members: Option<(&'n Name, Arc<dyn Members>)>,
    /// The stores that it is granted.
    pub stores: Vec<(Name, Arc<Store>)>,
    /// The names of all clusters, sorted.
    pub clusters: Arc<[Name]>,
}

/// The plugin engine with all that is needed to load components.
pub struct Host {
    pub(super) settings: Settings,
    machine: Arc<Machine>,
    cache: Option<Cache>,
    vault: Option<Vault>,
    cells: AllCells,
    loaded: Mutex<HashMap<Arc<str>, Weak<Component>>>,
    /// Rung when a version that is watched has failed.
    failed: Arc<Notify>,
}

impl Host {
    /// Starts the engine. A cache that cannot be used is reported, and done without.
    ///
    /// # Errors
    ///
    /// If the engine cannot be started on this machine.
    pub fn start(settings: Settings) -> Result<Self, Refusal> {
        let machine = Machine::start()
            .map_err(|error| Refusal::Unfit(format!("the engine cannot start: {error:#}")))?;
        let cache = settings.cache_dir.as_deref().and_then(|directory| {
            let cache = Cache::open(directory, settings.cache_bytes, &machine.engine);
            cache.inspect_err(|error| tracing::warn!("components are not cached: {error}")).ok()
        });
        let directories = settings.cache_dir.as_deref().zip(settings.plugin_dir.as_deref());
        let directories = directories.filter(|_| cache.is_some());
        let vault = directories.map(|(cache_dir, plugin_dir)| Vault::open(cache_dir, plugin_dir));
        Ok(Self {
            settings,
            machine: Arc::new(machine),
            cache,
            vault,
            cells: AllCells::default(),
            loaded: Mutex::default(),
            failed: Arc::default(),
        })
    }

    /// Where plugins are counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.settings.metrics
    }

    /// Rung when a version that is watched has failed.
    #[must_use]
    pub fn failed(&self) -> &Arc<Notify> {
        &self.failed
    }

    /// Where copies are kept of what serves, if that is possible.
    #[must_use]
    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Turns bytes into a component that fits the contract.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn load(&self, found: &Found) -> Result<Arc<Component>, Refusal> {
        let Found { digest, bytes, .. } = found;
        check_preamble(bytes)?;
        let loaded = |loaded: &Mutex<HashMap<Arc<str>, Weak<Component>>>| {
            let loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            loaded.get(digest).and_then(Weak::upgrade)
        };
        if let Some(component) = loaded(&self.loaded) {
            return Ok(component);
        }
        let engine = &self.machine.engine;
        let cached = self.cache.as_ref().and_then(|cache| cache.load(engine, digest));
        let compiled = match cached {
            Some(compiled) => compiled,
            None => {
                let image = self.settings.compiler.compile(bytes).await?;
                if let Some(Err(error)) = self.cache.as_ref().map(|c| c.store(digest, &image)) {
                    tracing::warn!("a compiled component could not be kept: {error}");
                }
                deserialise(engine, &image).map_err(|e| Refusal::Compile(format!("{e:#}")))?
            }
        };
        let component =
            Arc::new(Component::new(&self.machine, &compiled, Arc::clone(digest), bytes.len())?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(Arc::clone(digest), Arc::downgrade(&component));
        Ok(component)
    }

    /// Makes a plugin of a component: judges whether it fits its use, and whether its wishes are
    /// granted. `kinds` are what it is used as.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misused`] with all that does not fit.
    pub fn define(
        &self,
        config: &config::Plugin,
        component: Arc<Component>,
        kinds: &[Kind],
        around: Around<'_>,
    ) -> Result<Arc<Definition>, Refusal> {
        let misuses = misuses(config, &component, kinds);
        if !misuses.is_empty() {
            return Err(Refusal::Misused(misuses));
        }
        let Around { members, stores, clusters } = around;
        let cluster = members.as_ref().map_or("", |(cluster, _)| cluster);
        let given = Given {
            name: Arc::clone(&config.name),
            version: version(config, &component).into(),
            limits: config.limits,
            clusters,
            stores,
            // What decides nothing changes nothing that decides.
            writes: config.beside.is_none(),
            any_address: !config.grants.addresses.is_empty(),
            // A line has no end within a name, so that no two are the same together.
            cells: self.cells.of(format!("{}\n{cluster}", config.name)),
            metrics: self.settings.metrics.plugin(&config.name),
            ticker: Arc::clone(&self.machine.ticker),
        };
        self.machine.ticker.expect(config.limits.deadline);
        let identity = Arc::new(Identity::new(given, Arc::clone(&self.failed)));
        let members = members.map(|(_, members)| members);
        let machine = Arc::clone(&self.machine);
        Ok(Arc::new(Definition::new(config.clone(), component, kinds, members, identity, machine)))
    }
}

/// The version of a plugin: a digest of its bytes and its configuration.
#[must_use]
pub fn version(config: &config::Plugin, component: &Component) -> String {
    let mut digest = Sha256::new();
    digest.update(component.digest.as_bytes());
    digest.update(config.config.as_bytes());
    hex(&digest.finalize()).chars().take(12).collect()
}

fn misuses(config: &config::Plugin, component: &Component, kinds: &[Kind]) -> Vec<Misuse> {
    let mut misuses = Vec::new();
    for kind in kinds.iter().copied() {
        if !component.kinds.contains(&kind) {
            let is = component.kinds.iter().copied().collect();
            misuses.push(Misuse::Kind { used: kind, is });
            continue;
        }
        let given = match config.on_failure {
            Some(OnFailure::Next) if !matches!(kind, Kind::Router | Kind::StreamRouter) => "next",
            Some(OnFailure::Fallback) if kind != Kind::Balancer => "fallback",
            Some(OnFailure::Skip) if kind != Kind::Rewriter => "skip",
            _ => continue,
        };
        misuses.push(Misuse::OnFailure { given, kind });
    }
    // What nothing uses need not be granted anything yet.
    if component.waits && !kinds.is_empty() {
        if config.grants.stores.is_empty() {
            misuses.push(Misuse::NoStores);
        }
        if config.instances == Instances::Shared {
            misuses.push(Misuse::Shared("waits for stores"));
        }
    } else if component.transforms() && config.instances == Instances::Shared {
        misuses.push(Misuse::Shared("transforms bodies"));
    }
    misuses
}
