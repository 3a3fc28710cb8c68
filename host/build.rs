//! Makes the manual pages and the shell completions of the command line, and lists the contract, for
//! the program to carry.

#[path = "src/cli.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a module of the program")]
mod cli;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/cli.rs");
    println!("cargo::rerun-if-changed=src/cli/about.rs");
    let out = env::var_os("OUT_DIR").map(PathBuf::from);
    let out = out.ok_or_else(|| io::Error::other("run by something else than cargo"))?;
    fs::write(out.join("pages.rs"), list(&pages(&out)?))?;
    fs::write(out.join("completions.rs"), list(&completions(&out)?))?;
    fs::write(out.join("contract.rs"), list(&contract()?))
}

/// The files of the contract, each by its place in the project of a plugin.
fn contract() -> io::Result<Vec<(String, PathBuf)>> {
    let folder = fs::canonicalize("../wit")?;
    println!("cargo::rerun-if-changed=../wit");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Such as what an editor keeps beside a file is no part of it.
        if let (Some("wit"), Some(name)) = (
            path.extension().and_then(|extension| extension.to_str()),
            path.file_name().and_then(|name| name.to_str()),
        ) {
            files.push((format!("wit/deps/linkspan/{name}"), path));
        }
    }
    files.sort();
    Ok(files)
}

/// Rust that lists names and files as `(name, text)`.
fn list(files: &[(String, PathBuf)]) -> String {
    let file = |(name, path): &(String, PathBuf)| format!("({name:?}, include_str!({path:?})),\n");
    format!("&[\n{}]\n", files.iter().map(file).collect::<String>())
}

/// One page for the program, and one for each of its commands.
fn pages(out: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut root = cli::Arguments::command().disable_help_subcommand(true);
    root.build();
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
    let commands: Vec<Command> = commands.cloned().collect();
    let mut files = Vec::new();
    for command in [root].into_iter().chain(commands) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let path = out.join(format!("{name}.1"));
        fs::write(&path, page(command)?)?;
        files.push((name, path));
    }
    Ok(files)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let more = command.get_after_long_help().map(|text| text.to_string()).unwrap_or_default();
    let has_commands = command.get_subcommands().next().is_some();
    let source = concat!("linkspan ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.after_long_help("")).manual("Linkspan").source(source);
    let (mut description, mut sections) = (String::new(), String::new());
    for paragraph in more.split("\n\n") {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        // Below `Heading:` stand lines that stay as they are.
        let _ = match first.strip_suffix(':') {
            Some(heading) => {
                let heading = heading.replace("Exit codes", "Exit status").to_uppercase();
                writeln!(sections, ".SH {}\n.nf\n{}\n.fi", roff(&heading), roff(rest))
            }
            None => writeln!(description, ".PP\n{}", roff(paragraph)),
        };
    }
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    page.extend(description.into_bytes());
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(sections.into_bytes());
    Ok(page)
}

/// Text that roff takes for nothing else.
fn roff(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A script for each shell.
fn completions(out: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for shell in Shell::value_variants() {
        let path = out.join(format!("linkspan.{shell}"));
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut cli::Arguments::command(), "linkspan", &mut script);
        fs::write(&path, script)?;
        files.push((shell.to_string(), path));
    }
    Ok(files)
}
