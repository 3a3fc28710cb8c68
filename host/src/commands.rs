//! What the commands do, each a function that gives the exit code.

mod demo;
mod inspect;
mod schema;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Run;
use crate::cluster::registry::Registry;
use crate::config::Config;
use crate::log::Logs;
use crate::metrics::Metrics;
use crate::plugin::BuiltIn;
use crate::proxy::{Options, Proxy, WORDS, plugin_host};
use crate::snapshot::Snapshot;

pub use demo::demo;
pub use inspect::{inspect, plugins};
pub use schema::schema;

/// The standard components, as the program carries them.
pub const BUILT_IN: BuiltIn = linkspan_plugins::COMPONENTS;

/// Says what is wrong on standard error; the exit code that goes with it.
pub fn fail(text: &dyn std::fmt::Display) -> ExitCode {
    // If nobody reads standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "linkspan: {text}");
    ExitCode::FAILURE
}

/// The same for the compiling child, whose parent adds who is speaking.
pub fn complain(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

fn say(text: &dyn std::fmt::Display) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{text}");
    let _ = output.flush();
}

/// What components are compiled with: this program.
fn options(logs: Option<&Logs>) -> io::Result<Options> {
    Ok(Options {
        program: std::env::current_exe()?,
        built_in: BUILT_IN,
        access: logs.map_or_else(crate::log::access::AccessLog::off, Logs::access),
    })
}

fn configuration(run: &Run, path: &Path) -> Result<Config, String> {
    let mut config = Config::load(path).map_err(|faults| faults.to_string())?;
    config.override_bind(run.host, run.port).map_err(|error| error.to_string())?;
    Ok(config)
}

/// Serves until a signal says to leave.
pub async fn run(run: &Run) -> ExitCode {
    let path = match run.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    match configuration(run, &path) {
        Ok(config) => serve(config, Some((run, path))).await,
        Err(text) => fail(&text),
    }
}

/// Serves a configuration; `source` is where it is read again from.
async fn serve(config: Config, source: Option<(&Run, PathBuf)>) -> ExitCode {
    let logs = match Logs::open(&config.log).and_then(|logs| logs.install().map(|()| logs)) {
        Ok(logs) => logs,
        Err(error) => return fail(&error),
    };
    let (options, mut signals) = match options(Some(&logs)).and_then(|o| Ok((o, Signals::new()?))) {
        Ok(both) => both,
        Err(error) => return fail(&error),
    };
    let mut proxy = match Proxy::start(config, &options).await {
        Ok(proxy) => proxy,
        Err(error) => return fail(&error),
    };
    announce(&proxy);
    let grace = loop {
        match signals.next().await {
            Wish::Finish => break None,
            Wish::Leave => break Some(proxy.snapshot().config.server.shutdown_grace),
            Wish::Reload => {
                if let Some((run, path)) = &source {
                    reload(&mut proxy, run, path).await;
                }
            }
            Wish::Reopen => logs.reopen(),
        }
    };
    tracing::info!("leaving");
    let clean = tokio::select! {
        clean = proxy.shut_down(grace) => clean,
        () = signals.hurry() => false,
    };
    if !clean {
        tracing::warn!("connections were cut off");
    }
    ExitCode::SUCCESS
}

/// One line per listener, so that port 0 works.
fn announce(proxy: &Proxy) {
    for (name, address) in proxy.addresses() {
        say(&format_args!("listening on http://{address} ({name})"));
    }
}

async fn reload(proxy: &mut Proxy, run: &Run, path: &Path) {
    let config = match configuration(run, path) {
        Ok(config) => config,
        Err(text) => {
            tracing::error!("configuration not taken, the one before stays:\n{text}");
            return;
        }
    };
    match proxy.reload(config).await {
        Ok(()) => {
            tracing::info!(generation = proxy.snapshot().generation, "configuration taken");
        }
        Err(error) => tracing::error!("configuration not taken, the one before stays: {error}"),
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

/// For commands that count nothing.
fn uncounted() -> Arc<Metrics> {
    Arc::new(Metrics::new(0, WORDS))
}

/// Checks everything but serving.
pub async fn check(path: Result<PathBuf, String>) -> ExitCode {
    let path = match path {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(faults) => return fail(&faults),
    };
    let (options, workers) = match options(None) {
        Ok(options) => (options, 1),
        Err(error) => return fail(&error),
    };
    let host = match plugin_host(&config, &options, &uncounted()) {
        Ok(host) => host,
        Err(error) => return fail(&error),
    };
    match Snapshot::build(&host, config, &mut Registry::default(), None, workers).await {
        Ok(snapshot) => {
            let (plugins, clusters) = (snapshot.config.plugins.len(), snapshot.clusters.len());
            say(&format_args!(
                "{}: {clusters} clusters, {plugins} plugins, no faults",
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(refused) => {
            for refused in &refused {
                fail(refused);
            }
            ExitCode::FAILURE
        }
    }
}
