//! The composition root: a configuration becomes a snapshot, threads and sockets.
//!
//! [`Proxy::start`] binds and starts everything, or nothing; then it serves until
//! [`Proxy::shut_down`]. It lives on the control thread's runtime, which makes plugin instances for
//! the workers and takes reloads.

mod births;
mod fixed;
mod office;
mod reload;
mod swap;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle as TaskHandle;

use crate::admin::Wanted;
use crate::cluster::check::Checks;
use crate::cluster::registry::Registry;
use crate::config::{self, AdminBind, Config, Name};
use crate::drain::Drain;
use crate::listener::accept::{Acceptor, Desk, bind, probe};
use crate::log::access::AccessLog;
use crate::metrics::{Metrics, Words};
use crate::plugin::{BuiltIn, Compiler, FAILURES, Host, Nursery, Refusal, Settings};
use crate::relay::error::LABELS;
use crate::snapshot::{Before, Crew, Means, Refused, Snapshot, Stage, Wish};
use crate::status::Sources;
use crate::view::Make;

use births::births;
use office::Office;
use swap::committed;

pub use reload::Built;

/// The words that are counted by.
pub const WORDS: Words = Words { errors: &LABELS, plugin_failures: &FAILURES };

/// Instances on order at a time.
const ORDERS: usize = 1024;

/// What a proxy is started with besides its configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that compiles components: this one.
    pub program: PathBuf,
    /// The components that the program carries.
    pub built_in: BuiltIn,
    /// Where access lines go.
    pub access: AccessLog,
}

/// Why a proxy does not start, or a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("listener {listener:?} cannot listen on {address}: {source}")]
    Bind {
        /// The listener.
        listener: Name,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The administrator's address cannot be had.
    #[error("the admin listener cannot listen on {bind}: {source}")]
    Admin {
        /// The address.
        bind: AdminBind,
        /// Why.
        source: io::Error,
    },
    /// Plugins are refused.
    #[error("{}", Lines(.0))]
    Plugins(Vec<Refused>),
    /// The plugin engine cannot be started.
    #[error(transparent)]
    Engine(#[from] Refusal),
    /// The system gives no threads.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

struct Lines<'a>(&'a [Refused]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, refused) in self.0.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(formatter, "{end}{refused}")?;
        }
        Ok(())
    }
}

/// A plugin engine for a configuration.
///
/// # Errors
///
/// If it cannot be started on this machine.
pub fn plugin_host(
    config: &Config,
    options: &Options,
    metrics: &Arc<Metrics>,
) -> Result<Host, Refusal> {
    Host::start(Settings {
        plugin_dir: config.server.plugin_dir.clone(),
        cache_dir: Some(config.server.cache_dir.clone()),
        cache_bytes: config.server.cache_bytes,
        compiler: Compiler {
            program: options.program.clone(),
            timeout: config.server.compile_timeout,
            memory_bytes: config.server.compile_memory_bytes,
        },
        built_in: options.built_in,
        metrics: Arc::clone(metrics),
    })
}

/// A running proxy.
pub struct Proxy {
    host: Arc<Host>,
    registry: Registry,
    checks: Checks,
    stage: Arc<Stage>,
    crew: Arc<Crew>,
    /// The plugins that somebody has gone back from a version of while components are judged.
    left: BTreeSet<Name>,
    metrics: Arc<Metrics>,
    acceptor: Acceptor,
    /// Keeps the workers' inboxes open: a worker ends, with all it serves, when its is closed.
    desks: Vec<Desk>,
    /// The listening sockets, by listener, with the addresses that they were asked for; the
    /// acceptor has handles of its own.
    sockets: BTreeMap<Name, (SocketAddr, TcpListener)>,
    addresses: BTreeMap<Name, SocketAddr>,
    office: Office,
    drain: Drain,
    workers: Vec<JoinHandle<()>>,
    /// What serves the workers besides: it makes their instances, and resolves names.
    tasks: [TaskHandle<()>; 3],
}

impl Proxy {
    /// Starts a proxy. When this returns it serves.
    ///
    /// # Errors
    ///
    /// What keeps it from starting; nothing is left running then.
    pub async fn start(config: Config, options: &Options) -> Result<Self, StartError> {
        let listeners: Vec<_> = config.listeners.values().cloned().collect();
        // Before anything that takes time: an address in use is the most common fault. Only when
        // plugins have been judged are they listened on: who can connect is to be served.
        for listener in &listeners {
            probe(listener.bind).map_err(|source| refused(listener, source))?;
        }
        let count = config.server.workers;
        let metrics = Arc::new(Metrics::new(count, WORDS));
        let host = plugin_host(&config, options, &metrics)?;
        let registry = Registry::default();
        // Plugins may open stores as soon as they are configured.
        let answers = tokio::spawn(registry.clone().answer());
        let committed = committed(&host);
        let before = Before::Process(&committed);
        let crew = Crew::to_come(count);
        let means = Means { host: &host, registry: &registry, crew: &crew, quiet: None };
        let snapshot = Snapshot::build(means, config, before).await.map_err(StartError::Plugins)?;
        let mut sockets = Vec::new();
        for listener in listeners {
            let socket = open(&listener)?;
            sockets.push((listener, socket));
        }
        let admin = office::open(&snapshot.config)?;
        let addresses: BTreeMap<_, _> = sockets.iter().map(local).collect();
        let snapshot = snapshot.listening_on(&addresses, office::address(admin.as_ref()));
        let stage = Arc::new(Stage::new(Arc::new(snapshot)));
        registry.serve(&stage.snapshot().clusters);
        let access = options.access.clone();
        metrics.watch_log("access", move || access.dropped());
        let (nursery, orders) = Nursery::new(ORDERS);
        let births = tokio::spawn(births(orders));
        let names = registry.inquiries();
        let drain = Drain::new();
        let sources = Sources::new(&stage, &metrics, drain.watch());
        let make = |worker| Make {
            worker,
            workers: count,
            nursery: nursery.clone(),
            names: names.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (crew, wishes) = Crew::running(count);
        let (desks, workers) = start_workers(wishes, make, &sources, &options.access)?;
        let config = &stage.snapshot().config;
        let office = Office::start(config, admin, sources)?;
        let acceptor = Acceptor::start(desks.clone()).map_err(StartError::Thread)?;
        let refresh = tokio::spawn(registry.clone().keep_fresh());
        let mut proxy = Self {
            host: Arc::new(host),
            registry,
            checks: Checks::default(),
            stage,
            crew: Arc::new(crew),
            left: BTreeSet::new(),
            metrics,
            acceptor,
            desks,
            sockets: BTreeMap::new(),
            addresses,
            office,
            drain,
            workers,
            tasks: [births, answers, refresh],
        };
        proxy.checks.show(&proxy.stage.snapshot().clusters);
        proxy.catch_up().await;
        for (listener, socket) in sockets {
            proxy.listen(&listener, socket).await;
        }
        Ok(proxy)
    }

    /// The addresses that listeners have: those configured, but for port 0.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<Name, SocketAddr> {
        &self.addresses
    }

    /// Where the administrator's listener is, if there is one.
    #[must_use]
    pub fn admin(&self) -> Option<&AdminBind> {
        self.office.bind()
    }

    /// Waits until the administrator wishes for a change; or, which is none, until it is time to
    /// [judge](Self::judge) versions on trial. Where nobody `hears` wishes, they wait; where nobody
    /// `promotes` versions that have passed their trials, only those are judged that may have failed.
    pub async fn wish(&mut self, hears: bool, promotes: bool) -> Option<Wanted> {
        let due = swap::verdict(&self.stage, &self.host, promotes);
        tokio::select! {
            order = self.office.wish(), if hears => Some(order),
            () = due => None,
        }
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is served by now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.stage.snapshot()
    }

    /// What judges plugins.
    #[must_use]
    pub fn plugin_host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Stops accepting, and waits for open requests: as long as `grace` says, or without limit.
    /// Then ends whatever is left. Answers whether nothing had to be cut off.
    pub async fn shut_down(mut self, grace: Option<Duration>) -> bool {
        self.acceptor.stop();
        self.sockets.clear();
        self.drain.begin();
        let clean = self.drain.wait(grace).await;
        self.desks.clear();
        let workers = std::mem::take(&mut self.workers);
        thread::join(workers, self.stage.snapshot()).await;
        self.tasks.iter().for_each(TaskHandle::abort);
        clean
    }
}

fn open(listener: &config::Listener) -> Result<TcpListener, StartError> {
    bind(listener.bind).map_err(|source| refused(listener, source))
}

fn refused(listener: &config::Listener, source: io::Error) -> StartError {
    StartError::Bind { listener: Arc::clone(&listener.name), address: listener.bind, source }
}

fn local((listener, socket): &(config::Listener, TcpListener)) -> (Name, SocketAddr) {
    (Arc::clone(&listener.name), socket.local_addr().unwrap_or(listener.bind))
}

/// Starts the threads of the workers. Each ends when its desk is dropped.
fn start_workers(
    wishes: Vec<mpsc::Receiver<Wish>>,
    make: impl Fn(usize) -> Make,
    sources: &Sources,
    access: &AccessLog,
) -> Result<(Vec<Desk>, Vec<JoinHandle<()>>), StartError> {
    let mut desks = Vec::new();
    let mut workers = Vec::new();
    for (index, wishes) in wishes.into_iter().enumerate() {
        let (desk, connections) = Desk::new();
        desks.push(desk);
        let (make, sources, access) = (make(index), sources.clone(), access.writer());
        let start = thread::Start { make, sources, access, connections, wishes };
        let builder = Builder::new().name(format!("linkspan-{index}"));
        workers.push(builder.spawn(move || start.run()).map_err(StartError::Thread)?);
    }
    Ok((desks, workers))
}
