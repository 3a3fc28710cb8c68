//! Serving, until a signal says to leave.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Reload;
use crate::cli::Run;
use crate::commands::{fail, options, say};
use crate::config::Config;
use crate::log::Logs;
use crate::proxy::Proxy;

/// Serves until a signal says to leave.
pub async fn run(run: &Run) -> ExitCode {
    let path = match run.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let service = match configuration(run, &path) {
        Ok(config) => Service::start(config).await,
        Err(text) => return fail(&text),
    };
    match service {
        Ok(service) => {
            service.announce(&[]);
            service.serve(Some((run, path))).await
        }
        Err(text) => fail(&text),
    }
}

fn configuration(run: &Run, path: &Path) -> Result<Config, String> {
    let mut config = Config::load(path).map_err(|faults| faults.to_string())?;
    config.override_bind(run.host, run.port).map_err(|error| error.to_string())?;
    Ok(config)
}

/// A running proxy, with its logs and with who tells it what to do.
pub(super) struct Service {
    logs: Logs,
    signals: Signals,
    proxy: Proxy,
}

impl Service {
    /// Starts serving.
    ///
    /// # Errors
    ///
    /// What keeps it from that, in words.
    pub(super) async fn start(config: Config) -> Result<Self, String> {
        let logs = Logs::open(&config.log).map_err(|error| error.to_string())?;
        logs.install().map_err(|error| error.to_string())?;
        let options = options(Some(&logs)).map_err(|error| error.to_string())?;
        let signals = Signals::new().map_err(|error| error.to_string())?;
        let started = Proxy::start(config, &options).await;
        let proxy = started.map_err(|error| error.to_string())?;
        Ok(Self { logs, signals, proxy })
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

    /// Serves until a signal says to leave; `source` is where the configuration is read again from.
    pub(super) async fn serve(mut self, source: Option<(&Run, PathBuf)>) -> ExitCode {
        let source = source.as_ref().map(|(run, path)| (*run, path.as_path()));
        let grace = loop {
            let (wish, admin) = tokio::select! {
                wish = self.signals.next() => (wish, None),
                admin = self.proxy.wish() => (Wish::Reload, Some(admin)),
            };
            match wish {
                Wish::Finish => break None,
                Wish::Leave => break Some(self.proxy.snapshot().config.server.shutdown_grace),
                Wish::Reload => self.reload(source, admin).await,
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
    async fn reload(&mut self, source: Option<(&Run, &Path)>, admin: Option<Reload>) {
        let known = self.lines();
        let taken = match source {
            Some((run, path)) => self.take(run, path).await,
            None => Err("there is no file that could be read again".to_owned()),
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
        if let Some(admin) = admin {
            admin.answer(taken);
        }
    }

    async fn take(&mut self, run: &Run, path: &Path) -> Result<u64, String> {
        let config = configuration(run, path)?;
        self.proxy.reload(config).await.map_err(|error| error.to_string())?;
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
    /// To open the log files again.
    Reopen,
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
