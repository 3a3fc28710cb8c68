//! What `linkspan new` writes, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::PROGRAM;

const LANGUAGES: [&str; 5] = ["rust", "c", "js", "python", "go"];

/// The kinds, and the interfaces that they export besides `lifecycle`.
const KINDS: [(&str, &[&str]); 4] = [
    ("balancer", &["balancer"]),
    ("router", &["router"]),
    ("rewriter", &["request-rewriter", "response-rewriter"]),
    ("stream-router", &["stream-router"]),
];

/// What is made where a project is built.
const MADE: [&str; 5] = ["target", "build", ".tools", "__pycache__", "by-path.wasm"];

/// The exit code, and what was said on standard error.
fn new(folder: &Path, name: &str, kind: &str, language: &str) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM)
        .args(["new", name, "--kind", kind, "--lang", language])
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The files below a folder, links followed, without what building them makes.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if entry.path().is_dir() {
            let inner = files(&entry.path()).into_iter();
            found.extend(inner.map(|(path, text)| (format!("{name}/{path}"), text)));
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn the_examples_are_what_new_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for language in LANGUAGES {
        let directory = TempDir::new().unwrap();
        assert_eq!(new(directory.path(), "by-path", "balancer", language), (Some(0), "".into()));
        let written = files(&directory.path().join("by-path"));
        assert!(written.len() > 30 && written.contains_key("Makefile"), "{:?}", written.keys());
        let example = files(&root.join("examples/languages").join(language));
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&written), names(&example), "{language}");
        for (name, text) in example {
            assert_eq!(written.get(&name), Some(&text), "{language}: {name}");
        }
    }
}

#[test]
fn every_kind_is_written_for_every_language_under_its_name() {
    let directory = TempDir::new().unwrap();
    for (kind, interfaces) in KINDS {
        for language in LANGUAGES {
            let name = format!("my-{kind}-{language}");
            assert_eq!(new(directory.path(), &name, kind, language), (Some(0), "".into()));
            let written = files(&directory.path().join(&name));
            for (path, text) in &written {
                assert!(!text.contains("by-path"), "{name}: {path} names the example");
            }
            let text = |path: &str| written.get(path).unwrap();
            assert!(text("Makefile").contains(&format!("{name}.wasm:")), "{name}");
            assert!(text("test.py").contains(&name), "{name}");
            let world = text("wit/plugin.wit");
            let exports: Vec<_> = world
                .lines()
                .filter_map(|line| line.trim().strip_prefix("export linkspan:plugin/"))
                .filter_map(|line| line.strip_suffix("@0.1.0;"))
                .filter(|interface| *interface != "lifecycle")
                .collect();
            assert_eq!(exports, interfaces, "{name}");
            let contract = fs::read_dir("../wit").unwrap().count();
            let own = written.keys().filter(|path| path.starts_with("wit/deps/linkspan/")).count();
            assert_eq!(own, contract, "{name}");
        }
    }
}

#[test]
fn what_cannot_be_a_new_plugin_is_told_what_was_expected() {
    let directory = TempDir::new().unwrap();
    let long = "a".repeat(65);
    for name in ["", "By-Path", "7up", "-x", "a/b", "..", "a_b", "naïve", &long] {
        let (code, said) = new(directory.path(), name, "router", "rust");
        assert_eq!(code, Some(2), "{name}: {said}");
        let is_told = said.contains("lower-case letter") || said.contains("'-x'");
        assert!(is_told || name.is_empty(), "{name}: {said}");
    }
    let (code, said) = new(directory.path(), "a", "proxy", "rust");
    assert_eq!(code, Some(2));
    assert!(said.contains("balancer, router, rewriter, stream-router"), "{said}");
    let (code, said) = new(directory.path(), "a", "router", "perl");
    assert_eq!(code, Some(2));
    assert!(said.contains("rust, c, js, python, go"), "{said}");
    assert_eq!(files(directory.path()), BTreeMap::new());
}

#[test]
fn nothing_is_written_over_what_is_there() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("folder")).unwrap();
    fs::write(directory.path().join("file"), "mine").unwrap();
    for name in ["folder", "file"] {
        let (code, said) = new(directory.path(), name, "balancer", "c");
        assert_eq!(code, Some(1));
        assert!(said.contains(&format!("`{name}` is there already")), "{said}");
    }
    let kept = BTreeMap::from([("file".to_owned(), "mine".to_owned())]);
    assert_eq!(files(directory.path()), kept);
}
