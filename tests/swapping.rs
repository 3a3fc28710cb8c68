//! Plugins and configurations that change while requests are served, because their files do.

mod accounts;
mod canary;
mod digests;
mod handover;
mod listing;
mod meanwhile;
mod probing;
mod reloads;
mod replaced;
mod restart;
mod shadow;
mod unused;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::support::{Binary, Client, Message, Origin, eventually, one_cluster, plugin, reply};

/// The component `stamps` in a version of its own, which has this stamp.
pub(crate) fn stamped(stamp: &str) -> Vec<u8> {
    stamped_as("stamps", stamp)
}

/// The same of any guest that is made to be stamped.
pub(crate) fn stamped_as(guest: &str, stamp: &str) -> Vec<u8> {
    let place = b"stamp-00000000000000-end";
    let mut bytes = plugin(guest).to_vec();
    let at = bytes.windows(place.len()).position(|window| window == place).unwrap();
    bytes.splice(at..at + place.len(), format!("{stamp:-<24}").into_bytes());
    bytes
}

/// A proxy with plugins of two components, both of them stamps, of which only `stamps` is used as a
/// rewriter by the listener, and `others` by the cluster.
struct Bridge {
    linkspan: Binary,
    _origin: Origin,
    admin: SocketAddr,
}

impl Bridge {
    fn new() -> Self {
        Self::with("", "")
    }

    /// With these keys of the plugin `one`, and these tables.
    fn with(keys: &str, tables: &str) -> Self {
        Self::of("", keys, tables)
    }

    /// The same with these keys of the server.
    fn of(server: &str, keys: &str, tables: &str) -> Self {
        let origin = Origin::answering(|request| {
            reply(200, &[("x-asked", request.value("x-asked").unwrap_or("nobody"))], "")
        });
        let toml = format!(
            "[server]\nplugin-dir = 'plugins.d'\n{server}\n[admin]\nbind = '127.0.0.1:0'\n\
             token = 'secret-of-the-bridge'\n[plugins.one]\ncomponent = 'stamps'\n{keys}\n\
             {tables}\n[plugins.other]\ncomponent = 'others'\n{}",
            one_cluster(&[origin.address()], "rewriters = ['one']", "")
        );
        let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
            fs::write(directory.join("stamps.wasm"), stamped("a")).unwrap();
            fs::write(directory.join("others.wasm"), stamped("o")).unwrap();
        });
        let admin = linkspan.admin();
        Self { linkspan, _origin: origin, admin }
    }

    /// The same after its process was killed, and `meanwhile` was done to the plugin directory.
    fn killed_and_back(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.linkspan.killed_and_back(meanwhile);
        self.admin = self.linkspan.admin();
    }

    fn path(&self, component: &str) -> PathBuf {
        self.linkspan.file().with_file_name("plugins.d").join(format!("{component}.wasm"))
    }

    fn drop(&self, component: &str, bytes: &[u8]) {
        fs::write(self.path(component), bytes).unwrap();
    }

    /// Writes another configuration.
    fn rewrite(&self, change: impl Fn(&str) -> String) {
        let file = self.linkspan.file();
        let toml = change(&fs::read_to_string(&file).unwrap());
        fs::write(file, toml).unwrap();
    }

    /// What the administrator is told.
    fn ask(&mut self, path: &str) -> String {
        // Anew each time: a machine under load may pause for longer than an idle connection is kept.
        let answer = Client::connect(self.admin).ask("GET", path, &[("host", "localhost")], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text()
    }

    /// What the administrator is told of a plugin.
    fn told(&mut self, plugin: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ask("/api/plugins")).unwrap();
        let mut all = all.as_array().unwrap().iter();
        let named = |told: &&Value| told.get("name").is_some_and(|name| *name == *plugin);
        all.find(named).unwrap().clone()
    }

    /// How many candidates for a plugin have come to this.
    fn candidates(&mut self, plugin: &str, outcome: &str) -> u64 {
        self.counted("linkspan_plugin_candidates_total", plugin, outcome)
    }

    /// How often a metric has counted this of a plugin.
    fn counted(&mut self, metric: &str, plugin: &str, outcome: &str) -> u64 {
        let text = self.ask("/metrics");
        let labels = format!("{{plugin=\"{plugin}\",outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(&labels));
        line.unwrap().parse().unwrap()
    }
}

/// By what a response is stamped, and its request was.
#[track_caller]
fn stamp(response: &Message) -> String {
    assert_eq!(response.value("x-answered"), response.value("x-asked"), "one version each");
    response.value("x-answered").unwrap().trim_end_matches('-').to_owned()
}

#[test]
fn a_component_that_comes_with_a_broken_configuration_serves_all_the_same() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    fs::write(bridge.linkspan.file(), "[nonsense").unwrap();
    bridge.drop("stamps", &stamped("b"));
    bridge.linkspan.wait_for_stderr("configuration not taken");
    eventually("the version", || (stamp(&client.get("/")) == "b").then_some(()));
}

#[test]
fn a_component_that_is_dropped_in_serves_the_next_requests() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    for version in ["a", "b", "c"] {
        bridge.drop("stamps", &stamped(version));
        eventually("the new version", || (stamp(&client.get("/")) == version).then_some(()));
    }
    assert_eq!(bridge.candidates("one", "taken"), 2);
    assert_eq!(bridge.candidates("one", "refused"), 0);
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_component_that_is_refused_leaves_the_one_that_serves() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    let whole = stamped("b");
    let refused: [(&[u8], &str); 7] = [
        (b"", "the file is empty"),
        (b"neither one nor the other", "does not begin as WebAssembly"),
        (&whole[..whole.len() / 2], "cannot be compiled"),
        (plugin("no-kind"), "no known kind"),
        (&stamped("!"), "trapped"),
        (&stamped("~"), "deadline"),
        (&stamped("^"), "on-request failed: trapped"),
    ];
    for (number, (bytes, reason)) in (1..).zip(refused) {
        bridge.drop("stamps", bytes);
        let told = eventually("the refusal", || {
            let told = bridge.told("one")["candidate"].clone();
            told["reason"].as_str().is_some_and(|told| told.contains(reason)).then_some(told)
        });
        assert_eq!(told["digest"].as_str().map(str::len), Some(64), "{told}");
        assert_eq!(stamp(&client.get("/")), "a", "{reason}");
        assert_eq!(bridge.candidates("one", "refused"), number);
        bridge.linkspan.wait_for_stderr(reason);
    }
    let page = bridge.ask("/");
    assert!(page.contains("another is refused"), "{page}");

    bridge.drop("stamps", &whole);
    eventually("the next that is fit", || (stamp(&client.get("/")) == "b").then_some(()));
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_component_that_is_gone_serves_on() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    fs::remove_file(bridge.path("stamps")).unwrap();
    let told = eventually("the refusal", || {
        let told = bridge.told("one")["candidate"].clone();
        told.is_object().then_some(told)
    });
    assert_eq!(told["digest"], Value::Null);
    assert!(told["reason"].as_str().unwrap().contains("\"stamps\""), "{told}");
    assert_eq!(stamp(&client.get("/")), "a");
    bridge.drop("stamps", &stamped("a"));
    eventually("its return", || bridge.told("one")["candidate"].is_null().then_some(()));
    assert_eq!(bridge.candidates("one", "taken"), 0, "it is the one that serves");
}

#[test]
fn a_pipe_in_the_plugin_directory_keeps_nobody_waiting() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    fs::remove_file(bridge.path("others")).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, bridge.path("others"), FileType::Fifo, mode, 0).unwrap();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    eventually("the refusal", || {
        let told = bridge.told("other")["candidate"].clone();
        told["reason"].as_str().is_some_and(|told| told.contains("it is a pipe")).then_some(())
    });
}

#[test]
fn a_component_that_is_refused_keeps_no_other_from_serving() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("others", b"broken");
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
    eventually("the refusal", || bridge.told("other")["candidate"].is_object().then_some(()));
}

#[test]
fn a_configuration_is_taken_when_its_file_changes() {
    let (one, other) = (Origin::replying("one"), Origin::replying("other"));
    let mut linkspan = Binary::serve(&one_cluster(&[one.address()], "", ""));
    let mut client = linkspan.connect();
    assert_eq!(client.get("/").text(), "one");
    fs::write(linkspan.file(), "what is this").unwrap();
    linkspan.wait_for_stderr("configuration not taken");
    assert_eq!(client.get("/").text(), "one");
    // As editors write: another file that takes the name.
    let draft = linkspan.file().with_file_name("draft");
    fs::write(&draft, one_cluster(&[other.address()], "", "")).unwrap();
    fs::rename(draft, linkspan.file()).unwrap();
    eventually("the new configuration", || (client.get("/").text() == "other").then_some(()));
}
