//! `[log]`.

use std::path::PathBuf;

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written. Default `info`.
    pub level: LogLevel,
    /// Default [`LogFormat::Auto`].
    pub format: LogFormat,
    /// Where diagnostics go. Default standard error.
    pub file: LogTarget,
    /// Where access lines go. Default standard error.
    pub access: LogTarget,
}

/// How severe a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// Details.
    Debug,
    /// What an operator likes to know.
    Info,
    /// Odd, but harmless.
    Warn,
    /// Something failed.
    Error,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}
