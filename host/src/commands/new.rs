//! Writing the project of a new plugin, from files that the program carries.
//!
//! `examples/languages` holds one project for each language, a balancer called `by-path`, as this
//! writes it; for other kinds, some files are replaced by those of `host/templates`. Nothing that is
//! there is written over.

mod files;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Language, New, NewKind};
use crate::commands::{fail, say};

/// What the projects that the program carries are called.
const EXAMPLE: &str = "by-path";

/// Writes the project of a plugin into a folder of its name.
#[must_use]
pub fn new(wanted: &New) -> ExitCode {
    let folder = Path::new(&wanted.name);
    // Fails if it is there, whatever it is.
    if let Err(error) = fs::create_dir(folder) {
        return match error.kind() {
            io::ErrorKind::AlreadyExists => fail(&format_args!(
                "`{}` is there already, and stays as it is: expected a name that is free here",
                wanted.name
            )),
            _ => fail(&format_args!("cannot make the folder `{}`: {error}", wanted.name)),
        };
    }
    for (name, text) in files::project(wanted.kind, wanted.lang) {
        let path = folder.join(name);
        if let Err(error) = write(&path, &text.replace(EXAMPLE, &wanted.name)) {
            // Half a project is of no use, and the folder is ours.
            let _ = fs::remove_dir_all(folder);
            return fail(&format_args!("cannot write {}: {error}", path.display()));
        }
    }
    say(&instructions(wanted));
    ExitCode::SUCCESS
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

/// What to do next.
fn instructions(wanted: &New) -> String {
    let name = &wanted.name;
    let (what, place) = match wanted.kind {
        NewKind::Balancer => ("a balancer", "as the `balancer` of a cluster"),
        NewKind::Router => ("a router", "among the `routers` of a listener"),
        NewKind::Rewriter => ("a rewriter", "among the `rewriters` of a listener or cluster"),
        NewKind::StreamRouter => {
            ("a stream router", "as the `stream-router` of a listener with `protocol = \"tcp\"`")
        }
    };
    let language = match wanted.lang {
        Language::Rust => "Rust",
        Language::C => "C",
        Language::Js => "JavaScript",
        Language::Python => "Python",
        Language::Go => "Go",
    };
    let source = files::source(wanted.kind, wanted.lang).iter().map(|(path, _)| *path);
    let source = source.collect::<Vec<_>>().join(", ");
    format!(
        "{name}/ is {what} in {language}; what it decides is in {source}\n\
         make -C {name}         builds {name}/{name}.wasm; {name}/Makefile says what that needs\n\
         make -C {name} test    tries it with the linkspan on the PATH\n\
         It goes into the `plugin-dir`, and `{name}` {place}."
    )
}
