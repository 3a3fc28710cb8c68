//! The diagnostic log and the access log: where lines go, how they look, and that writing them holds
//! up nobody.
//!
//! Both logs go through a [`Sink`]: a bounded buffer that one thread per target writes out. What does
//! not fit is dropped and counted, so a slow disk or a reader that has stopped costs lines, never
//! time of a worker.

pub mod access;
mod diagnostics;
pub(crate) mod gate;
pub mod id;
mod line;
pub mod sink;

pub use line::{in_milliseconds, timestamp};

use std::io;
use std::io::IsTerminal;
use std::time::Duration;

use tracing::subscriber::SetGlobalDefaultError;

use self::access::AccessLog;
use self::diagnostics::{Diagnostics, Levels};
use self::sink::{Sink, Writer};
use crate::config::{Config, Log, LogFormat, LogTarget};

/// How long the last lines may take to be written when the process ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Both logs. Dropped last of all: it waits, for a moment, until the last lines are written.
#[derive(Debug)]
pub struct Logs {
    levels: Levels,
    diagnostics: Option<Output>,
    access: Option<Output>,
    writers: Vec<Writer>,
}

impl Logs {
    /// Opens the targets and starts their threads.
    ///
    /// # Errors
    ///
    /// When a file cannot be opened or a thread not started.
    pub fn open(config: &Log) -> Result<Self, LogError> {
        let mut logs = Self {
            levels: Levels::new(config.level),
            diagnostics: None,
            access: None,
            writers: Vec::new(),
        };
        logs.diagnostics = logs.output(&config.file, config.format)?;
        // Two threads with one target would write into each other's lines.
        logs.access = if config.access == config.file {
            logs.diagnostics.clone()
        } else {
            logs.output(&config.access, config.format)?
        };
        Ok(logs)
    }

    /// Makes the diagnostic log that of the whole process. Until then nothing is logged.
    ///
    /// # Errors
    ///
    /// When the process has one already.
    pub fn install(&self) -> Result<(), LogError> {
        let Some(output) = &self.diagnostics else { return Ok(()) };
        let Output { sink, json, colour } = output.clone();
        let diagnostics = Diagnostics { levels: self.levels.clone(), sink, json, colour };
        tracing::subscriber::set_global_default(diagnostics).map_err(LogError::Installed)
    }

    /// Writes from now on what a configuration wants to be written: its level, and those of its
    /// plugins.
    pub fn follow(&self, config: &Config) {
        self.levels.follow(config);
    }

    /// Lines of the diagnostic log that were lost, to be asked at any time.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let sink = self.diagnostics.as_ref().map(|output| output.sink.clone());
        move || sink.as_ref().map_or(0, Sink::dropped)
    }

    /// The access log, for workers to write to.
    #[must_use]
    pub fn access(&self) -> AccessLog {
        match &self.access {
            Some(output) => AccessLog::new(&output.sink, output.json),
            None => AccessLog::off(),
        }
    }

    /// Has files opened anew, before the next line: the old ones may have been moved away.
    pub fn reopen(&self) {
        for writer in &self.writers {
            writer.sink().reopen();
        }
    }

    fn output(
        &mut self,
        target: &LogTarget,
        format: LogFormat,
    ) -> Result<Option<Output>, LogError> {
        if *target == LogTarget::Off {
            return Ok(None);
        }
        let terminal = match target {
            LogTarget::Stderr => io::stderr().is_terminal(),
            LogTarget::Stdout => io::stdout().is_terminal(),
            LogTarget::Off | LogTarget::File(_) => false,
        };
        let json = match format {
            LogFormat::Auto => !terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        let writer = Writer::start(target, LAST_LINES)?;
        let sink = writer.sink().clone();
        self.writers.push(writer);
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Some(Output { sink, json, colour }))
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be opened.
    #[error("cannot open the log file {}: {source}", path.display())]
    Open {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// The process has a log.
    #[error("the process logs elsewhere already")]
    Installed(#[source] SetGlobalDefaultError),
}

#[derive(Debug, Clone)]
struct Output {
    sink: Sink,
    json: bool,
    colour: bool,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::LogLevel;

    /// The only test of this binary that may install a log: a process has one.
    #[test]
    fn one_file_takes_both_logs_and_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let target = LogTarget::File(path.clone());
        let config = Log {
            level: LogLevel::Info,
            format: LogFormat::Auto,
            file: target.clone(),
            access: target,
        };
        let logs = Logs::open(&config).unwrap();
        logs.install().unwrap();
        assert!(matches!(logs.install(), Err(LogError::Installed(_))));
        tracing::info!(port = 1, "a line\nof two");
        tracing::debug!("too fine");
        assert!(logs.writers[0].sink().flush(LAST_LINES));
        assert_eq!(logs.writers.len(), 1);
        let moved = directory.path().join("log.1");
        fs::rename(&path, &moved).unwrap();
        logs.reopen();
        tracing::warn!("after");
        drop(logs);
        let lines = |path| -> Vec<serde_json::Value> {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        // Other tests of this process may log as well.
        let find = |lines: &[serde_json::Value], message: &str| {
            lines.iter().filter(|line| line["message"] == message).count()
        };
        assert_eq!(find(&lines(moved.clone()), "a line\nof two"), 1);
        assert_eq!(find(&lines(moved), "too fine"), 0);
        assert_eq!(find(&lines(path), "after"), 1);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let file = LogTarget::File("/nonexistent/log".into());
        let config =
            Log { level: LogLevel::Info, format: LogFormat::Auto, file, access: LogTarget::Off };
        let error = Logs::open(&config).unwrap_err();
        let words = "cannot open the log file /nonexistent/log: No such file or directory";
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
