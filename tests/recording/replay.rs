//! Replaying: the same component decides the same, another one what it decides, and what cannot be
//! replayed is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linkspan::commands::BUILT_IN;
use serde_json::Value;

use super::{Shelf, text, three};
use crate::support::{Binary, Down, Origin, Proxy, eventually, one_cluster, plugin, reply};
use crate::swapping::stamped_as;

/// The exit code, the report, and what is said of a replay.
fn replay(recording: &Path, component: &Path, more: &[&str]) -> (i32, Value, String) {
    let (recording, component) = (recording.to_str().unwrap(), component.to_str().unwrap());
    let arguments = [&["replay", "--json", recording, component], more].concat();
    let mut binary = Binary::run(&arguments);
    let code = binary.wait().code().unwrap();
    let report = serde_json::from_str(&binary.stdout());
    (code, report.unwrap_or_else(|error| panic!("{error}: {}", binary.stderr())), binary.stderr())
}

impl Shelf {
    /// A file with a component: a built-in one, or a guest.
    fn component(&self, name: &str) -> PathBuf {
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
        self.put(name, built_in.unwrap_or_else(|| plugin(name)))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(&format!("{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Records requests for these targets, over two connections by turns, to two workers.
fn record(plugins: &str, cluster: &str, targets: &[&str]) {
    let (first, third) = (Origin::replying(""), Origin::replying(""));
    let down = Down::new();
    let endpoints = [first.address(), down.address(), third.address()];
    let toml =
        format!("[server]\nworkers = 2\n{}\n{plugins}", one_cluster(&endpoints, "", cluster));
    let proxy = Proxy::start_with(&toml, &["hashes"]);
    let (mut one, mut other) = (proxy.connect(), proxy.connect());
    for (turn, target) in targets.iter().enumerate() {
        let client = if turn % 2 == 0 { &mut one } else { &mut other };
        // One that goes by hashes alone goes where nobody is as well.
        assert!([200, 503].contains(&client.get(target).status()), "{target}");
    }
    assert!(proxy.shut_down(None).recv().unwrap());
}

fn count<'v>(report: &'v Value, phase: &str, key: &str) -> &'v Value {
    let rows = report["phases"].as_array().unwrap();
    &rows.iter().find(|row| row["phase"] == phase).unwrap()[key]
}

const TARGETS: [&str; 9] = ["/a", "/b?x=1", "/c", "/d", "/e%20f", "/g", "/h", "/i", "/j"];

#[test]
fn the_same_component_decides_the_same() {
    for name in ["round-robin", "least-connections", "carp", "source-hash", "hashes", "sqf"] {
        let shelf = Shelf::new();
        let plugins = format!("[plugins.it]\ncomponent = '{name}'\n{}", shelf.record("it", ""));
        record(&plugins, "balancer = 'it'\nhealth.offline = '0s'", &TARGETS);
        let calls = text(&shelf.path("it")).lines().count() - 1;
        assert!(calls >= TARGETS.len(), "{calls}");
        let (code, report, said) = replay(&shelf.path("it"), &shelf.component(name), &[]);
        assert_eq!((code, said.as_str()), (0, ""), "{name}: {report:#}");
        assert_eq!(count(&report, "pick", "same"), calls, "{name}");
        assert_eq!(count(&report, "pick", "failed"), 0, "{name}");
        assert!(count(&report, "pick", "recorded")["p99_us"].as_f64().unwrap() > 0.0);
        assert!(count(&report, "pick", "candidate")["p50_us"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn another_balancer_differs_where_it_chooses_another() {
    let shelf = Shelf::new();
    let plugins = format!("[plugins.it]\ncomponent = 'round-robin'\n{}", shelf.record("it", ""));
    record(&plugins, "balancer = 'it'", &TARGETS);
    let lines: Vec<Value> =
        text(&shelf.path("it")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The first that is usable and was not tried, as that component has it.
    let chosen = |line: &Value| {
        let tried = line["pick"]["tried"].as_array().cloned().unwrap_or_default();
        let all = line["pick"]["endpoints"].as_array().unwrap();
        let fit = |member: &&Value| member["usable"] == true && !tried.contains(&member["id"]);
        all.iter().find(fit).unwrap()["id"].clone()
    };
    let expected: Vec<_> = (1..)
        .zip(&lines)
        .skip(1)
        .filter(|(_, line)| line["decision"]["endpoint"]["id"] != chosen(line))
        .map(|(number, _)| number)
        .collect();
    assert!(!expected.is_empty() && expected.len() < lines.len() - 1, "{expected:?}");
    let (code, report, _) = replay(&shelf.path("it"), &shelf.component("first-alive"), &["--all"]);
    let differ = report["differences"].as_array().unwrap().iter();
    let differ: Vec<_> = differ.map(|differs| differs["line"].as_u64().unwrap()).collect();
    assert_eq!((code, differ), (1, expected), "{report:#}");
}

#[test]
fn figures_are_those_of_the_recorded_moment() {
    let shelf = Shelf::new();
    let released = Arc::new(AtomicBool::new(false));
    let origin = || {
        let released = Arc::clone(&released);
        Origin::answering(move |request| {
            if request.target() == "/slow" {
                eventually("leave", || released.load(Ordering::SeqCst).then_some(()));
            }
            reply(200, &[], "")
        })
    };
    let (one, other) = (origin(), origin());
    let toml = format!(
        "[plugins.it]\ncomponent = 'by-busyness'\n{}\n{}",
        shelf.record("it", ""),
        one_cluster(&[one.address(), other.address()], "", "balancer = 'it'")
    );
    let proxy = Proxy::start(&toml);
    let mut slow = proxy.connect();
    slow.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the slow one", || (one.hits() + other.hits() == 1).then_some(()));
    let mut client = proxy.connect();
    (0..4).for_each(|_| assert_eq!(client.get("/").status(), 200));
    released.store(true, Ordering::SeqCst);
    assert_eq!(slow.response().status(), 200);
    let lines = shelf.lines("it", 5);
    let busy = |line: &Value| {
        let members = line["pick"]["endpoints"].as_array().unwrap().iter();
        members.map(|member| member["in-flight"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert!(lines[2..].iter().all(|line| busy(line).iter().sum::<u64>() == 1), "{lines:#?}");
    let component = shelf.component("by-busyness");
    assert_eq!(replay(&shelf.path("it"), &component, &[]).0, 0);

    // As if the other had been the busy one.
    let whole = text(&shelf.path("it"));
    let mut turned: String = whole.split_inclusive('\n').take(2).collect();
    for line in &lines[2..] {
        let mut line = line.clone();
        for member in line["pick"]["endpoints"].as_array_mut().unwrap() {
            member["in-flight"] = (1 - member["in-flight"].as_u64().unwrap()).into();
        }
        turned.push_str(&format!("{line}\n"));
    }
    fs::write(shelf.path("turned"), turned).unwrap();
    let (code, report, _) = replay(&shelf.path("turned"), &component, &[]);
    assert_eq!((code, count(&report, "pick", "different")), (1, &4.into()), "{report:#}");
}

#[test]
fn another_configuration_differs_in_the_very_decisions_that_it_is_about() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let proxy = Proxy::start_with(&three(&shelf, origin.address(), ""), &["stamps"]);
    let mut client = proxy.connect();
    for target in ["/a/1", "/gone/1", "/a/2", "/gone/2"] {
        client.get(target);
    }
    shelf.lines("routes", 4);
    let (routes, component) = (shelf.path("routes"), shelf.component("regex-match"));
    assert_eq!(replay(&routes, &component, &[]).0, 0);
    let config = shelf.path("config.json");
    let rules = r#"{"rules":[{"match":["^/gone/2"],"cluster":"nowhere"},
        {"match":["^/gone"],"respond":{"status":410}},{"match":["^/a"],"cluster":"main"}]}"#;
    fs::write(&config, rules).unwrap();
    let (code, report, said) = replay(&routes, &component, &["--config", config.to_str().unwrap()]);
    // A rule that names a cluster which there is not is refused by the component itself.
    assert_eq!((code, &report["phases"]), (2, &Value::Array(Vec::new())), "{report:#}");
    assert!(said.contains("nowhere"), "{said}");
    fs::write(&config, rules.replace("nowhere", "main")).unwrap();
    let (code, report, _) = replay(&routes, &component, &["--config", config.to_str().unwrap()]);
    assert_eq!((code, count(&report, "route", "same")), (1, &3.into()));
    let differs = &report["differences"][0];
    assert_eq!((&differs["line"], &differs["phase"]), (&5.into(), &"route".into()), "{report:#}");
    assert_eq!(differs["candidate"], "forward to cluster \"main\"");
    assert!(differs["recorded"].as_str().unwrap().starts_with("respond 410"), "{differs}");
    assert!(differs["input"].as_str().unwrap().contains("/gone/2"), "{differs}");

    let marks = shelf.path("marks");
    assert_eq!(replay(&marks, &shelf.component("stamps"), &[]).0, 0);
    let other = shelf.put("other", &stamped_as("stamps", "b"));
    let (code, report, _) = replay(&marks, &other, &[]);
    let phases = ["on-request", "on-response"].map(|phase| count(&report, phase, "different"));
    assert_eq!((code, phases), (1, [&2.into(), &2.into()]), "{report:#}");
}

#[test]
fn calls_that_fail_are_told_and_go_on() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let proxy = Proxy::start_with(&three(&shelf, origin.address(), ""), &["stamps"]);
    let mut client = proxy.connect();
    (0..30).for_each(|_| drop(client.get("/a")));
    shelf.lines("marks", 60);
    let traps = shelf.put("traps", &stamped_as("stamps", "^"));
    let (code, report, _) = replay(&shelf.path("marks"), &traps, &[]);
    assert_eq!((code, count(&report, "on-request", "failed")), (1, &30.into()), "{report:#}");
    assert_eq!(report["differences"].as_array().unwrap().len(), 20, "and no more unless asked");
    let told = report["differences"][0]["candidate"].as_str().unwrap();
    assert!(told.starts_with("failed: trap"), "{told}");
    let (_, report, _) = replay(&shelf.path("marks"), &traps, &["--all"]);
    assert!(report["differences"].as_array().unwrap().len() > 30);

    let mut plain =
        Binary::run(&["replay", shelf.path("marks").to_str().unwrap(), traps.to_str().unwrap()]);
    assert_eq!(plain.wait().code(), Some(1));
    let told = plain.stdout();
    assert!(told.contains("on-request\t30\t0\t30\t30\t"), "{told}");
    assert!(told.contains("more differ; --all shows them"), "{told}");
}

#[test]
fn what_cannot_be_replayed_is_told_with_its_line() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let proxy = Proxy::start_with(&three(&shelf, origin.address(), ""), &["stamps"]);
    (0..3).for_each(|_| drop(proxy.get("/a")));
    shelf.lines("routes", 3);
    let whole = text(&shelf.path("routes"));
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let damaged = [
        (String::new(), "the file is empty"),
        ("GET / HTTP/1.1\n".to_owned(), "line 1: it is cut off"),
        ("{\"a\":1}\n".to_owned(), "line 1: this is no recording"),
        (whole.replacen(":1,", ":2,", 1), "line 1: this is a recording of format 2"),
        (whole[..whole.len() - 9].to_owned(), "line 4: it is cut off"),
        ([lines[0], lines[1], "{\"phase\":\"route\"}\n"].concat(), "line 3: missing field"),
        ([lines[0], lines[1], "\n", lines[2]].concat(), "line 3: EOF"),
        (whole.replacen("\"GET\"", "\"G T\"", 1), "line 2: its method is none"),
        (whole.replacen("\"route\"", "\"pick\"", 1), "line 2: it has no `pick`"),
    ];
    let component = shelf.component("regex-match");
    let path = shelf.path("damaged");
    for (text, reason) in damaged {
        // Bytes that are no lines end before there is one.
        let text =
            if reason.ends_with("1: it is cut off") { text.trim_end().to_owned() } else { text };
        fs::write(&path, text).unwrap();
        let (code, report, said) = replay(&path, &component, &[]);
        assert_eq!(code, 2, "{reason}: {report:#}");
        assert!(said.contains(reason), "no {reason}: {said}");
        assert!(report["error"].as_str().unwrap().contains(reason), "{report:#}");
    }
    for (component, reason) in [
        ("waits", "needs a store"),
        ("round-robin", "it is no router"),
        ("configure-error", "its configuration is refused"),
        ("no-kind", "no known kind"),
    ] {
        let (code, _, said) = replay(&shelf.path("routes"), &shelf.component(component), &[]);
        assert!(code == 2 && said.contains(reason), "no {reason}: {said}");
    }
    let (code, _, said) = replay(&shelf.path("nothing"), &component, &[]);
    assert!(code == 2 && said.contains("nothing"), "{said}");
    fs::write(&path, "[]").unwrap();
    let (code, _, said) =
        replay(&shelf.path("routes"), &component, &["--config", path.to_str().unwrap()]);
    assert!(code == 2 && said.contains("damaged"), "{said}");
}
