//! What `linkspan new` writes of each kind in each language: its own command builds it, nothing is
//! granted to it, and its own test has a Linkspan use it. Stream routers are used by a listener here, too, and
//! balancers are tried at more length elsewhere.

#![expect(clippy::print_stdout, reason = "it is run to learn how long each takes, too")]

use std::fs;
use std::process::Command;
use std::sync::PoisonError;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ONE_AT_A_TIME, PROGRAM, Project, is_excluded, listed};
use crate::support::{Binary, Origin, cache_home};

/// The kinds besides balancers, and the keys of a listener that uses each.
const KINDS: [(&str, &str); 3] = [
    ("router", "routers = ['by-path']"),
    ("rewriter", "rewriters = ['by-path']"),
    ("stream-router", "protocol = 'tcp'\nstream-router = 'by-path'"),
];

/// What `linkspan inspect` says of a component.
fn inspected(project: &Project) -> Value {
    let output = Command::new(PROGRAM)
        .args(["inspect", "--json", "by-path.wasm"])
        .current_dir(project.folder())
        .env("XDG_CACHE_HOME", cache_home())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Has a TCP listener ask a stream router, which sends what begins as SSH does elsewhere.
#[track_caller]
fn is_asked_about_streams(project: &Project) {
    let origins = ["main", "ssh"].map(|name| {
        Origin::scripted(move |peer| {
            let said = peer.some();
            peer.send([name.as_bytes(), b":", &said].concat());
        })
    });
    let [main, ssh] = origins.each_ref().map(Origin::address);
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\ncompile-timeout = '10m'\nworkers = 1\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'by-path'\n\
         [clusters.main]\nendpoints = ['{main}']\n[clusters.ssh]\nendpoints = ['{ssh}']\n\
         [plugins.by-path]\nlimits = {{ deadline = '5s' }}\n"
    );
    let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
        fs::copy(project.component(), directory.join("by-path.wasm")).unwrap();
    });
    for (said, heard) in [("SSH-2.0-x", "ssh:SSH-2.0-x"), ("GET / HTTP/1.1", "main:GET / HTTP/1.1")]
    {
        let mut client = linkspan.connect();
        client.send(said);
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, heard, "{}", linkspan.stderr());
    }
}

/// Builds all kinds but balancers in a language, and has them used.
#[track_caller]
fn are_taken(language: &str) {
    if is_excluded(language) {
        println!("{language}: left out, as LINKSPAN_TESTS_WITHOUT says");
        return;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (kind, usage) in KINDS {
        let begun = Instant::now();
        let project = Project::new(kind, language);
        project.make(&[]);
        let built = begun.elapsed();
        let told = inspected(&project);
        assert_eq!(told.get("kinds"), Some(&json!([kind])), "{language}: {told}");
        assert_eq!(told.get("needs"), Some(&json!([])), "{kind} in {language}: {told}");
        let toml = format!(
            "[server]\nplugin-dir = 'plugins.d'\ncompile-timeout = '10m'\n\
             [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n{usage}\n\
             [clusters.main]\nendpoints = []\n[clusters.api]\nendpoints = []\n[plugins.by-path]\n"
        );
        let listed = listed(&project.component(), &toml);
        assert_eq!(listed.get("error"), Some(&Value::Null), "{kind} in {language}: {listed}");
        if kind == "stream-router" {
            is_asked_about_streams(&project);
        }
        project.make(&["test"]);
        println!("{kind} in {language}: built in {built:.1?}, all in {:.1?}", begun.elapsed());
    }
}

#[test]
fn other_kinds_in_rust_are_taken() {
    are_taken("rust");
}

#[test]
fn other_kinds_in_c_are_taken() {
    are_taken("c");
}

#[test]
fn other_kinds_in_javascript_are_taken() {
    are_taken("js");
}

#[test]
#[ignore = "compiles Python three times, which takes minutes: `make languages`"]
fn other_kinds_in_python_are_taken() {
    are_taken("python");
}

#[test]
fn other_kinds_in_go_are_taken() {
    are_taken("go");
}
