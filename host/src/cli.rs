//! The command line: what can be asked for, and the help that teaches it.
//!
//! Uses only the standard library and clap, because `build.rs` includes this file to make the manual
//! pages and the shell completions of it. What stands below `Examples:` in a help text works as it
//! stands: a test parses each line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ABOUT_ALL: &str = "\
Examples:
  linkspan demo                   try it: three origins and a proxy, no file needed
  linkspan                        serve the configuration that is found (see Files)
  linkspan -c linkspan.toml       serve this one
  linkspan check                  find out whether it could be served
  linkspan help run               more about a command

Files:
  linkspan.toml                   the configuration; looked for here, then in
                                  $XDG_CONFIG_HOME/linkspan (~/.config/linkspan), then in
                                  /etc/linkspan
  $XDG_CACHE_HOME/linkspan        compiled components (~/.cache/linkspan)

Environment:
  NO_COLOR                        if set and not empty, nothing is coloured
  XDG_CONFIG_HOME                 where the configuration is, as above
  XDG_CACHE_HOME                  where compiled components are
  any other                       what the configuration names: ${VAR} or ${VAR:-default}

Exit codes:
  0  all is well
  1  something was refused, or failed
  2  the command line is wrong";

const ABOUT_RUN: &str = "\
Each listener prints one line with its address when it listens, so that port 0 works.

Examples:
  linkspan run                            the configuration that is found
  linkspan run -c linkspan.toml           this one
  linkspan -c linkspan.toml -p 8081       on another port; `run` need not be said
  linkspan run -h 0.0.0.0 -p 80           on all addresses

Signals:
  HUP        load the configuration and its plugins again; a faulty one changes nothing
  USR1       open the log files again
  TERM, INT  accept no more, wait for open requests as long as `shutdown-grace` says, and leave;
             a second one does not wait
  QUIT       the same, but wait without limit

Exit codes:
  0  it was told to leave, and all requests came to their end
  1  it could not start, or cut off connections when it left
  2  the command line is wrong";

const ABOUT_CHECK: &str = "\
Reads the configuration, compiles and loads each plugin, and has it take its `config`. Listens
nowhere, and connects to nobody; names of endpoints are looked up.

Examples:
  linkspan check
  linkspan check -c linkspan.toml
  linkspan check --deny-warnings
  linkspan check --json

Keys of --json, one object:
  file         as it was given
  errors       how many faults keep it from being served
  warnings     how many do not
  faults       a list of objects, in the order of their places; empty if nothing is wrong
Keys of a fault, where what is not known is null:
  severity     error or warning
  line, column, end_line, end_column
               from 1, columns in characters; the end is the first one after it
  start_byte, end_byte
               the same in bytes, from 0
  key          such as clusters.files.balancer
  text         what stands there
  message      what is wrong
  expected     what was expected
  help         what may have been meant
  note         more about it

Exit codes:
  0  it could be served; there may be warnings, on standard error
  1  it could not, or there are warnings and --deny-warnings; each is on standard error
  2  the command line is wrong";

const ABOUT_PLUGINS: &str = "\
Then come the components that are there and that nothing uses. On a terminal as a table, else as
lines whose columns are separated by a tab, after one with their names.

Examples:
  linkspan plugins
  linkspan plugins -c linkspan.toml
  linkspan plugins --json

Keys of --json, a list of objects:
  name         of the plugin; null for a component that no plugin uses
  component    the component's name
  kinds        router, balancer, rewriter, stream-router
  version      of component and configuration; null where there is no plugin
  source       built-in or file
  path         of the file; null if built-in
  size_bytes   of the component
  imports      the interfaces that it imports
  used_by      where the configuration names it, such as listeners.web.routers
  grants       what it is granted: stores, addresses
  needs        which grants it cannot do without
  error        why it is refused; null if it is not. What is not known then is null

Exit codes:
  0  every plugin and component is fit for use
  1  one is not, or the configuration cannot be read
  2  the command line is wrong";

const ABOUT_INSPECT: &str = "\
The component is compiled, as it would be before its first use, and not run.

Examples:
  linkspan inspect plugins.d/by-path.wasm
  linkspan inspect --json plugins.d/by-path.wasm

Keys of --json, one object:
  path         as it was given
  kinds        router, balancer, rewriter, stream-router
  contract     the contract that it was made for
  digest       SHA-256 of the file
  size_bytes   of the file
  compile_ms   how long compiling took
  waits        whether its calls may wait for a store
  names        whether it carries the names of its functions, for the report of a trap
  imports      the interfaces that it imports
  uncalled     what it exports and this version does not call
  needs        which grants it cannot do without
  error        why it is refused; null if it is not. What is not known then is null

Exit codes:
  0  it can be used
  1  it cannot
  2  the command line is wrong";

const ABOUT_CONFIG: &str = "\
What is printed can be read again, and comes to the same then; secrets are masked. What has no value
stands behind #, with what that means.

Examples:
  linkspan config
  linkspan config -c linkspan.toml
  linkspan config --json
  linkspan config | linkspan check -c -

Exit codes:
  0  it was printed
  1  the configuration has faults; each is on standard error
  2  the command line is wrong";

const ABOUT_SCHEMA: &str = "\
Tombi and Taplo complete and check a file that begins with `#:schema ./linkspan.schema.json`.

Examples:
  linkspan schema > linkspan.schema.json
  linkspan schema --reference";

const ABOUT_DEMO: &str = "\
Prints commands to try in another terminal. Everything listens on 127.0.0.1 and ends with ^C.
What it serves is examples/demo/linkspan.toml of the source.

Examples:
  linkspan demo
  linkspan demo --port 8081
  linkspan demo 2>/dev/null               without the log

Exit codes:
  0  it was told to leave
  1  it could not start, such as that the port given is taken";

const ABOUT_COMPLETIONS: &str = "\
Examples:
  linkspan completions bash > ~/.local/share/bash-completion/completions/linkspan
  linkspan completions zsh > ~/.zfunc/_linkspan
  linkspan completions fish > ~/.config/fish/completions/linkspan.fish";

const ABOUT_MAN: &str = "\
Examples:
  linkspan man | man -l -
  linkspan man run | man -l -
  linkspan man --dir ~/.local/share/man/man1";

/// A reverse proxy whose every decision is a WebAssembly component
#[derive(Debug, Parser)]
#[command(
    name = "linkspan",
    version,
    styles = STYLES,
    disable_help_flag = true,
    args_conflicts_with_subcommands = true,
    after_long_help = ABOUT_ALL
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
    #[command(after_long_help = ABOUT_RUN)]
    Run(Run),
    /// Check everything but serving: the file, and that every plugin loads and is configured
    #[command(after_long_help = ABOUT_CHECK)]
    Check(Check),
    /// List the plugins of a configuration and the components that are there
    #[command(after_long_help = ABOUT_PLUGINS)]
    Plugins(Plugins),
    /// Tell what a component is, what it imports, and what it would have to be granted
    #[command(after_long_help = ABOUT_INSPECT)]
    Inspect(Inspect),
    /// Print the effective configuration: every key with its value, secrets masked
    #[command(after_long_help = ABOUT_CONFIG)]
    Config(Effective),
    /// Print the JSON schema of the configuration, for editors, or its reference
    #[command(after_long_help = ABOUT_SCHEMA)]
    Schema {
        /// Print the reference instead: every key with its default, and what it is for
        #[arg(long)]
        reference: bool,
    },
    /// Try it without a file: three origins and a proxy in front of them
    #[command(after_long_help = ABOUT_DEMO)]
    Demo(Demo),
    /// Print the completions of a shell
    #[command(after_long_help = ABOUT_COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or that of a command
    #[command(after_long_help = ABOUT_MAN)]
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
const COMMANDS: [&str; 9] =
    ["run", "check", "plugins", "inspect", "config", "schema", "demo", "completions", "man"];

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
