//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

/// A reverse proxy whose every decision is a WebAssembly component.
#[derive(Debug, Parser)]
#[command(
    name = "linkspan",
    version,
    disable_help_flag = true,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// What to do; `run` if nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
    /// Print help.
    #[arg(long, action = ArgAction::HelpLong, global = true)]
    pub help: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve (the default)
    Run(Run),
    /// Check everything but serving: the file, and that every plugin loads and is configured.
    /// Exits with 0 if nothing is wrong, else with 1
    Check(Check),
    /// List the plugins of a configuration and the components that are there
    Plugins(File),
    /// Tell what a component is, what it imports, and what it would have to be granted
    Inspect {
        /// The component
        file: PathBuf,
    },
    /// Print the effective configuration: every key with its value, secrets masked
    Config {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a comment here would become part of the help")]
        file: File,
        /// Print JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of the configuration, for editors
    Schema {
        /// Print the reference instead: every key with its default, and what it is for
        #[arg(long)]
        reference: bool,
    },
    /// Try it without a file: three origins and a proxy in front of them
    Demo,
    /// Compile a component from standard input; what the proxy calls for itself
    #[command(hide = true)]
    Compile {
        /// CPU time that it may take, in seconds
        seconds: u64,
        /// Memory that it may take, in bytes
        memory_bytes: u64,
    },
}

/// Which configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct File {
    /// The configuration [default: linkspan.toml here, in the user's configuration directory's
    /// linkspan folder, or in /etc/linkspan]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to check, and how to say what is found.
#[derive(Debug, Clone, Default, Args)]
pub struct Check {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become part of the help")]
    pub file: File,
    /// Exit with 1 for warnings too
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print what is found as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// How to run.
#[derive(Debug, Clone, Default, Args)]
pub struct Run {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become part of the help")]
    pub file: File,
    /// Listen on this address instead of the only listener's
    #[arg(short = 'h', long, value_name = "HOST")]
    pub host: Option<IpAddr>,
    /// Listen on this port instead of the only listener's
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
}

impl File {
    /// The file that is named, or the first that is there; the error says where it was looked for.
    ///
    /// # Errors
    ///
    /// If none is named and none is there.
    pub fn find(&self) -> Result<PathBuf, String> {
        if let Some(file) = &self.config {
            return Ok(file.clone());
        }
        let home = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|directory| directory.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        let mut places = vec![PathBuf::from("linkspan.toml")];
        places.extend(home.map(|home| home.join("linkspan/linkspan.toml")));
        places.push(PathBuf::from("/etc/linkspan/linkspan.toml"));
        match places.iter().find(|place| place.is_file()) {
            Some(place) => Ok(place.clone()),
            None => {
                let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
                Err(format!(
                    "no configuration: name one with -c FILE (looked for {})",
                    places.join(", ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn running_is_the_default_and_h_is_a_host() {
        let arguments =
            Arguments::parse_from(["linkspan", "-c", "a.toml", "-h", "127.0.0.1", "-p", "0"]);
        assert!(arguments.command.is_none());
        assert_eq!(arguments.run.port, Some(0));
        assert!(arguments.run.host.is_some_and(|host| host.is_loopback()));
    }
}
