//! What a configuration comes to, and what one can be.

use std::process::ExitCode;

use crate::cli::Effective;
use crate::commands::{check, fail, say, write};
use crate::config::Config;

/// Prints the effective configuration: TOML that can be read again, or JSON.
pub fn config(wanted: &Effective) -> ExitCode {
    let path = match wanted.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    match Config::effective(&path) {
        Ok(effective) if wanted.json => say(&format_args!("{:#}", effective.json())),
        Ok(effective) => write(&effective),
        Err(faults) => return check::tell(&faults),
    }
    ExitCode::SUCCESS
}

/// Prints the JSON schema of the configuration, or its reference.
pub fn schema(reference: bool) -> ExitCode {
    if reference {
        write(&Config::reference());
    } else {
        say(&format_args!("{:#}", Config::schema()));
    }
    ExitCode::SUCCESS
}
