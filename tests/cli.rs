//! The command line: what it teaches, what scripts get, and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Binary, plugin};

const CONFIG: &str = "[server]\nplugin-dir = 'plugins.d'\n\
    [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['by-path']\n\
    [clusters.app]\nendpoints = []\nbalancer = 'locking-round-robin'\n\
    [plugins.by-path]\ncomponent = 'regex-match'\nconfig = { rules = [] }\n\
    grants = { addresses = ['10.0.0.0/8:*', '[fd00::/8]:*', 'a.test:1'] }\n";

/// What a command says and how it ends.
fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(Binary::run(arguments))
}

fn finish(mut binary: Binary) -> (i32, String, String) {
    let status = binary.wait();
    (status.code().unwrap(), binary.stdout(), binary.stderr())
}

fn put(guests: &'static [&'static str]) -> impl Fn(&Path) {
    move |directory| {
        for guest in guests {
            fs::write(directory.join(format!("{guest}.wasm")), plugin(guest)).unwrap();
        }
    }
}

#[test]
fn help_is_there_for_everything_and_wrong_usage_is_told_apart() {
    for arguments in [&["--help"][..], &["help"], &["help", "run"], &["run", "--help"]] {
        let (code, told, said) = run(arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        assert!(told.contains("Examples:") || arguments == ["help"], "{told}");
        assert!(!told.contains('\u{1b}'), "coloured in a pipe: {told}");
    }
    for (arguments, hint) in [
        (&["chekc"][..], "'check'"),
        (&["run", "--prot", "1"], "'--port'"),
        (&["man", "rum"], "'run'"),
        (&["check", "-h"], "help is --help"),
    ] {
        let (code, told, said) = run(arguments);
        assert_eq!((code, told.as_str()), (2, ""), "{arguments:?}");
        assert!(said.contains(hint), "{said}");
    }
}

#[test]
fn manual_pages_are_printed_and_written() {
    let (code, page, _) = run(&["man"]);
    assert_eq!(code, 0);
    for heading in
        [".SH EXAMPLES", ".SH FILES", ".SH ENVIRONMENT", ".SH \"EXIT STATUS\"", ".SH OPTIONS"]
    {
        let plain = heading.replace('"', "");
        assert!(page.contains(heading) || page.contains(&plain), "no {heading}: {page}");
    }
    let directory = tempfile::tempdir().unwrap();
    let (code, written, _) = run(&["man", "--dir", directory.path().to_str().unwrap()]);
    assert_eq!((code, written.lines().count()), (0, 12), "{written}");
    for path in written.lines() {
        let page = fs::read_to_string(path).unwrap();
        assert!(page.contains(".SH EXAMPLES"), "{path}");
        // Every page that is referred to is there.
        for word in page.split_whitespace().filter(|word| word.ends_with("(1)")) {
            let name = word.trim_end_matches("(1)").replace("\\-", "-");
            assert!(directory.path().join(format!("{name}.1")).is_file(), "{path} names {name}");
        }
    }
    assert_eq!(
        run(&["man", "run"]).1.trim(),
        fs::read_to_string(directory.path().join("linkspan-run.1")).unwrap().trim()
    );
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        assert!(script.contains("inspect") && script.contains("linkspan"), "{shell}");
    }
    let script = run(&["completions", "bash"]).1;
    let mut child = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(run(&["completions", "tcsh"]).0, 2);
}

#[test]
fn plugins_as_json() {
    let list = Binary::prepared(CONFIG, &[], &["plugins", "--json"], put(&["waits", "no-kind"]));
    let (code, told, said) = finish(list);
    assert_eq!((code, said.as_str()), (1, ""), "one of them is refused");
    let list: Vec<Value> = serde_json::from_str(&told).unwrap();
    let keys = [
        "name",
        "component",
        "kinds",
        "version",
        "source",
        "path",
        "size_bytes",
        "digest",
        "imports",
        "used_by",
        "grants",
        "needs",
        "serving",
        "error",
    ];
    for entry in &list {
        let mut own: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = keys.to_vec();
        own.sort_unstable();
        expected.sort_unstable();
        assert_eq!(own, expected);
    }
    let by = |key: &str, value: &str| list.iter().find(|entry| entry[key] == value).unwrap();
    let by_path = by("name", "by-path");
    assert_eq!(by_path["component"], "regex-match");
    assert_eq!(by_path["used_by"][0], "listeners.web.routers");
    let granted = ["10.0.0.0/8:*", "[fd00::/8]:*", "a.test:1"];
    assert_eq!(by_path["grants"]["addresses"], Value::from(granted.to_vec()));
    assert_eq!((&by_path["source"], &by_path["path"]), (&"built-in".into(), &Value::Null));
    let turns = by("name", "locking-round-robin");
    assert_eq!(
        (&turns["component"], &turns["kinds"][0]),
        (&"round-robin".into(), &"balancer".into())
    );
    let waits = by("component", "waits");
    assert_eq!((&waits["name"], &waits["version"]), (&Value::Null, &Value::Null));
    assert_eq!((&waits["needs"][0], &waits["source"]), (&"stores".into(), &"file".into()));
    assert!(waits["path"].as_str().unwrap().ends_with("/plugins.d/waits.wasm"));
    let wrong = by("component", "no-kind");
    assert!(wrong["error"].as_str().unwrap().contains("no known kind"), "{wrong}");
    assert_eq!(wrong["kinds"], Value::Null);
}

#[test]
fn plugins_in_a_pipe_are_lines_with_tabs() {
    let list = Binary::prepared(CONFIG, &[], &["plugins"], put(&["waits", "no-kind"]));
    let (code, told, said) = finish(list);
    assert_eq!(code, 1);
    assert!(said.contains("no-kind") && !told.contains('\u{1b}'), "{said}");
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split('\t').collect()).collect();
    let headings = ["NAME", "COMPONENT", "KIND", "VERSION", "SOURCE", "SIZE", "IMPORTS"];
    assert_eq!(rows[0], headings);
    assert!(rows.iter().all(|row| row.len() == headings.len()), "{told}");
    let row = |component: &str| rows.iter().find(|row| row[1] == component).unwrap();
    assert_eq!(row("waits")[0], "-");
    assert_eq!(row("waits")[3..5], ["unused", "plugins.d/waits.wasm"]);
    assert_eq!(row("no-kind")[3], "refused");
    assert_eq!(row("regex-match")[0], "by-path");
}

#[test]
fn inspecting_as_json_and_in_words() {
    let inspect = |arguments: &[&str]| {
        finish(Binary::prepared(
            "",
            &[],
            arguments,
            put(&["waits", "no-kind", "uses-hashmap", "bodies"]),
        ))
    };
    let (code, told, _) = inspect(&["inspect", "--json", "plugins.d/waits.wasm"]);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &report["waits"], &report["needs"][0]), (0, &true.into(), &"stores".into()));
    assert_eq!(report["contract"], "linkspan:plugin@0.1.0");
    assert_eq!(report["digest"].as_str().unwrap().len(), 64);
    assert!(report["compile_ms"].is_u64() && report["names"].is_boolean(), "{report}");
    assert_eq!(report["size_bytes"], plugin("waits").len());
    assert_eq!(report["error"], Value::Null);
    let (code, told, said) = inspect(&["inspect", "--json", "plugins.d/no-kind.wasm"]);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &report["kinds"]), (1, &Value::Null));
    assert!(report["error"].as_str().unwrap().contains("no known kind"), "{report}");
    assert!(said.contains("no-kind.wasm"), "{said}");
    let (code, told, _) = inspect(&["inspect", "plugins.d/uses-hashmap.wasm"]);
    assert_eq!(code, 0);
    for text in ["synchronous: ", "the worker's own thread", "to grant  nothing", "names"] {
        assert!(told.contains(text), "no {text}: {told}");
    }
    let (code, told, _) = inspect(&["inspect", "plugins.d/bodies.wasm"]);
    assert!(code == 0 && told.contains("bodies    transformed"), "{told}");
    let (_, told, _) = inspect(&["inspect", "--json", "plugins.d/bodies.wasm"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["transforms"], &told["uncalled"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(inspect(&["inspect", "nowhere.wasm"]).0, 1);
    assert_eq!(inspect(&["inspect"]).0, 2);
}
