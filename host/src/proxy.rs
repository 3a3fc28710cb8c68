//! The composition root: a configuration becomes a snapshot, threads and sockets.
//!
//! [`Proxy::start`] binds and starts everything, or nothing; then it serves until
//! [`Proxy::shut_down`]. It lives on the control thread's runtime, which makes plugin instances for
//! the workers and takes reloads.

mod births;
mod error;
mod fixed;
mod office;
mod opening;
mod reload;
mod swap;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle as TaskHandle;

use crate::acme::Keeper;
use crate::admin::Wanted;
use crate::cluster::check::Checks;
use crate::cluster::registry::Registry;
use crate::config::{Config, Name};
use crate::drain::Drain;
use crate::listener::accept::{Acceptor, Desk};
use crate::listener::socket::{Socket, probe};
use crate::log::access::AccessLog;
use crate::metrics::{Metrics, Words};
use crate::plugin::{BuiltIn, Compiler, FAILURES, Host, Nursery, Refusal, Settings};
use crate::relay::error::LABELS;
use crate::snapshot::{Before, Crew, Means, Snapshot, Stage, Wish};
use crate::socket::bind::Bind;
use crate::status::Sources;
use crate::takeover::{Inherited, Passed, label};
use crate::view::Make;

pub use error::StartError;

use births::births;
use error::refused;
use office::Office;
use opening::Opening;
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
    keeper: Keeper,
    stage: Arc<Stage>,
    crew: Arc<Crew>,
    /// The plugins that somebody has gone back from a version of while components are judged.
    left: BTreeSet<Name>,
    metrics: Arc<Metrics>,
    acceptor: Acceptor,
    /// Keeps the workers' inboxes open: a worker ends, with all it serves, when its is closed.
    desks: Vec<Desk>,
    /// The listening sockets, by listener; the acceptor has handles of its own.
    sockets: BTreeMap<Name, Socket>,
    addresses: BTreeMap<Name, Bind>,
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
        Self::start_with(config, options, &mut Inherited::default()).await
    }

    /// Starts a proxy that takes the sockets that it has a use for, where some listen already.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(
        config: Config,
        options: &Options,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let listeners = config.listeners.values().cloned();
        let listeners: Vec<_> = listeners.map(|l| (inherited.take(&l.name, &l.bind), l)).collect();
        // Before anything that takes time: an address in use is the most common fault. Only when
        // plugins have been judged are they listened on: who can connect is to be served.
        for (_, listener) in listeners.iter().filter(|(socket, _)| socket.is_none()) {
            probe(&listener.bind).map_err(|source| refused(listener, source))?;
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
        let openings =
            listeners.into_iter().map(|(passed, listener)| Opening::of(listener, passed));
        let openings = openings.collect::<Result<Vec<_>, _>>()?;
        let admin = office::open(&snapshot.config, inherited)?;
        let addresses: BTreeMap<_, _> = openings.iter().map(Opening::address).collect();
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
            keeper: Keeper::default(),
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
        // Before anybody can connect: what has been kept is served at once.
        proxy.keeper.show(&proxy.stage.snapshot().config);
        proxy.catch_up().await;
        for opening in openings {
            proxy.listen(opening).await;
        }
        Ok(proxy)
    }

    /// The addresses that listeners have: those configured, but for port 0.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<Name, Bind> {
        &self.addresses
    }

    /// Where the administrator's listener is, if there is one.
    #[must_use]
    pub fn admin(&self) -> Option<&Bind> {
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

    /// The listening sockets, each with what it is for, as [`Inherited`] knows it.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn share(&self) -> io::Result<Vec<(String, Passed)>> {
        let share =
            |(name, socket): (&Name, &Socket)| Ok((label(name, socket.wanted()), socket.pass()?));
        self.sockets.iter().map(share).chain(self.office.share()).collect()
    }

    /// Accepts no more. What listens is another process's, which does, and removes the paths of Unix sockets.
    pub fn give_away(&mut self) {
        self.sockets.values().chain(self.office.socket()).for_each(Socket::give_away);
        self.stop_accepting();
    }

    /// From now on nobody else has the sockets that were inherited: their paths are this process's.
    pub fn take_over(&self) {
        self.sockets.values().chain(self.office.socket()).for_each(Socket::take_over);
    }

    fn stop_accepting(&mut self) {
        // Nobody can ask for a proof any more; another process may want to.
        self.keeper = Keeper::default();
        self.acceptor.stop();
        self.sockets.clear();
    }

    /// Stops accepting, and waits for what is open until `cut` says that it is to be waited no longer.
    /// Then ends whatever is left. Answers how many connections had to be cut off.
    ///
    /// For as long as `linger` says connections that are idle stay so: who sends a request just then gets its answer,
    /// and is told that no more are taken. Where nobody else listens there is no sense in that.
    pub async fn shut_down(mut self, linger: Duration, cut: impl Future<Output = ()>) -> usize {
        self.stop_accepting();
        self.office.take_no_wishes();
        let end = async {
            if !linger.is_zero() {
                self.drain.linger();
                let _ = tokio::time::timeout(linger, self.drain.wait()).await;
            }
            self.drain.begin();
            self.drain.wait().await;
        };
        let left = tokio::select! {
            () = end => 0,
            () = cut => self.drain.held(),
        };
        self.desks.clear();
        let workers = std::mem::take(&mut self.workers);
        thread::join(workers, self.stage.snapshot()).await;
        self.tasks.iter().for_each(TaskHandle::abort);
        left
    }
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
