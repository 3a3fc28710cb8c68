//! Serving, until a signal says to leave.

mod agenda;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{Change, Wanted};
use crate::cli::Run;
use crate::commands::{check, fail, options, say};
use crate::config::{Config, Reading, STDIN};
use crate::listener::descriptors;
use crate::log::Logs;
use crate::memory;
use crate::proxy::{Proxy, StartError};
use crate::snapshot::Snapshot;
use crate::watch::{News, Watch};
use agenda::{Agenda, Asked, Making, Next, Ready, Reloaded};

/// How often this thread gives back what it has freed, and what workers have freed of its own: plugins and
/// configurations, which take more when they come than when they serve.
const TIDY: Duration = Duration::from_secs(10);

/// Serves until a signal says to leave.
pub async fn run(run: &Run) -> ExitCode {
    let path = match run.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let mut reading = Reading::load(&path);
    let Some(mut config) = reading.sound().cloned() else {
        return check::refuse(&mut reading).await;
    };
    if let Err(error) = config.override_bind(run.host, run.port) {
        return fail(&error);
    }
    let file = Some(path.as_path()).filter(|path| *path != Path::new(STDIN));
    match Service::start(config, &mut reading, is_moved(run), file).await {
        Ok(service) => {
            service.announce(&[]);
            let source = file.map(|path| (run, path));
            service.serve(source).await
        }
        Err(code) => code,
    }
}

/// Whether the address to listen on is not the file's.
fn is_moved(run: &Run) -> bool {
    run.host.is_some() || run.port.is_some()
}

/// A running proxy, with its logs and with who tells it what to do.
pub(super) struct Service {
    logs: Logs,
    signals: Signals,
    watch: Watch,
    proxy: Proxy,
}

impl Service {
    /// Starts serving a configuration, as it was read. `moved` says that the address to listen on
    /// is not the file's; `file` is watched, and so is the directory of plugins.
    ///
    /// # Errors
    ///
    /// If something keeps it from that, which has been said.
    pub(super) async fn start(
        config: Config,
        reading: &mut Reading,
        moved: bool,
        file: Option<&Path>,
    ) -> Result<Self, ExitCode> {
        descriptors::raise();
        let logs = Logs::open(&config.log).map_err(|error| fail(&error))?;
        logs.install().map_err(|error| fail(&error))?;
        logs.follow(&config);
        let options = options(Some(&logs)).map_err(|error| fail(&error))?;
        let mut signals = Signals::new().map_err(|error| fail(&error))?;
        // Before the files are read as components: what changes meanwhile is told of.
        let watch = Watch::new(config.server.plugin_dir.clone(), file.map(Path::to_path_buf));
        // Components that have to be compiled may take minutes.
        let started = tokio::select! {
            started = Proxy::start(config, &options) => started,
            () = signals.leave() => return Err(ExitCode::SUCCESS),
        };
        let proxy = started.map_err(|error| {
            let told = check::explain(reading, &error, moved);
            if told { check::tell(reading.faults()) } else { fail(&error) }
        })?;
        proxy.metrics().watch_log("diagnostics", logs.dropped());
        check::warn(reading, &proxy.snapshot());
        descriptors::warn(&proxy.snapshot().config);
        Ok(Self { logs, signals, watch, proxy })
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
        let grace = self.attend(source).await;
        tracing::info!("leaving");
        let clean = tokio::select! {
            clean = self.proxy.shut_down(grace) => clean,
            () = self.signals.hurry() => false,
        };
        if clean {
            return ExitCode::SUCCESS;
        }
        tracing::warn!("connections were cut off");
        ExitCode::FAILURE
    }

    /// Does what is wanted until a signal says to leave. With the time that open requests get, if that is
    /// limited.
    async fn attend(&mut self, source: Option<(&Run, &Path)>) -> Option<Duration> {
        let mut tidy = tokio::time::interval(TIDY);
        let mut agenda = Agenda::default();
        loop {
            self.advance(&mut agenda, source).await;
            let (hears, promotes) = (agenda.hears(), agenda.promotes());
            let wish = tokio::select! {
                _ = tidy.tick() => Wish::Tidy,
                wish = self.signals.next() => wish,
                order = self.proxy.wish(hears, promotes) => order.map_or(Wish::Judge, Wish::Order),
                wish = files(&mut self.watch, agenda.waits_for_files()) => wish,
                () = agenda.made() => continue,
            };
            match wish {
                Wish::Finish => return None,
                Wish::Leave => return Some(self.proxy.snapshot().config.server.shutdown_grace),
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
            None => {}
        }
        let making = match agenda.next() {
            Some(Next::Configuration) => self.read(source, agenda.outdated()),
            Some(Next::Components) => agenda::components(&mut self.proxy, self.watch.quiet()),
            Some(Next::Promotions(plugins)) => agenda::promotions(&self.proxy, plugins),
            None => return,
        };
        agenda.begin(making);
    }

    /// Reads the configuration again, and makes it ready. What was made ready in vain before is held for
    /// as long.
    fn read(&self, source: Option<(&Run, &Path)>, outdated: Option<Snapshot>) -> Making<Ready> {
        let ready = Ready::Configuration;
        let faulty = |text: String| -> Making<Ready> {
            Box::pin(std::future::ready(ready(Reloaded::Faulty(text))))
        };
        let Some((run, path)) = source else {
            return faulty(
                "it is not from a file, so that there is nothing to read again".to_owned(),
            );
        };
        let mut reading = Reading::load(path);
        let Some(mut config) = reading.sound().cloned() else {
            let host = Arc::clone(self.proxy.plugin_host());
            return Box::pin(async move {
                // What is refused is among the faults then.
                let _ = check::judge_with(&mut reading, &host).await;
                ready(Reloaded::Faulty(reading.faults().to_string()))
            });
        };
        if let Err(error) = config.override_bind(run.host, run.port) {
            return faulty(error.to_string());
        }
        match self.proxy.build(config, Some(self.watch.quiet())) {
            Ok(building) => Box::pin(async move {
                let built = building.await;
                drop(outdated);
                ready(Reloaded::Read(Box::new(reading), built.map(Box::new)))
            }),
            Err(error) => {
                Box::pin(std::future::ready(ready(Reloaded::Read(Box::new(reading), Err(error)))))
            }
        }
    }

    /// Serves the configuration as it was read, or says what is wrong with it.
    async fn reload(
        &mut self,
        reloaded: Reloaded,
        agenda: &mut Agenda,
        source: Option<(&Run, &Path)>,
    ) {
        let known = self.lines();
        let taken = match reloaded {
            Reloaded::Faulty(text) => Err(text),
            Reloaded::Read(_, Ok(built)) if self.proxy.is_outdated(&built) => {
                return agenda.again(built.into_snapshot());
            }
            Reloaded::Read(reading, Ok(built)) => {
                let served = self.proxy.serve(*built).await;
                self.taken(*reading, served, source)
            }
            Reloaded::Read(reading, Err(error)) => self.taken(*reading, Err(error), source),
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
        self.logs.follow(&self.proxy.snapshot().config);
        agenda.reloaded(taken);
    }

    /// What is said of a configuration that is served, or is not.
    fn taken(
        &self,
        mut reading: Reading,
        served: Result<(), StartError>,
        source: Option<(&Run, &Path)>,
    ) -> Result<u64, String> {
        served.map_err(|error| {
            let moved = source.is_some_and(|(run, _)| is_moved(run));
            let told = check::explain(&mut reading, &error, moved);
            if told { reading.faults().to_string() } else { error.to_string() }
        })?;
        check::warn(&mut reading, &self.proxy.snapshot());
        descriptors::warn(&self.proxy.snapshot().config);
        Ok(self.proxy.snapshot().generation)
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

/// What is to be done.
enum Wish {
    /// To end after all open requests.
    Finish,
    /// To end after them, or after the grace period.
    Leave,
    /// To read the configuration again, as soon as nobody writes to files.
    Reload,
    /// To read it again.
    Read,
    /// To go on with what waits for files: nobody writes to them.
    Settled,
    /// To look for other components.
    Swap,
    /// To judge versions that are on trial.
    Judge,
    /// What an administrator wants.
    Order(Wanted),
    /// To open the log files again.
    Reopen,
    /// To give back memory.
    Tidy,
}

struct Signals {
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// A further signal to end while that is under way: not to wait any longer.
    async fn hurry(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// One to end before there is anything to wait for.
    async fn leave(&mut self) {
        tokio::select! {
            _ = self.quit.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.quit.recv() => Wish::Finish,
            _ = self.terminate.recv() => Wish::Leave,
            _ = self.interrupt.recv() => Wish::Leave,
            _ = self.hang_up.recv() => Wish::Reload,
            _ = self.user1.recv() => Wish::Reopen,
        }
    }
}
