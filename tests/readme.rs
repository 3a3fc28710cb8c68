//! The README: what it has its reader type is typed here, in its order, and what it shows is what
//! has to come.
//!
//! A block of the language `console` has commands behind `$ ` and what they print below them, where
//! `...` stands for anything. A block in another language that a file's name in backquotes leads up
//! to is that file. Ports are replaced by free ones, and `make` finds a `cargo` that runs the program
//! of this test run where it would compile one.

mod examples;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use shell::Shell;

use crate::support::{Binary, Signal, eventually, ports_of_the_demo};

/// The ports that READMEs use, in one test at a time.
const PORTS: [&str; 6] = ["8080", "9001", "9002", "9003", "9004", "11211"];

/// What stands for each of them.
type Ports = BTreeMap<&'static str, String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A piece of the README that something is done with.
#[derive(Debug)]
enum Piece {
    /// A file, below the reader's home, and its text.
    File(String, String),
    /// A command and what it prints, if that is shown.
    Command(String, Vec<String>),
}

/// What stands in the section of a title of the README in a folder, in order.
fn pieces(folder: &str, title: &str) -> Vec<Piece> {
    let readme = fs::read_to_string(root().join(folder).join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with(title)).unwrap();
    let mut pieces = Vec::new();
    let mut lines = section.lines();
    let mut file = None;
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            let named = line.split('`').skip(1).step_by(2).find_map(|word| word.strip_prefix("~/"));
            file = named.map(str::to_owned).or(file);
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (language, file.take()) {
            ("console", _) => commands(&block, &mut pieces),
            (_, Some(file)) => pieces.push(Piece::File(file, block.join("\n") + "\n")),
            (other, None) => panic!("what is this {other} block for? {block:?}"),
        }
    }
    pieces
}

fn commands(block: &[&str], pieces: &mut Vec<Piece>) {
    for line in block {
        match (line.strip_prefix("$ "), pieces.last_mut()) {
            (Some(command), _) => pieces.push(Piece::Command(command.to_owned(), Vec::new())),
            (None, Some(Piece::Command(_, shown))) => shown.push((*line).to_owned()),
            (None, _) => panic!("output without a command: {line}"),
        }
    }
}

/// Each of these ports with one that is free.
fn free_ports() -> Ports {
    let mut sockets = Vec::new();
    let mut free = || loop {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        sockets.push(socket);
        // Such as 49001 would be taken for one that is still to be replaced.
        if !PORTS.iter().any(|name| port.contains(name)) {
            return port;
        }
    };
    PORTS.map(|name| (name, free())).into()
}

fn with(ports: &Ports, text: &str) -> String {
    ports.iter().fold(text.to_owned(), |text, (port, free)| text.replace(port, free))
}

#[test]
fn the_five_minutes_end_as_the_readme_says() {
    let pieces = pieces("", "Five minutes");
    let commands = pieces.iter().filter(|piece| matches!(piece, Piece::Command(..))).count();
    assert!(commands > 15 && pieces.len() - commands == 1, "{pieces:#?}");
    walk(&mut Shell::start(), &pieces, &free_ports());
}

/// Writes the files and types the commands, which have to print what is shown.
#[track_caller]
fn walk(shell: &mut Shell, pieces: &[Piece], ports: &Ports) {
    for piece in pieces {
        match piece {
            Piece::File(name, text) => shell.write(name, &with(ports, text)),
            Piece::Command(command, shown) => {
                let printed = shell.run(&with(ports, command));
                let shown: Vec<_> = shown.iter().map(|line| with(ports, line)).collect();
                if !shown.is_empty() && !fits(&shown, &printed.lines().collect::<Vec<_>>()) {
                    panic!("$ {command}\nprints\n{printed}\nand not\n{}", shown.join("\n"));
                }
            }
        }
    }
}

/// The two commands, with the program and the tests that are there instead of compiling.
#[test]
fn the_two_commands_do_what_the_readme_says() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["    make run ", "    make test "] {
        assert!(readme.contains(command), "the README does not name{command}");
    }
    let _ports = ports_of_the_demo();
    let mut shell = Shell::start();
    let said = shell.run("make test");
    assert!(said.contains("would run: test --workspace --locked"), "{said}");
    shell.run("make run > run.log 2>&1 &");
    shell.run("until grep -q 'listening on' run.log; do sleep 0.1; done");
    let address = "sed -n 's/^listening on \\([^ ]*\\).*/\\1/p' run.log | head -n 1";
    let answer = shell.run(&format!("curl -si $({address})"));
    assert!(answer.contains("200 OK") && answer.contains("x-proxy: linkspan"), "{answer}");
    shell.run("kill %1");
}

#[test]
fn every_reason_of_an_error_is_told() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let told = readme.split("`linkspan_errors_total`").nth(1).unwrap();
    let told = told.split("\n\n").next().unwrap();
    for reason in linkspan::relay::error::LABELS {
        assert!(told.contains(&format!("`{reason}`")), "{reason}");
    }
}

/// The first line of a recording, and nothing more.
const NOTHING_RECORDED: &str = concat!(
    r#"{"linkspan-recording":1,"plugin":"p","component":"c","digest":"","version":"","kinds":[],"#,
    r#""config":{},"limits":{"memory-bytes":67108864,"deadline-ms":10,"table-elements":20000,"#,
    r#""handles":1024,"host-call-bytes":2097152},"shared":false,"addresses":false,"clusters":[],"#,
    r#""headers":[],"share":10000,"salt":""}"#,
    "\n"
);

/// Each line of the synopsis, with all that is optional and without.
#[test]
fn every_form_of_the_command_line_is_taken() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|part| part.starts_with("Command line")).unwrap();
    let lines: Vec<_> = section.lines().filter(|line| line.starts_with("    linkspan")).collect();
    assert!(lines.len() > 8, "{lines:#?}");
    let toml = "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
                [clusters.main]\nendpoints = ['127.0.0.1:9']\n\
                [server]\ntakeover = 'takeover.sock'\n";
    for form in lines.into_iter().flat_map(forms) {
        let words: Vec<_> = form.split_whitespace().skip(1).map(filled).collect();
        let _ports = words.contains(&"demo").then(ports_of_the_demo);
        let mut linkspan = Binary::prepared(toml, &["counts"], &words, |directory| {
            fs::write(directory.join("recording"), NOTHING_RECORDED).unwrap();
            fs::write(directory.join("config.json"), "{}").unwrap();
        });
        if words.is_empty() || ["run", "demo"].contains(&words[0]) {
            eventually("what serves to listen", || {
                assert!(linkspan.is_running(), "{form}: {}", linkspan.stderr());
                linkspan.stdout().contains("listening on").then_some(())
            });
            linkspan.signal(Signal::TERM);
        }
        assert_eq!(linkspan.wait().code(), Some(0), "{form}: {}", linkspan.stderr());
    }
}

/// Each command within a sentence, where the sentences say that there is a configuration.
#[test]
fn the_commands_in_sentences_work() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let fences = readme.split("```").step_by(2);
    let spans = fences.flat_map(|text| text.split('`').skip(1).step_by(2));
    let commands: BTreeSet<_> = spans.filter(|span| span.starts_with("linkspan ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let mut shell = Shell::start();
    shell.run("export PATH=$PWD/target/quick:$PATH; mkdir ~/here && cd ~/here");
    shell.write("here/linkspan.toml", "[listeners.web]\nbind = '127.0.0.1:0'\n");
    for command in commands {
        shell.run(&format!("{command} < linkspan.toml"));
    }
    assert!(shell.run("cat linkspan.schema.json").contains("json-schema.org"));
}

/// What a line of the synopsis stands for: brackets around what can be left out, and bars between
/// alternatives in them.
fn forms(line: &str) -> Vec<String> {
    let synopsis = line.trim().split("  ").next().unwrap();
    let parts: Vec<_> = synopsis.split(['[', ']']).collect();
    let most = parts.iter().map(|part| part.split(" | ").count()).max().unwrap();
    let form = |choice: Option<usize>| {
        let part = |(place, part): (usize, &&str)| {
            let alternatives: Vec<_> = part.split(" | ").collect();
            // Every other part stands in brackets.
            match (place % 2, choice) {
                (0, _) => (*part).to_owned(),
                (_, Some(choice)) => {
                    let alternative = alternatives.get(choice).or_else(|| alternatives.last());
                    (*alternative.unwrap()).to_owned()
                }
                (_, None) => String::new(),
            }
        };
        parts.iter().enumerate().map(part).collect::<String>()
    };
    std::iter::once(None).chain((0..most).map(Some)).map(form).collect()
}

fn filled(word: &str) -> &str {
    match word {
        "FILE" => "linkspan.toml",
        "RECORDING" => "plugins.d/recording",
        "JSON" => "plugins.d/config.json",
        "FILE.wasm" => "plugins.d/counts.wasm",
        "HOST" => "127.0.0.1",
        "PORT" => "0",
        "SHELL" => "bash",
        "COMMAND" => "run",
        "NAME" => "by-path",
        "KIND" => "balancer",
        "LANG" => "rust",
        "DIR" => ".",
        word => word,
    }
}

/// Whether lines are as shown, where `...` is any number of lines, or anything within a line.
fn fits(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((shown, rest)), _) if shown == "..." => (0..=printed.len())
            .any(|skipped| fits(rest, printed.get(skipped..).unwrap_or_default())),
        (Some((shown, shown_rest)), Some((line, rest))) => {
            fits_line(shown, line.trim_end()) && fits(shown_rest, rest)
        }
        _ => false,
    }
}

fn fits_line(shown: &str, line: &str) -> bool {
    let parts: Vec<_> = shown.trim_end().split("...").collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown.trim_end() == line };
    let inner = line.strip_prefix(first).and_then(|line| line.strip_suffix(last));
    let Some(mut inner) = inner else { return false };
    middle.iter().all(|part| match inner.split_once(part) {
        Some((_, rest)) => {
            inner = rest;
            true
        }
        None => false,
    })
}

#[test]
fn three_dots_stand_for_anything_and_nothing_else_does() {
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(fits(&shown(&["a", "...", "b"]), &["a", "x", "y", "b"]));
    assert!(fits(&shown(&["...", "b"]), &["b"]));
    assert!(fits(&shown(&["a...c"]), &["a b c"]));
    assert!(!fits(&shown(&["a", "b"]), &["a", "x", "b"]));
    assert!(!fits(&shown(&["a...c"]), &["a b"]));
    assert!(!fits(&shown(&["a"]), &["a", "b"]));
}

/// Where the program of this test run is.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_linkspan"))
}
