//! The command line: what can be asked for, and the help that teaches it.
//!
//! Uses only the standard library and clap, because `build.rs` includes this file to make the manual
//! pages and the shell completions of it. What stands below `Examples:` in a help text works as it
//! stands: a test parses each line.

// By its path, as the build script reads this file from another place.
#[path = "cli/about.rs"]
mod about;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A reverse proxy whose every decision is a WebAssembly component
#[derive(Debug, Parser)]
#[command(
    name = "linkspan",
    version,
    styles = STYLES,
    disable_help_flag = true,
    args_conflicts_with_subcommands = true,
    after_long_help = about::ALL
)]
pub struct Arguments {
    /// What to do; `run` if nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
    /// Print help; it has no short form, as -h is the host of `run`
    #[arg(long, action = ArgAction::HelpLong, global = true)]
    pub help: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve (the default)
    #[command(after_long_help = about::RUN)]
    Run(Run),
    /// Check everything but serving: the file, and that every plugin loads and is configured
    #[command(after_long_help = about::CHECK)]
    Check(Check),
    /// List the plugins of a configuration and the components that are there
    #[command(after_long_help = about::PLUGINS)]
    Plugins(Plugins),
    /// Tell what a component is, what it imports, and what it would have to be granted
    #[command(after_long_help = about::INSPECT)]
    Inspect(Inspect),
    /// Write the project of a new plugin: source, contract, build command and test
    #[command(after_long_help = about::NEW)]
    New(New),
    /// Have a component decide again what was recorded, and tell which decisions differ
    #[command(after_long_help = about::REPLAY)]
    Replay(Replay),
    /// Print the effective configuration: every key with its value, secrets masked
    #[command(after_long_help = about::CONFIG)]
    Config(Effective),
    /// Print the JSON schema of the configuration, for editors, or its reference
    #[command(after_long_help = about::SCHEMA)]
    Schema {
        /// Print the reference instead: every key with its default, and what it is for
        #[arg(long)]
        reference: bool,
    },
    /// Try it without a file: three origins and a proxy in front of them
    #[command(after_long_help = about::DEMO)]
    Demo(Demo),
    /// Print the completions of a shell
    #[command(after_long_help = about::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or that of a command
    #[command(after_long_help = about::MAN)]
    Man(Man),
    /// Compile a component from standard input; what the proxy calls for itself
    #[command(hide = true)]
    Compile {
        /// CPU time that it may take, in seconds
        seconds: u64,
        /// Memory that it may take, in bytes
        memory_bytes: u64,
    },
}

/// What to print of a configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct Effective {
    /// Which configuration.
    #[command(flatten)]
    pub file: File,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

/// Which configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct File {
    /// The configuration, where - is standard input; without it, linkspan.toml is looked for:
    /// here, in the user's configuration directory, and in /etc/linkspan
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to check, and how to say what is found.
#[derive(Debug, Clone, Default, Args)]
pub struct Check {
    /// Which configuration.
    #[command(flatten)]
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
    /// Which configuration.
    #[command(flatten)]
    pub file: File,
    /// Listen on this address instead of the only listener's
    #[arg(short = 'h', long, value_name = "HOST")]
    pub host: Option<IpAddr>,
    /// Listen on this port instead of the only listener's
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Take the listening sockets of the process that serves now, at the configuration's
    /// `server.takeover`, which leaves then; without such a process, start as usual
    #[arg(long)]
    pub takeover: bool,
}

/// Whose plugins to list, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct Plugins {
    /// Which configuration.
    #[command(flatten)]
    pub file: File,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which component to tell about, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct Inspect {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which plugin to begin.
#[derive(Debug, Clone, Args)]
pub struct New {
    /// What it is called, and the folder that is made for it here
    #[arg(value_name = "NAME", value_parser = plugin_name)]
    pub name: String,
    /// What it decides
    #[arg(long, value_name = "KIND")]
    pub kind: NewKind,
    /// The language that it is written in
    #[arg(long, value_name = "LANG")]
    pub lang: Language,
}

/// What a new plugin decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewKind {
    /// Which endpoint of a cluster serves a request
    Balancer,
    /// Where a request goes
    Router,
    /// How the heads of requests and responses are edited
    Rewriter,
    /// Where a TCP connection goes; this version does not run these yet
    StreamRouter,
}

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With cargo
    Rust,
    /// With wit-bindgen and Zig's compiler
    C,
    /// With QuickJS, from npm
    Js,
    /// With componentize-py, from pip
    Python,
    /// With wit-bindgen and Go 1.27.1 or later
    Go,
}

/// What to replay, and how to say what comes of it.
#[derive(Debug, Clone, Default, Args)]
pub struct Replay {
    /// The recording: what `record` of a plugin names
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// The component that decides again
    #[arg(value_name = "FILE.wasm")]
    pub candidate: PathBuf,
    /// Configure it with this JSON object, instead of like the plugin that was recorded
    #[arg(long, value_name = "JSON")]
    pub config: Option<PathBuf>,
    /// Tell of every decision that differs, not of the first 20
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the demo listens.
#[derive(Debug, Clone, Default, Args)]
pub struct Demo {
    /// Listen on this port; without it on 8080, or one that is free
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// Which manual page, and where it goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Man {
    /// The command that it is about
    #[arg(value_parser = COMMANDS, value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// The commands that have a manual page.
const COMMANDS: [&str; 11] = [
    "run",
    "check",
    "plugins",
    "inspect",
    "new",
    "replay",
    "config",
    "schema",
    "demo",
    "completions",
    "man",
];

/// A shell that can complete command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// The Bourne-again shell
    Bash,
    /// The expressive one
    Elvish,
    /// The friendly interactive one
    Fish,
    /// Of Microsoft
    Powershell,
    /// The Z shell
    Zsh,
}

/// The longest name of a plugin.
const MAX_NAME: usize = 64;

/// A name that can be a folder's, a file's and a key's.
fn plugin_name(text: &str) -> Result<String, String> {
    let is_fit = text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if is_fit {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a lower-case letter, and then at most {} such letters, digits and hyphens",
        MAX_NAME - 1
    ))
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

    #[test]
    fn every_command_has_a_page_and_examples_that_parse() {
        let root = Arguments::command();
        let commands: Vec<_> = root.get_subcommands().filter(|c| !c.is_hide_set()).collect();
        let names: Vec<_> = commands.iter().map(|command| command.get_name()).collect();
        assert_eq!(names, COMMANDS);
        for command in commands.into_iter().chain([&root]) {
            let help = command.get_after_long_help().unwrap().to_string();
            let (_, examples) = help.split_once("Examples:\n").unwrap();
            let examples: Vec<_> = examples.lines().take_while(|line| !line.is_empty()).collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                // What follows two blanks is a comment; `|`, `>` and `2>` are the shell's.
                let line = example.trim_start().split("  ").next().unwrap();
                let words = line.split(' ').take_while(|word| !matches!(*word, "|" | ">"));
                let words = words.filter(|word| !word.starts_with("2>"));
                if let Err(error) = Arguments::try_parse_from(words) {
                    assert!(!error.use_stderr(), "{example}: {error}");
                }
            }
        }
    }
}
