//! Serving, until a signal says to leave.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{Change, Wanted};
use crate::cli::Run;
use crate::commands::{check, fail, options, say};
use crate::config::{Config, Name, Reading, STDIN};
use crate::listener::descriptors;
use crate::log::Logs;
use crate::memory;
use crate::proxy::Proxy;
use crate::watch::{News, Watch};

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
        let signals = Signals::new().map_err(|error| fail(&error))?;
        // Before the files are read as components: what changes meanwhile is told of.
        let watch = Watch::new(config.server.plugin_dir.clone(), file.map(Path::to_path_buf));
        let proxy = Proxy::start(config, &options).await.map_err(|error| {
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
        let snapshot = self.proxy.snapshot();
        let scheme = |name: &Name| match snapshot.config.listeners.get(name) {
            Some(listener) if listener.tcp.is_some() => "tcp",
            _ => "http",
        };
        let listeners =
            self.proxy.addresses().iter().map(|(name, address)| {
                format!("listening on {}://{address} ({name})", scheme(name))
            });
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
        let grace = loop {
            let (wish, order) = tokio::select! {
                _ = tidy.tick() => {
                    memory::give_back_all();
                    continue;
                }
                wish = self.signals.next() => (wish, None),
                order = self.proxy.wish() => (Wish::to(order.as_ref()), order),
                news = self.watch.changed() => (Wish::of(news), None),
            };
            match wish {
                Wish::Finish => break None,
                Wish::Leave => break Some(self.proxy.snapshot().config.server.shutdown_grace),
                Wish::Reload => {
                    self.reload(source, order).await;
                    self.logs.follow(&self.proxy.snapshot().config);
                }
                Wish::Swap => drop(self.proxy.swap().await),
                Wish::Judge => self.proxy.judge(),
                Wish::RollBack(plugin) => {
                    let answer = self.proxy.roll_back(&plugin).await;
                    order.into_iter().for_each(|order| order.answer(answer.clone()));
                }
                Wish::Reopen => self.logs.reopen(),
            }
        };
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

/// What a signal asks for.
enum Wish {
    /// To end after all open requests.
    Finish,
    /// To end after them, or after the grace period.
    Leave,
    /// To read the configuration again.
    Reload,
    /// To look for other components.
    Swap,
    /// To judge versions that are on trial.
    Judge,
    /// To go back to a plugin's version before.
    RollBack(Name),
    /// To open the log files again.
    Reopen,
}

impl Wish {
    /// What an administrator asks for; without, there is something to judge.
    fn to(order: Option<&Wanted>) -> Self {
        match order.map(|order| &order.change) {
            Some(Change::Reload) => Self::Reload,
            Some(Change::RollBack(plugin)) => Self::RollBack(plugin.clone()),
            None => Self::Judge,
        }
    }

    fn of(news: News) -> Self {
        match news {
            News::Plugins => Self::Swap,
            News::Configuration => Self::Reload,
        }
    }
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
