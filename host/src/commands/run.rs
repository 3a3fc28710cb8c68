//! Serving, until a signal says to leave.

mod agenda;
mod configuration;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::admin::{Change, Wanted};
use crate::cli::Run;
use crate::commands::manager::{self, Watchdog};
use crate::commands::signals::{Signals, Wish, step};
use crate::commands::{check, fail, options, say};
use crate::config::{Config, Listener, Name, Reading, STDIN};
use crate::listener::descriptors;
use crate::log::Logs;
use crate::memory;
use crate::proxy::Proxy;
use crate::takeover::{Inherited, Offer, Predecessor};
use crate::watch::{News, Watch};
use agenda::{Agenda, Asked, Next, Ready};

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
    let file = Some(path.as_path()).filter(|path| *path != Path::new(STDIN));
    // Before it is read: what changes meanwhile is told of.
    let watch = Watch::new(file.map(Path::to_path_buf));
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
    let begin = Begin { moved: is_moved(run), watch, inherited, replaces: before.is_some() };
    match Service::start(config, &mut reading, begin).await {
        Ok(mut service) => {
            service.announce(&[]);
            // Before the process before may leave: for the manager that would be the end of the service.
            manager::ready();
            service.relieve(before).await;
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
pub(super) struct Begin {
    /// Whether the address to listen on is not the file's.
    pub(super) moved: bool,
    /// Watches the configuration's file since before it was read.
    pub(super) watch: Watch,
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

/// How to leave.
struct Leaving {
    /// How long what is open may take; without, as long as it wants to.
    grace: Option<Duration>,
    /// Whether another process serves on.
    replaced: bool,
}

/// A running proxy, with its logs and with who tells it what to do.
pub(super) struct Service {
    logs: Logs,
    signals: Signals,
    watch: Watch,
    proxy: Proxy,
    offer: Option<Offer>,
    /// How long the service manager waits for a sign of life, if it wants one.
    watchdog: Option<Duration>,
    /// Sockets that the process before has and this one has no use for, until it serves alone.
    unclaimed: Inherited,
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
        begin: Begin,
    ) -> Result<Self, ExitCode> {
        let Begin { moved, mut watch, mut inherited, replaces } = begin;
        descriptors::raise();
        let logs = Logs::open(&config.log).map_err(|error| fail(&error))?;
        logs.install().map_err(|error| fail(&error))?;
        logs.follow(&config);
        let options = options(Some(&logs)).map_err(|error| fail(&error))?;
        let mut signals = Signals::new().map_err(|error| fail(&error))?;
        // Before the files are read as components: what changes meanwhile is told of.
        watch.follow_plugins(config.server.plugin_dir.clone());
        watch.follow_named(config.files(), reading.before());
        let path = config.server.takeover.as_deref().filter(|_| !replaces);
        let offer = path.map(offer).transpose().map_err(|error| fail(&error))?;
        // Components that have to be compiled may take minutes.
        let started = tokio::select! {
            started = Proxy::start_with(config, &options, &mut inherited) => started,
            () = signals.leave() => return Err(ExitCode::SUCCESS),
        };
        let proxy = started.map_err(|error| {
            let told = check::explain(reading, &error, moved);
            if told { check::tell(reading.faults()) } else { fail(&error) }
        })?;
        proxy.metrics().watch_log("diagnostics", logs.dropped());
        check::warn(reading, &proxy.snapshot());
        descriptors::warn(&proxy.snapshot().config);
        for socket in inherited.unclaimed() {
            tracing::warn!("no listener has a use for a socket that was passed: {socket}");
        }
        let watchdog = manager::watchdog();
        Ok(Self { logs, signals, watch, proxy, offer, watchdog, unclaimed: inherited })
    }

    /// Serves from now on alone: the process before leaves, and this one can be replaced in its turn.
    async fn relieve(&mut self, before: Option<Predecessor>) {
        let unclaimed = std::mem::take(&mut self.unclaimed);
        let Some(before) = before else { return };
        // The manager has not started this one.
        self.watchdog = self.watchdog.or_else(|| before.watchdog());
        // Guests may be waited for meanwhile.
        let _ = tokio::task::spawn_blocking(move || before.serves()).await;
        tracing::info!("the process before has been taken over from");
        self.proxy.take_over();
        unclaimed.clear_away();
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
        let snapshot = self.proxy.snapshot();
        let scheme = |name: &Name| snapshot.config.listeners.get(name).map(Listener::scheme);
        let listeners = self.proxy.addresses().iter().map(|(name, bind)| {
            format!("listening on {} ({name})", bind.url(scheme(name).unwrap_or_default()))
        });
        let admin = self.proxy.admin().map(|bind| format!("admin on {}", bind.url("http")));
        listeners.chain(admin).collect()
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
        if let Some(address) = self.proxy.admin().map(|bind| bind.url("http")) {
            tracing::info!(address, "the administrator's listener");
        }
        for (plugin, component, version) in snapshot.versions() {
            tracing::info!(plugin, component, version, "plugin loaded");
        }
    }

    /// Serves until a signal says to leave; `source` is where the configuration is read again from,
    /// if it can be.
    pub(super) async fn serve(mut self, source: Option<(&Run, &Path)>) -> ExitCode {
        self.introduce(source.map(|(_, path)| path));
        memory::give_back_all();
        memory::keep_for_a_second();
        let leaving = self.attend(source).await;
        self.leave(leaving).await;
        ExitCode::SUCCESS
    }

    /// Gives the sockets to the process that asks for them. It is to serve before this one ends, and nothing
    /// that serves is changed before. Whether it has them.
    fn hand_over(&mut self) -> bool {
        let Some(offer) = &mut self.offer else { return false };
        let given = self.proxy.share().and_then(|sockets| {
            tracing::info!(sockets = sockets.len(), "another process asks to take over");
            offer.give(&sockets, self.watchdog)
        });
        if let Err(error) = &given {
            tracing::error!("nothing can be handed over: {error}");
            offer.dismiss();
        }
        given.is_ok()
    }

    /// Ends, when what is open has ended or may take no longer.
    async fn leave(self, leaving: Leaving) {
        let Leaving { grace, replaced } = leaving;
        let Self { logs, mut signals, watch, proxy, offer, .. } = self;
        // Nothing is taken any more.
        drop(watch);
        if let Some(offer) = offer {
            offer.end();
        }
        let usual = proxy.snapshot().config.server.shutdown_grace;
        tracing::info!(?grace, "leaving");
        if !replaced {
            manager::stopping();
        }
        let linger = if replaced { LINGER } else { Duration::ZERO };
        match proxy.shut_down(linger, signals.cut(grace, usual, &logs)).await {
            0 => tracing::info!("left"),
            connections => tracing::warn!(connections, "connections were cut off"),
        }
    }

    /// Does what is wanted until it is to leave.
    async fn attend(&mut self, source: Option<(&Run, &Path)>) -> Leaving {
        let mut tidy = tokio::time::interval(TIDY);
        let mut watchdog = Watchdog::new(self.watchdog);
        let mut agenda = Agenda::default();
        agenda.look_around();
        loop {
            // A process that begins to serve in place of this one has seen what serves by now: what else
            // came to, or was gone back from, it would undo.
            let alone = !agenda.is_held();
            if alone {
                self.advance(&mut agenda, source).await;
            }
            let (hears, promotes) = (agenda.hears(), agenda.promotes());
            let wish = tokio::select! {
                _ = tidy.tick() => Wish::Tidy,
                () = watchdog.due() => Wish::Feed,
                step = step(&mut self.offer) => Wish::by(step),
                wish = self.signals.next() => wish,
                order = self.proxy.wish(hears, promotes), if alone => order.map_or(Wish::Judge, Wish::Order),
                wish = files(&mut self.watch, agenda.waits_for_files()) => wish,
                () = agenda.made() => continue,
            };
            match wish {
                Wish::Finish => return Leaving { grace: None, replaced: false },
                Wish::Leave => return self.leaving(false),
                Wish::Yield => {
                    self.proxy.give_away();
                    return self.leaving(true);
                }
                Wish::HandOver if self.hand_over() => agenda.hold(),
                Wish::HandOver => {}
                Wish::GoOn => agenda.go_on(),
                Wish::Feed => watchdog.feed(self.proxy.metrics().beats()),
                Wish::Reload => agenda.reload_unseen(None),
                Wish::Read => agenda.reload(),
                Wish::Settled => agenda.files_are_settled(),
                Wish::Swap => agenda.swap(),
                Wish::Judge => agenda.promote(self.proxy.judge()),
                Wish::Order(order) => self.obey(order, &mut agenda),
                Wish::Reopen => self.logs.reopen(),
                Wish::Tidy => memory::give_back_all(),
            }
        }
    }

    /// Leaving after the usual grace.
    fn leaving(&self, replaced: bool) -> Leaving {
        let grace = Some(self.proxy.snapshot().config.server.shutdown_grace);
        Leaving { grace, replaced }
    }

    /// Does what an administrator wants, or takes it down.
    fn obey(&mut self, order: Wanted, agenda: &mut Agenda) {
        match order.change.clone() {
            Change::Reload => agenda.reload_unseen(Some(order)),
            Change::RollBack(plugin) => match self.proxy.withdraw(&plugin) {
                Some(generation) => order.answer(Ok(generation)),
                None => agenda.go_back(Asked { order, plugin }, &self.proxy),
            },
        }
    }

    /// Serves what is ready, and begins what is next.
    async fn advance(&mut self, agenda: &mut Agenda, source: Option<(&Run, &Path)>) {
        if let Some((Asked { order, plugin }, way)) = agenda.way_back() {
            order.answer(way.map(|back| self.proxy.go_back(&plugin, back)));
        }
        match agenda.ready() {
            Some(Ready::Configuration(reloaded)) => self.reload(reloaded, agenda, source).await,
            Some(Ready::Components(judged)) => {
                self.proxy.take(judged);
                agenda.swapped();
            }
            Some(Ready::Promotions(ready)) => {
                ready.into_iter().for_each(|ready| self.proxy.promote(ready));
            }
            Some(Ready::Unused(unused, more)) => {
                self.proxy.list_unused(unused);
                if more {
                    agenda.look_around();
                }
            }
            None => {}
        }
        let making = match agenda.next() {
            Some(Next::Configuration) => {
                let Some(making) = self.read(source, agenda) else { return };
                manager::reloading();
                making
            }
            Some(Next::Components) => agenda::components(&mut self.proxy, self.watch.quiet()),
            Some(Next::Promotions(plugins)) => agenda::promotions(&self.proxy, plugins),
            Some(Next::Unused) => {
                let looking = agenda::unused(&self.proxy, self.watch.quiet());
                return agenda.begin_at_leisure(looking);
            }
            None => return,
        };
        agenda.begin(making);
    }
}

/// What files make of what is wanted, once they are quiet.
async fn files(watch: &mut Watch, settle: bool) -> Wish {
    if settle {
        watch.settle().await;
        return Wish::Settled;
    }
    match watch.changed().await {
        News::Plugins => Wish::Swap,
        News::Configuration => Wish::Read,
    }
}
