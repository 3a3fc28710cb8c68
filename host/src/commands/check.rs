//! Judging a configuration before anybody is served: the file, and everything that it names.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::cli::Check;
use crate::cluster::registry::Registry;
use crate::commands::{fail, options, say, uncounted};
use crate::config::{Fault, Faults, Part, Reading};
use crate::plugin::Host;
use crate::proxy::{StartError, plugin_host};
use crate::snapshot::{Before, Crew, Means, Refused, Snapshot};

/// Checks everything but serving.
pub async fn check(check: &Check) -> ExitCode {
    let path = match check.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let mut reading = Reading::load(&path);
    let counted = match judge(&mut reading).await {
        Ok(Some(snapshot)) => {
            add_warnings(&mut reading, &snapshot);
            let (clusters, plugins) = (snapshot.clusters.len(), snapshot.config.plugins.len());
            Some(format!("{}, {}", several(clusters, "cluster"), several(plugins, "plugin")))
        }
        Ok(None) => None,
        Err(code) => return code,
    };
    let faults = reading.faults();
    if check.json {
        say(&faults.json());
    } else {
        if !faults.is_empty() {
            tell(faults);
        }
        if let Some(counted) = counted {
            say(&format_args!("{}: {counted}; {}", faults.file().display(), faults.count()));
        }
    }
    let refused = faults.errors() > 0 || check.deny_warnings && !faults.is_empty();
    if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `1 cluster`, `2 clusters`.
fn several(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Says what is wrong on standard error, in colours if somebody sees them.
pub(super) fn tell(faults: &Faults) -> ExitCode {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut stderr = io::stderr().lock();
    // If nobody reads standard error there is nobody to tell.
    let _ = writeln!(stderr, "{}", faults.drawn(!plain && stderr.is_terminal()));
    ExitCode::FAILURE
}

/// Says all that is wrong with a file that has faults, its plugins included.
pub(super) async fn refuse(reading: &mut Reading) -> ExitCode {
    match judge(reading).await {
        Ok(_) => tell(reading.faults()),
        Err(code) => code,
    }
}

/// Judges the plugins that a file names, and adds what is wrong with them to its faults. Gives
/// what would be served if there are none.
///
/// # Errors
///
/// If plugins cannot be judged on this machine, which has been said.
async fn judge(reading: &mut Reading) -> Result<Option<Snapshot>, ExitCode> {
    let Some(config) = reading.to_judge() else { return Ok(None) };
    let options = options(None).map_err(|error| fail(&error))?;
    let host = plugin_host(&config, &options, &uncounted()).map_err(|error| fail(&error))?;
    Ok(judge_with(reading, &host).await.unwrap_or_default())
}

/// The same with an engine that is there.
///
/// # Errors
///
/// The plugins that are refused.
pub(super) async fn judge_with(
    reading: &mut Reading,
    host: &Host,
) -> Result<Option<Snapshot>, Vec<Refused>> {
    let Some(config) = reading.to_judge() else { return Ok(None) };
    let registry = Registry::default();
    let answers = tokio::spawn(registry.clone().answer());
    let crew = Crew::to_come(1);
    let means = Means { host, registry: &registry, crew: &crew, quiet: None };
    let built = Snapshot::build(means, config, Before::Nothing).await;
    answers.abort();
    match built {
        Ok(snapshot) => Ok(Some(snapshot).filter(|_| reading.faults().is_empty())),
        Err(refused) => {
            add(reading, &refused);
            Err(refused)
        }
    }
}

/// Adds plugins that are refused to what is wrong with a file.
pub(super) fn add(reading: &mut Reading, refused: &[Refused]) {
    let places = reading.faults().places();
    let faults: Vec<_> = refused.iter().flat_map(|refused| refused.faults(&places)).collect();
    drop(places);
    reading.faults_mut().add(faults);
}

/// Adds why a configuration is not taken to what is wrong with its file, if it is the file's
/// fault. `moved` says that the only listener's address came from elsewhere.
pub(super) fn explain(reading: &mut Reading, error: &StartError, moved: bool) -> bool {
    match error {
        StartError::Plugins(refused) => add(reading, refused),
        StartError::Bind { listener, address, source } if !moved => {
            let message = format!("cannot listen on {address}: {source}");
            point_at(reading, &["listeners", listener, "bind"], &message);
        }
        StartError::Admin { bind, source } => {
            let message = format!("cannot listen on {}: {source}", bind.url("http"));
            point_at(reading, &["admin", "bind"], &message);
        }
        StartError::Bind { .. } | StartError::Engine(_) | StartError::Thread(_) => return false,
    }
    true
}

/// Adds a fault of a value.
fn point_at(reading: &mut Reading, key: &[&str], message: &str) {
    let places = reading.faults().places();
    let fault = places.find(key).map(|spot| places.fault(&spot, Part::Value, message));
    drop(places);
    reading.faults_mut().add([fault.unwrap_or_else(|| Fault::whole(message))]);
}

/// Logs what is odd about a configuration that is served, each in a line of its own.
pub(super) fn warn(reading: &mut Reading, snapshot: &Snapshot) {
    add_warnings(reading, snapshot);
    for line in reading.faults().lines() {
        tracing::warn!("{line}");
    }
}

/// Adds what is odd about a file without faults.
fn add_warnings(reading: &mut Reading, snapshot: &Snapshot) {
    let odd = reading.warnings().into_iter();
    let odd: Vec<_> = odd.chain(snapshot.warnings(&reading.faults().places())).collect();
    reading.faults_mut().add(odd);
}
