//! What the commands do, one file each; a command is a function that gives the exit code.

mod check;
mod config;
mod demo;
mod inspect;
mod manager;
mod manual;
mod new;
mod plugins;
mod replay;
mod run;
mod signals;
mod terminal;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use crate::log::Logs;
use crate::metrics::Metrics;
use crate::plugin::BuiltIn;
use crate::proxy::{Options, WORDS};

pub use check::check;
pub use config::{config, schema};
pub use demo::demo;
pub use inspect::inspect;
pub use manual::{completions, man};
pub use new::new;
pub use plugins::plugins;
pub use replay::replay;
pub use run::run;

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

/// Says what is wrong with a command line, or prints the help that it asks for.
pub fn misused(error: &clap::Error) -> ExitCode {
    // If nobody reads it there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "-h") {
        let _ = writeln!(io::stderr(), "\n-h is the host that `run` listens on; help is --help");
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn say(text: &dyn std::fmt::Display) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{text}");
    let _ = output.flush();
}

/// A result for scripts.
fn json(value: &impl serde::Serialize) -> String {
    // Structs of texts and numbers cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What components are compiled with: this program.
fn options(logs: Option<&Logs>) -> io::Result<Options> {
    Ok(Options {
        program: std::env::current_exe()?,
        built_in: BUILT_IN,
        access: logs.map_or_else(crate::log::access::AccessLog::off, Logs::access),
    })
}

/// For commands that count nothing.
fn uncounted() -> Arc<Metrics> {
    Arc::new(Metrics::new(0, WORDS))
}
