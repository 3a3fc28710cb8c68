//! What editors know of the configuration.

use std::process::ExitCode;

use crate::commands::say;
use crate::config::Config;

/// Prints the JSON schema of the configuration.
pub fn schema() -> ExitCode {
    say(&format_args!("{:#}", Config::schema()));
    ExitCode::SUCCESS
}
