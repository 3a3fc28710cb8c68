//! Serving, until a signal says to leave.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::admin::Wanted;
use crate::cli::Run;
use crate::commands::manager::{self, Watchdog};
use crate::commands::signals::{Signals, Wish, step};
use crate::commands::{check, fail, options, say};
use crate::config::{Config, Reading, STDIN};
use crate::listener::descriptors;
use crate::log::Logs;
use crate::memory;
use crate::proxy::Proxy;
use crate::takeover::{Inherited, Offer, Predecessor};
use crate::watch::Watch;

/// How often this thread gives back what it has freed, and what workers have freed of its own: plugins and
/// configurations, which take more when they come than when they serve.
const TIDY: Duration = Duration::from_secs(10);

/// How long connections stay that are idle, when another process has taken over: most clients send the next
/// request within that time, and are told.
const LINGER: Duration = Duration::from_secs(5);

/// Serves until a signal says to leave.
pub async fn run(run: &Run) -> ExitCode {
    let path = match run.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    // Before there are threads.
    let mut inherited = Inherited::from_manager();
    let mut reading = Reading::load(&path);
    let Some(mut config) = reading.sound().cloned() else {
        return check::refuse(&mut reading).await;
    };
    if let Err(error) = config.override_bind(run.host, run.port) {
        return fail(&error);
    }
    let before = match run.takeover.then(|| predecessor(&config, &mut inherited)).transpose() {
        Ok(before) => before.flatten(),
        Err(text) => return fail(&text),
    };
    let file = Some(path.as_path()).filter(|path| *path != Path::new(STDIN));
    let begin = Begin { moved: is_moved(run), file, inherited, replaces: before.is_some() };
    match Service::start(config, &mut reading, begin).await {
        Ok(mut service) => {
            service.announce(&[]);
            service.relieve(before).await;
            manager::ready();
            let source = file.map(|path| (run, path));
            service.serve(source).await
        }
        Err(code) => code,
    }
}

/// The process that serves by now, and its sockets.
fn predecessor(config: &Config, inherited: &mut Inherited) -> Result<Option<Predecessor>, String> {
    let text =
        "--takeover needs the path at which the process before is found: `takeover` of [server]";
    let path = config.server.takeover.as_deref().ok_or(text)?;
    let found = Inherited::from_process(path);
    let found =
        found.map_err(|error| format!("{} cannot be taken over: {error}", path.display()))?;
    Ok(found.map(|(sockets, before)| {
        inherited.join(sockets);
        before
    }))
}

/// Whether the address to listen on is not the file's.
fn is_moved(run: &Run) -> bool {
    run.host.is_some() || run.port.is_some()
}

/// Where a service comes from.
pub(super) struct Begin<'a> {
    /// Whether the address to listen on is not the file's.
    pub(super) moved: bool,
    /// The configuration, which is watched.
    pub(super) file: Option<&'a Path>,
    /// Sockets that listen already.
    pub(super) inherited: Inherited,
    /// Whether another process serves until this one does.
    pub(super) replaces: bool,
}

/// Where a process that is to replace this one finds it.
fn offer(path: &Path) -> Result<Offer, String> {
    let text = |error| format!("nobody can take over at {}: {error}", path.display());
    Offer::open(path).map_err(text)
}

/// A running proxy, with its logs and with who tells it what to do.
pub(super) struct Service {
    logs: Logs,
    signals: Signals,
    watch: Watch,
    proxy: Proxy,
    offer: Option<Offer>,
}

impl Service {
    /// Starts serving a configuration, as it was read. The directory of plugins is watched as its file is.
    ///
    /// # Errors
    ///
    /// If something keeps it from that, which has been said.
    pub(super) async fn start(
        config: Config,
        reading: &mut Reading,
        begin: Begin<'_>,
    ) -> Result<Self, ExitCode> {
        let Begin { moved, file, mut inherited, replaces } = begin;
        descriptors::raise();
        let logs = Logs::open(&config.log).map_err(|error| fail(&error))?;
        logs.install().map_err(|error| fail(&error))?;
        logs.follow(&config);
        let options = options(Some(&logs)).map_err(|error| fail(&error))?;
        let signals = Signals::new().map_err(|error| fail(&error))?;
        // Before the files are read as components: what changes meanwhile is told of.
        let watch = Watch::new(config.server.plugin_dir.clone(), file.map(Path::to_path_buf));
        let path = config.server.takeover.as_deref().filter(|_| !replaces);
        let offer = path.map(offer).transpose().map_err(|error| fail(&error))?;
        let proxy = Proxy::start_with(config, &options, &mut inherited).await.map_err(|error| {
            let told = check::explain(reading, &error, moved);
            if told { check::tell(reading.faults()) } else { fail(&error) }
        })?;
        proxy.metrics().watch_log("diagnostics", logs.dropped());
        check::warn(reading, &proxy.snapshot());
        descriptors::warn(&proxy.snapshot().config);
        for socket in inherited.unclaimed() {
            tracing::warn!("no listener has a use for a socket that was passed: {socket}");
        }
        Ok(Self { logs, signals, watch, proxy, offer })
    }

    /// Serves from now on alone: the process before leaves, and this one can be replaced in its turn.
    async fn relieve(&mut self, before: Option<Predecessor>) {
        let Some(before) = before else { return };
        // Guests may be waited for meanwhile.
        let _ = tokio::task::spawn_blocking(move || before.serves()).await;
        tracing::info!("the process before has been taken over from");
        let snapshot = self.proxy.snapshot();
        self.offer = match snapshot.config.server.takeover.as_deref().map(offer).transpose() {
            Ok(offer) => offer,
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
    }

    /// What is running.
    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// One line for each address that listens and is none of those.
    pub(super) fn announce(&self, known: &[String]) {
        for line in self.lines().iter().filter(|line| !known.contains(line)) {
            say(line);
        }
    }

    /// One line per address, so that port 0 works.
    fn lines(&self) -> Vec<String> {
        let listeners = self.proxy.addresses().iter();
        let listeners =
            listeners.map(|(name, address)| format!("listening on http://{address} ({name})"));
        listeners.chain(self.proxy.admin().map(|bind| format!("admin on {bind}"))).collect()
    }

    /// Says in the log what is served, by which version.
    fn introduce(&self, file: Option<&Path>) {
        let (version, snapshot) = (env!("CARGO_PKG_VERSION"), self.proxy.snapshot());
        let configuration = file.map(|path| path.display().to_string());
        let workers = snapshot.config.server.workers;
        tracing::info!(version, configuration, workers, "linkspan serves");
        for (listener, address) in self.proxy.addresses() {
            tracing::info!(listener = &**listener, %address, "listening");
        }
        if let Some(address) = self.proxy.admin() {
            tracing::info!(%address, "the administrator's listener");
        }
        for (plugin, component, version) in snapshot.versions() {
            tracing::info!(plugin, component, version, "plugin loaded");
        }
    }

    /// Serves until a signal says to leave; `source` is where the configuration is read again from,
    /// if it can be.
    pub(super) async fn serve(mut self, source: Option<(&Run, &Path)>) -> ExitCode {
        self.introduce(source.map(|(_, path)| path));
        let mut tidy = tokio::time::interval(TIDY);
        let mut watchdog = Watchdog::new();
        let mut linger = Duration::ZERO;
        let grace = loop {
            let (wish, order) = tokio::select! {
                () = watchdog.due() => {
                    watchdog.feed(self.proxy.metrics().beats());
                    continue;
                }
                _ = tidy.tick() => {
                    memory::give_back_all();
                    continue;
                }
                wish = self.signals.next() => (wish, None),
                order = self.proxy.wish() => (Wish::to(order.as_ref()), order),
                news = self.watch.changed() => (Wish::of(news), None),
                step = step(&mut self.offer) => (Wish::by(step), None),
            };
            match wish {
                Wish::Finish => break None,
                Wish::Leave => break Some(self.proxy.snapshot().config.server.shutdown_grace),
                Wish::Reload => {
                    manager::reloading();
                    self.reload(source, order).await;
                    manager::ready();
                    self.logs.follow(&self.proxy.snapshot().config);
                }
                Wish::Swap => drop(self.proxy.swap().await),
                Wish::Judge => self.proxy.judge(),
                Wish::RollBack(plugin) => {
                    let answer = self.proxy.roll_back(&plugin).await;
                    order.into_iter().for_each(|order| order.answer(answer.clone()));
                }
                Wish::Reopen => self.logs.reopen(),
                Wish::HandOver => self.hand_over(),
                Wish::Yield => {
                    self.proxy.give_away();
                    linger = LINGER;
                    break Some(self.proxy.snapshot().config.server.shutdown_grace);
                }
            }
        };
        self.leave(grace, linger).await;
        ExitCode::SUCCESS
    }

    /// Gives the sockets to the process that asks for them. It is to serve before this one ends.
    fn hand_over(&mut self) {
        let Some(offer) = &mut self.offer else { return };
        match self.proxy.share() {
            Ok(sockets) => {
                tracing::info!(sockets = sockets.len(), "another process asks to take over");
                offer.give(&sockets);
            }
            Err(error) => tracing::error!("nothing can be handed over: {error}"),
        }
    }

    /// Ends, when what is open has ended or may take no longer.
    async fn leave(self, grace: Option<Duration>, linger: Duration) {
        let Self { logs, mut signals, watch, proxy, offer } = self;
        // Nothing is taken any more.
        drop(watch);
        if let Some(offer) = offer {
            offer.end();
        }
        let usual = proxy.snapshot().config.server.shutdown_grace;
        tracing::info!(?grace, "leaving");
        manager::stopping();
        match proxy.shut_down(linger, signals.cut(grace, usual, &logs)).await {
            0 => tracing::info!("left"),
            connections => tracing::warn!(connections, "connections were cut off"),
        }
    }

    /// Reads the configuration again, and tells the administrator who asked for it.
    async fn reload(&mut self, source: Option<(&Run, &Path)>, order: Option<Wanted>) {
        let known = self.lines();
        let taken = match source {
            Some((run, path)) => self.take(run, path).await,
            None => Err("it is not from a file, so that there is nothing to read again".to_owned()),
        };
        match &taken {
            Ok(generation) => {
                tracing::info!(generation, "configuration taken");
                self.announce(&known);
            }
            Err(text) => {
                tracing::error!("configuration not taken, the one before stays:\n{text}");
            }
        }
        // What has come besides, and is not for a configuration to take.
        self.proxy.swap().await;
        if let Some(order) = order {
            order.answer(taken);
        }
    }

    /// Takes a file, or says what is wrong with it.
    async fn take(&mut self, run: &Run, path: &Path) -> Result<u64, String> {
        let mut reading = Reading::load(path);
        let Some(mut config) = reading.sound().cloned() else {
            // What is refused is among the faults then.
            let _ = check::judge_with(&mut reading, self.proxy.plugin_host()).await;
            return Err(reading.faults().to_string());
        };
        config.override_bind(run.host, run.port).map_err(|error| error.to_string())?;
        self.proxy.reload(config).await.map_err(|error| {
            let told = check::explain(&mut reading, &error, is_moved(run));
            if told { reading.faults().to_string() } else { error.to_string() }
        })?;
        check::warn(&mut reading, &self.proxy.snapshot());
        descriptors::warn(&self.proxy.snapshot().config);
        Ok(self.proxy.snapshot().generation)
    }
}
