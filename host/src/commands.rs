//! What the commands do, each a function that gives the exit code.

mod check;
mod config;
mod demo;
mod inspect;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Run;
use crate::config::{Config, Reading, STDIN};
use crate::log::Logs;
use crate::metrics::Metrics;
use crate::plugin::BuiltIn;
use crate::proxy::{Options, Proxy, WORDS};

pub use check::check;
pub use config::{config, schema};
pub use demo::demo;
pub use inspect::{inspect, plugins};

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

/// Writes a text that ends its own lines.
fn write(text: &dyn std::fmt::Display) {
    let mut output = io::stdout().lock();
    let _ = write!(output, "{text}");
    let _ = output.flush();
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
    match config.override_bind(run.host, run.port) {
        Ok(()) => {
            let source = (path != Path::new(STDIN)).then_some((run, path.as_path()));
            serve(config, &mut reading, source).await
        }
        Err(error) => fail(&error),
    }
}

/// Serves a configuration, as it was read; `source` is where it is read again from, if it can be.
async fn serve(config: Config, reading: &mut Reading, source: Option<(&Run, &Path)>) -> ExitCode {
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
        Err(error) => {
            let moved = source.is_some_and(|(run, _)| is_moved(run));
            let told = check::explain(reading, &error, moved);
            return if told { check::tell(reading.faults()) } else { fail(&error) };
        }
    };
    check::warn(reading, &proxy.snapshot());
    announce(&proxy);
    let grace = loop {
        match signals.next().await {
            Wish::Finish => break None,
            Wish::Leave => break Some(proxy.snapshot().config.server.shutdown_grace),
            Wish::Reload => match source {
                Some((run, path)) => reload(&mut proxy, run, path).await,
                None => tracing::warn!(
                    "the configuration is not from a file, so that there is nothing to read \
                         again; what runs goes on"
                ),
            },
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

/// Whether the address to listen on is not the file's.
fn is_moved(run: &Run) -> bool {
    run.host.is_some() || run.port.is_some()
}

async fn reload(proxy: &mut Proxy, run: &Run, path: &Path) {
    let mut reading = Reading::load(path);
    let text = match reload_from(proxy, run, &mut reading).await {
        Ok(()) => {
            tracing::info!(generation = proxy.snapshot().generation, "configuration taken");
            return check::warn(&mut reading, &proxy.snapshot());
        }
        Err(text) => text,
    };
    tracing::error!("configuration not taken, the one before stays:\n{text}");
}

/// Takes a file, or says what is wrong with it.
async fn reload_from(proxy: &mut Proxy, run: &Run, reading: &mut Reading) -> Result<(), String> {
    let Some(mut config) = reading.sound().cloned() else {
        check::judge_with(reading, proxy.plugin_host()).await;
        return Err(reading.faults().to_string());
    };
    config.override_bind(run.host, run.port).map_err(|error| error.to_string())?;
    proxy.reload(config).await.map_err(|error| {
        let told = check::explain(reading, &error, is_moved(run));
        if told { reading.faults().to_string() } else { error.to_string() }
    })
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
