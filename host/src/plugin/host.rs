//! From names in the configuration to plugins that can be called: finds components, compiles or
//! loads them, and judges whether they fit their use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::config::{self, Instances, Name, OnFailure};
use crate::log::gate::Gate;
use crate::metrics::Metrics;
use crate::plugin::cache::{Cache, deserialise};
use crate::plugin::cells::AllCells;
use crate::plugin::compile::Compiler;
use crate::plugin::component::{Component, Kind, check_preamble};
use crate::plugin::definition::Definition;
use crate::plugin::engine::Machine;
use crate::plugin::error::{Misuse, Refusal};
use crate::plugin::identity::Identity;
use crate::plugin::members::Members;
use crate::plugin::parking::Parking;
use crate::plugin::reading::read_regular;
use crate::plugin::tally::Tally;
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

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The program carries it.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// The copy of what the process before served by.
    Copy,
}

impl Source {
    /// What it is called: `built-in`, `file` or `copy`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::File(_) => "file",
            Self::Copy => "copy",
        }
    }
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
    settings: Settings,
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

    /// Keeps a copy of a component that is about to serve, unless the program carries it.
    pub fn keep(&self, source: &Source, digest: &str, bytes: &[u8]) {
        if *source == Source::BuiltIn {
            return;
        }
        if let Some(Err(error)) = self.vault.as_ref().map(|vault| vault.keep(digest, bytes)) {
            tracing::warn!("a component that serves could not be kept: {error}");
        }
    }

    /// The names of all components that can be named: those of the directory, then the built-in
    /// ones that none of them overrides.
    #[must_use]
    pub fn names(&self) -> Vec<(String, Source)> {
        let mut names: Vec<_> = Vec::new();
        if let Some(entries) = self.settings.plugin_dir.as_deref().and_then(|d| d.read_dir().ok()) {
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
                if let (Some(name), Some("wasm")) =
                    (name, path.extension().and_then(|e| e.to_str()))
                {
                    names.push((name, Source::File(path)));
                }
            }
        }
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, _) in self.settings.built_in {
            if !names.iter().any(|(known, _)| known == name) {
                names.push(((*name).to_owned(), Source::BuiltIn));
            }
        }
        names
    }

    /// Where the component of a name comes from.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<Source> {
        if let Some(directory) = &self.settings.plugin_dir {
            let path = directory.join(format!("{name}.wasm"));
            // A link that leads nowhere, or a file that is not readable, was meant to be used.
            if path.symlink_metadata().is_ok() {
                return Some(Source::File(path));
            }
        }
        self.built_in(name).map(|_| Source::BuiltIn)
    }

    fn built_in(&self, name: &str) -> Option<&'static [u8]> {
        let mut built_in = self.settings.built_in.iter();
        built_in.find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }

    /// The same, with its bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal::Missing`], or that the file cannot be read.
    pub fn find(&self, name: &str) -> Result<(Source, Vec<u8>), Refusal> {
        match self.source(name) {
            Some(Source::File(path)) => {
                let bytes = read_regular(&path)?;
                Ok((Source::File(path), bytes))
            }
            Some(source) => Ok((source, self.built_in(name).unwrap_or_default().to_vec())),
            None => Err(Refusal::Missing {
                name: name.to_owned(),
                directory: self.settings.plugin_dir.clone(),
                known: self.names().into_iter().map(|(name, _)| name).collect(),
            }),
        }
    }

    /// The bytes of a built-in component, if it has this digest.
    #[must_use]
    pub fn built_in_as(&self, name: &str, wanted: &str) -> Option<Vec<u8>> {
        self.built_in(name).filter(|bytes| digest(bytes) == wanted).map(<[u8]>::to_vec)
    }

    /// Turns bytes into a component that fits the contract.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn load(&self, bytes: &[u8]) -> Result<Arc<Component>, Refusal> {
        check_preamble(bytes)?;
        let digest: Arc<str> = digest(bytes).into();
        let loaded = |loaded: &Mutex<HashMap<Arc<str>, Weak<Component>>>| {
            let loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            loaded.get(&digest).and_then(Weak::upgrade)
        };
        if let Some(component) = loaded(&self.loaded) {
            return Ok(component);
        }
        let engine = &self.machine.engine;
        let cached = self.cache.as_ref().and_then(|cache| cache.load(engine, &digest));
        let compiled = match cached {
            Some(compiled) => compiled,
            None => {
                let image = self.settings.compiler.compile(bytes).await?;
                if let Some(Err(error)) = self.cache.as_ref().map(|c| c.store(&digest, &image)) {
                    tracing::warn!("a compiled component could not be kept: {error}");
                }
                deserialise(engine, &image).map_err(|e| Refusal::Compile(format!("{e:#}")))?
            }
        };
        let component =
            Arc::new(Component::new(&self.machine, &compiled, Arc::clone(&digest), bytes.len())?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&component));
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
        let identity = Identity {
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
            skips: OnceLock::new(),
            yields: AtomicBool::new(false),
            tally: Tally::new(Arc::clone(&self.failed)),
            parking: Parking::default(),
            log_gate: Gate::default(),
            failure_gates: Default::default(),
            busy_gate: Gate::default(),
            ticker: Arc::clone(&self.machine.ticker),
        };
        let members = members.map(|(_, members)| members);
        let machine = Arc::clone(&self.machine);
        let identity = Arc::new(identity);
        Ok(Arc::new(Definition::new(config.clone(), component, kinds, members, identity, machine)))
    }
}

/// The SHA-256 of a component's bytes, as hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
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

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
