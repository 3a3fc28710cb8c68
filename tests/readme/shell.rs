//! A shell in a clone of the project that has been built, with a home of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{program, root};
use crate::support::{OFFLINE, cache_home};

/// How long one command may take: a plugin is compiled.
const COMMAND: Duration = Duration::from_mins(10);

/// What `cargo` is in this shell: where the Makefile would compile the program, or run all tests, it takes the program that is there, or only says so.
const CARGO: &str = r#"#!/bin/sh
case "$1 $2 $3 $4" in
  "run --profile quick --locked") shift 5; exec "$PROGRAM" "$@" ;;
  "test "*|"check "*) echo "would run: $*" ;;
  *) exec "$REAL_CARGO" "$@" ;;
esac
"#;

/// A running bash. Dropped, it ends with all that it started.
pub(super) struct Shell {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
    directory: TempDir,
}

impl Shell {
    /// Starts in the clone.
    pub(super) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let (clone, bin) = (directory.path().join("linkspan"), directory.path().join("bin"));
        fs::create_dir_all(clone.join("target/quick")).unwrap();
        fs::create_dir_all(&bin).unwrap();
        symlink(program(), clone.join("target/quick/linkspan")).unwrap();
        for entry in ["Makefile", "wit", "tools", "examples"] {
            symlink(root().join(entry), clone.join(entry)).unwrap();
        }
        let cargo = bin.join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .current_dir(clone)
            .env("HOME", directory.path())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("PROGRAM", program())
            .env("REAL_CARGO", env!("CARGO"))
            .env("XDG_CACHE_HOME", cache_home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        // They stand below the home that this shell does not have.
        let home = std::env::var("HOME").unwrap_or_default();
        for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(variable).is_none() {
                command.env(variable, Path::new(&home).join(folder));
            }
        }
        // What cargo tells its tests is not meant for the cargo that they start.
        for (variable, _) in std::env::vars() {
            if variable.starts_with("CARGO") && variable != "CARGO_HOME" {
                command.env_remove(variable);
            }
        }
        command.envs(OFFLINE);
        let mut process = command.spawn().unwrap();
        let (mut input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        // Jobs are numbered and have groups of their own, as where a person types.
        input.write_all(b"set -m\n").unwrap();
        Self { process, input, output: lines(output), directory }
    }

    /// Writes a file below the home.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a command, which has to succeed; gives what it prints.
    #[track_caller]
    pub(super) fn run(&mut self, command: &str) -> String {
        let end = "== that was it, with ";
        let text = format!("{{ {command}\n}} < /dev/null 2>&1\necho \"{end}$?\"\n");
        self.input.write_all(text.as_bytes()).unwrap();
        let mut printed = String::new();
        loop {
            let line = self.output.recv_timeout(COMMAND);
            let line = line.unwrap_or_else(|_| panic!("$ {command}\nhangs after\n{printed}"));
            // A last line may lack its end.
            if let Some((before, code)) = line.split_once(end) {
                printed.push_str(before);
                assert_eq!(code, "0", "$ {command}\nfails, printing\n{printed}");
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its jobs are process groups of their own, which do not end with it.
        let _ = self.input.write_all(b"kill $(jobs -p) 2> /dev/null; exit\n");
        let _ = self.process.wait();
    }
}

/// Reads lines as they come.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
