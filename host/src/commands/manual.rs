//! What the program carries for the user's shell and pager: made from the command line when the
//! program is built.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::cli::{Man, Shell};
use crate::commands::{fail, say};

/// The manual pages by name, as `linkspan-run`.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The completions by shell.
const COMPLETIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/completions.rs"));

/// Prints a manual page, or writes all of them into a directory.
#[must_use]
pub fn man(wanted: &Man) -> ExitCode {
    if let Some(directory) = &wanted.dir {
        return write(directory);
    }
    let name = match &wanted.command {
        Some(command) => format!("linkspan-{command}"),
        None => "linkspan".to_owned(),
    };
    print(PAGES, &name)
}

/// Prints the completions of a shell.
#[must_use]
pub fn completions(shell: Shell) -> ExitCode {
    let name = shell.to_possible_value();
    print(COMPLETIONS, name.as_ref().map_or("", |name| name.get_name()))
}

fn print(texts: &[(&str, &str)], name: &str) -> ExitCode {
    match texts.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => {
            say(&text.trim_end());
            ExitCode::SUCCESS
        }
        None => fail(&format_args!("there is nothing about {name}")),
    }
}

fn write(directory: &Path) -> ExitCode {
    if let Err(error) = fs::create_dir_all(directory) {
        return fail(&format_args!("{}: {error}", directory.display()));
    }
    for (name, text) in PAGES {
        let path = directory.join(format!("{name}.1"));
        if let Err(error) = fs::write(&path, text) {
            return fail(&format_args!("{}: {error}", path.display()));
        }
        say(&path.display());
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_and_every_command_is_there() {
        for shell in Shell::value_variants() {
            let name = shell.to_possible_value().unwrap();
            let script = COMPLETIONS.iter().find(|(known, _)| *known == name.get_name());
            assert!(script.is_some_and(|(_, script)| script.contains("plugins")), "{shell:?}");
        }
        let names: Vec<_> = PAGES.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"linkspan") && names.contains(&"linkspan-run"), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("compile")), "{names:?}");
        for (name, page) in PAGES {
            assert!(page.contains(".SH EXAMPLES"), "{name}");
        }
    }
}
