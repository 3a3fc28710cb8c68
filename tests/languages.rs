//! Plugins in other languages than Rust, begun with `linkspan new`, built with the one command of
//! their project, and used.
//!
//! What builds them is fetched to `target/languages` before, by `tools/languages.sh`: nothing is fetched
//! here. A language whose toolchain is missing fails its test, unless the variable
//! `LINKSPAN_TESTS_WITHOUT` names it, which is `go` where it is not set.

mod pairs;
mod projects;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Binary, OFFLINE, Origin, cache_home};

const PROGRAM: &str = env!("CARGO_BIN_EXE_linkspan");

/// Two at once would compile what those in Rust depend on twice, and neither be done sooner.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The endpoints that the paths `/0` to `/7` have by their CRC-32, whatever language computes it.
const PLACES: [usize; 8] = [0, 0, 0, 0, 1, 1, 1, 1];

/// The project of a plugin `by-path`.
struct Project {
    directory: TempDir,
}

impl Project {
    #[track_caller]
    fn new(kind: &str, language: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let output = Command::new(PROGRAM)
            .args(["new", "by-path", "--kind", kind, "--lang", language])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind} in {language}: {said}");
        Self { directory }
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join("by-path")
    }

    /// Runs make, which has to succeed.
    #[track_caller]
    fn make(&self, arguments: &[&str]) {
        let tools = tools();
        fs::create_dir_all(tools.join("rust")).unwrap();
        // Only Rust makes a folder of that name: what it depends on is compiled once.
        let _ = symlink(tools.join("rust"), self.folder().join("target"));
        let output = self.made_with(&tools, arguments);
        let (printed, said) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "make {arguments:?} fails. `tools/languages.sh LANGUAGE` fetches what it needs; to do \
             without a language, name it in LINKSPAN_TESTS_WITHOUT\n{printed}\n{said}"
        );
    }

    /// Runs make with the tools of a folder.
    #[track_caller]
    fn made_with(&self, tools: &Path, arguments: &[&str]) -> Output {
        let mut make = Command::new("make");
        make.arg("-C").arg(self.folder()).args(arguments);
        make.arg(format!("TOOLS={}", tools.display()));
        // What cargo tells its tests is not meant for the cargo that make starts.
        for (variable, _) in std::env::vars() {
            let is_cargo = variable.starts_with("CARGO") && variable != "CARGO_HOME";
            if is_cargo || variable == "MAKEFLAGS" {
                make.env_remove(variable);
            }
        }
        make.envs(OFFLINE).env("LINKSPAN", PROGRAM).env("XDG_CACHE_HOME", cache_home());
        make.output().unwrap_or_else(|error| panic!("this test needs make: {error}"))
    }

    fn component(&self) -> PathBuf {
        self.folder().join("by-path.wasm")
    }
}

/// Where what the projects need is kept, for all of them and all runs.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/languages")
}

/// Go is younger in most distributions than its bindings ask for, and so has to be asked for.
fn is_excluded(language: &str) -> bool {
    let without = std::env::var("LINKSPAN_TESTS_WITHOUT").unwrap_or_else(|_| "go".to_owned());
    without.split([' ', ',']).any(|name| name == language)
}

fn configuration(endpoints: [SocketAddr; 2]) -> String {
    let [first, second] = endpoints;
    // Python takes a minute to compile, where the compiler is not optimised.
    format!(
        "[server]\nplugin-dir = 'plugins.d'\ncompile-timeout = '10m'\nworkers = 1\n\
         [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{first}', '{second}']\nbalancer = 'by-path'\n\
         [plugins.by-path]\non-failure = 'reject'\nlimits = {{ deadline = '5s' }}\n"
    )
}

/// What there is to know of a component that nothing is granted; afterwards its compiled form is
/// in the cache.
fn listed(component: &Path, toml: &str) -> Value {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("plugins.d")).unwrap();
    fs::copy(component, directory.path().join("plugins.d/by-path.wasm")).unwrap();
    fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
    // It waits as long as compiling may take.
    let output = Command::new(PROGRAM)
        .args(["plugins", "--json"])
        .current_dir(directory.path())
        .env("XDG_CACHE_HOME", cache_home())
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let of = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("by-path");
    list.as_array().unwrap().iter().find(of).unwrap().clone()
}

/// Builds the balancer of a language, and has it balance.
#[track_caller]
fn is_balanced_by(language: &str) {
    if is_excluded(language) {
        return;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::new("balancer", language);
    project.make(&[]);
    let origins = ["0", "1"].map(Origin::replying);
    let toml = configuration(origins.each_ref().map(Origin::address));

    let listed = listed(&project.component(), &toml);
    assert_eq!(listed.get("error"), Some(&Value::Null), "{listed}");
    assert_eq!(listed.get("kinds"), Some(&json!(["balancer"])), "{listed}");
    assert_eq!(listed.get("needs"), Some(&json!([])), "{listed}");

    let put = |directory: &Path| {
        fs::copy(project.component(), directory.join("by-path.wasm")).unwrap();
    };
    let mut linkspan = Binary::prepared(&toml, &[], &["run"], put);
    let mut client = linkspan.connect();
    let [first, second] = origins;
    for _ in 0..2 {
        for (path, place) in PLACES.iter().enumerate() {
            let text = client.get(&format!("/{path}")).text().to_owned();
            assert_eq!(text, place.to_string(), "/{path}: {}", linkspan.stderr());
        }
    }
    // The next attempt is another endpoint's.
    drop(second);
    for path in 0..PLACES.len() {
        let text = client.get(&format!("/{path}")).text().to_owned();
        assert_eq!(text, "0", "/{path}: {}", linkspan.stderr());
    }
    drop((linkspan, first));
    // The project's own test.
    project.make(&["test"]);
}

#[test]
fn a_balancer_in_rust_balances() {
    is_balanced_by("rust");
}

#[test]
fn a_balancer_in_c_balances() {
    is_balanced_by("c");
}

#[test]
fn a_balancer_in_javascript_balances() {
    is_balanced_by("js");
}

#[test]
fn a_balancer_in_python_balances() {
    is_balanced_by("python");
}

#[test]
fn a_balancer_in_go_balances() {
    is_balanced_by("go");
}

#[test]
fn what_is_missing_is_not_fetched_by_a_test() {
    let empty = TempDir::new().unwrap();
    let output = Project::new("balancer", "python").made_with(empty.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("componentize-py"), "{said}");
}
