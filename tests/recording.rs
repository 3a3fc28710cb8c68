//! Recordings of what plugins decide: what is in them, and what never is.

mod replay;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Binary, Client, Origin, Proxy, Signal, eventually, one_cluster, reply, request,
};

/// A directory for recordings.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The value of `record` that has a plugin recorded into this file, with these keys.
    fn record(&self, name: &str, keys: &str) -> String {
        format!("record = {{ file = '{}', {keys} }}", self.path(name).display())
    }

    /// Waits until a recording has so many lines after its first, and gives all.
    #[track_caller]
    fn lines(&self, name: &str, count: usize) -> Vec<Value> {
        let lines = eventually("lines of a recording", || {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines = text.matches('\n').count();
            (text.ends_with('\n') && lines > count).then_some(text)
        });
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A router, a balancer and a rewriter, all recorded into files of their names.
fn three(shelf: &Shelf, origin: SocketAddr, keys: &str) -> String {
    format!(
        "{}\n[plugins.routes]\ncomponent = 'regex-match'\n{}\n\
         config = {{ rules = [{{ match = ['^/gone'], respond = {{ status = 410 }} }}, \
         {{ match = ['^/a'], cluster = 'main' }}] }}\n\
         [plugins.turns]\ncomponent = 'round-robin'\n{}\n[plugins.marks]\ncomponent = 'stamps'\n{}\n",
        one_cluster(&[origin], "routers = ['routes']\nrewriters = ['marks']", "balancer = 'turns'"),
        shelf.record("routes", keys),
        shelf.record("turns", keys),
        shelf.record("marks", keys),
    )
}

#[test]
fn a_recording_has_each_decision_and_no_header_that_is_not_listed() {
    let shelf = Shelf::new();
    let origin = Origin::answering(|_| {
        reply(200, &[("set-cookie", "id=secret-of-the-origin"), ("content-language", "de")], "")
    });
    let headers = "headers = ['Accept-Language', 'content-language']";
    let proxy = Proxy::start_with(&three(&shelf, origin.address(), headers), &["stamps"]);
    let fields = [
        ("accept-language", "tlh"),
        ("cookie", "id=secret-of-the-client"),
        ("authorization", "Bearer secret-of-the-client"),
    ];
    let mut client = proxy.connect();
    assert_eq!(client.ask("GET", "/a?b=c", &fields, b"").status(), 200);
    assert_eq!(client.ask("GET", "/gone", &fields, b"").status(), 410);
    let routed = shelf.lines("routes", 2);
    let (picked, marked) = (shelf.lines("turns", 1), shelf.lines("marks", 2));
    assert_eq!((routed.len(), picked.len(), marked.len()), (3, 2, 3));

    assert_eq!(routed[0]["plugin"], "routes");
    assert_eq!(routed[0]["clusters"][0], "main");
    assert_eq!(routed[1]["decision"]["forward"]["cluster"], "main");
    assert_eq!(routed[2]["decision"]["respond"]["status"], 410);
    let request = &routed[1]["request"];
    assert_eq!((&request["path"], &request["query"]), (&"/a".into(), &"b=c".into()));
    assert_eq!(request["headers"].to_string(), r#"[["accept-language","tlh"]]"#);
    assert!(routed[1]["cost-ns"].as_u64().unwrap() > 0);
    let pick = &picked[1]["pick"];
    assert_eq!((&pick["cluster"], &pick["attempt"]), (&"main".into(), &0.into()));
    assert_eq!(pick["endpoints"][0]["address"], origin.address().to_string());
    assert_eq!(picked[1]["decision"]["endpoint"]["id"], pick["endpoints"][0]["id"]);
    assert_eq!(
        (&marked[1]["phase"], &marked[2]["phase"]),
        (&"on-request".into(), &"on-response".into())
    );
    assert_eq!(marked[2]["response"]["headers"].to_string(), r#"[["content-language","de"]]"#);
    assert_eq!(marked[1]["decision"]["edits"][0]["append"][0], "x-asked");

    for name in ["routes", "turns", "marks"] {
        let (path, text) = (shelf.path(name), text(&shelf.path(name)));
        assert!(text.contains("tlh"), "{text}");
        assert!(!text.contains("secret") && !text.contains("Bearer"), "{text}");
        assert!(!text.contains("stamp-000"), "what a plugin sets is not listed: {text}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(proxy.counter("linkspan_plugin_recording", &[("plugin", name)]), 1);
    }
    let written = [("plugin", "marks"), ("outcome", "written")];
    assert_eq!(proxy.counter("linkspan_plugin_recorded_total", &written), 2);
}

#[test]
fn a_share_of_the_requests_is_recorded_with_all_calls_about_each() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let proxy = Proxy::start_with(&three(&shelf, origin.address(), "share = '50%'"), &["stamps"]);
    let mut client = proxy.connect();
    (0..300).for_each(|_| drop(client.get("/a")));
    let written = |name| {
        let labels = [("plugin", name), ("outcome", "written")];
        proxy.counter("linkspan_plugin_recorded_total", &labels)
    };
    let taken = eventually("what is recorded", || {
        let (marks, turns) = (written("marks"), written("turns"));
        (marks > 150 && marks % 2 == 0 && turns > 75).then_some(marks / 2)
    });
    assert!((90..210).contains(&taken), "{taken} of 300");
    assert_eq!(
        fs::read_to_string(shelf.path("marks")).unwrap().lines().count() as u64,
        2 * taken + 1
    );
}

#[test]
fn a_recording_ends_at_its_bound_and_says_so_once() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let toml = format!(
        "[admin]\nbind = '127.0.0.1:0'\n[plugins.turns]\ncomponent = 'round-robin'\n{}\n{}",
        shelf.record("turns", "max-bytes = '4KiB'"),
        one_cluster(&[origin.address()], "", "balancer = 'turns'")
    );
    let mut linkspan = Binary::serve(&toml);
    let (mut client, admin) = (linkspan.connect(), linkspan.admin());
    (0..100).for_each(|_| assert_eq!(client.get("/").status(), 200));
    linkspan.wait_for_stderr("the recording is full");
    (0..100).for_each(|_| assert_eq!(client.get("/").status(), 200));
    let metrics = Client::connect(admin).ask("GET", "/metrics", &[("host", "localhost")], b"");
    let metrics = metrics.text();
    assert!(metrics.contains("linkspan_plugin_recording{plugin=\"turns\"} 0"), "{metrics}");
    linkspan.signal(Signal::TERM);
    assert!(linkspan.wait().success());
    assert_eq!(linkspan.stderr().matches("the recording is full").count(), 1);
    let text = text(&shelf.path("turns"));
    assert!(text.len() <= 4096 && text.len() > 2048 && text.ends_with('\n'), "{}", text.len());
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}

#[test]
fn a_full_recording_has_all_of_each_request_or_nothing() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/waits" {
                return peer.hang();
            }
            if peer.write(reply(200, &[], "")).is_err() {
                return;
            }
        }
    });
    // Lines of other lengths, so that sometimes the second about a request is the first too many.
    for length in [1, 50, 100, 150] {
        // Its own, for a file of the round before lies in the way of the new one for a moment.
        let shelf = Shelf::new();
        let toml = format!(
            "[plugins.marks]\ncomponent = 'stamps'\n{}\n{}",
            shelf.record("marks", "max-bytes = '8KiB'"),
            one_cluster(&[origin.address()], "rewriters = ['marks']", "")
        );
        let proxy = Proxy::start_with(&toml, &["stamps"]);
        let mut waits = proxy.connect();
        waits.send(request("GET", "/waits", &[], b""));
        let whole = shelf.lines("marks", 1);
        assert_eq!(whole[1]["request"]["path"], "/waits");
        let (mut client, target) = (proxy.connect(), format!("/{}", "a".repeat(length)));
        let recording = || proxy.counter("linkspan_plugin_recording", &[("plugin", "marks")]);
        eventually("the end of the recording", || {
            assert_eq!(client.get(&target).status(), 200);
            (recording() == 0).then_some(())
        });
        let lines = shelf.lines("marks", 2);
        let phases: Vec<_> = lines.iter().skip(1).map(|line| &line["phase"]).collect();
        assert!(phases.len() > 6 && phases.len() % 2 == 0, "{length}: {}", phases.len());
        assert!(phases.chunks(2).all(|both| *both == ["on-request", "on-response"]), "{phases:?}");
        assert!(!text(&shelf.path("marks")).contains("/waits"), "its response had not come");
    }
}

#[test]
fn a_recording_that_is_there_is_kept_and_any_other_file_left_alone() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let toml = three(&shelf, origin.address(), "");
    let record = |target: &str| {
        let proxy = Proxy::start_with(&toml, &["stamps"]);
        assert_eq!(proxy.get(target).status(), 200);
        shelf.lines("marks", 2);
    };
    record("/a/first");
    record("/a/second");
    assert!(text(&shelf.path("marks")).contains("/a/second"));
    assert!(text(&shelf.path("marks.1")).contains("/a/first"));
    record("/a/third");
    assert!(text(&shelf.path("marks.1")).contains("/a/second"));

    fs::write(shelf.path("turns"), "precious").unwrap();
    fs::remove_file(shelf.path("routes")).unwrap();
    std::os::unix::fs::symlink(shelf.path("marks.1"), shelf.path("routes")).unwrap();
    fs::write(shelf.path("marks.1"), "precious as well").unwrap();
    let proxy = Proxy::start_with(&toml, &["stamps"]);
    assert_eq!(proxy.get("/a").status(), 200);
    for name in ["turns", "routes", "marks"] {
        let recording = || proxy.counter("linkspan_plugin_recording", &[("plugin", name)]);
        eventually("the end of what cannot begin", || (recording() == 0).then_some(()));
    }
    assert_eq!(text(&shelf.path("turns")), "precious");
    assert_eq!(text(&shelf.path("marks.1")), "precious as well");
    assert!(text(&shelf.path("marks")).contains("/a/third"));
    assert!(fs::symlink_metadata(shelf.path("routes")).unwrap().is_symlink());
}

#[test]
fn a_recording_begins_and_ends_without_a_word_to_the_plugin() {
    let shelf = Shelf::new();
    let toml = |plugin: &str| {
        format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['heir']\n\
             [plugins.heir]\ncomponent = 'hands-over'\n{plugin}\n"
        )
    };
    let mut proxy = Proxy::start_with(&toml(""), &["hands-over"]);
    let called = |proxy: &Proxy| -> u32 {
        let text = proxy.get("/").text();
        text.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let first = called(&proxy);
    let recorded = shelf.record("heir", "");
    proxy.reload(&toml(&recorded)).unwrap();
    assert_eq!(called(&proxy), first + 1, "the instance stays");
    shelf.lines("heir", 1);
    proxy.reload(&toml("")).unwrap();
    assert_eq!(called(&proxy), first + 2);
    let recording = || proxy.counter("linkspan_plugin_recording", &[("plugin", "heir")]);
    eventually("its end", || (recording() == 0).then_some(()));
    assert_eq!(shelf.lines("heir", 1).len(), 2);
    // As it would be with another configuration, there is nothing that is mixed.
    proxy.reload(&toml(&format!("{recorded}\nconfig = {{ a = 1 }}"))).unwrap();
    called(&proxy);
    assert_eq!(shelf.lines("heir", 1)[0]["config"]["a"], 1);
    assert_eq!(shelf.lines("heir.1", 1).len(), 2);
}

#[test]
fn two_plugins_do_not_record_into_one_file() {
    let toml = "[listeners.web]\nbind = '127.0.0.1:0'\n[plugins.headers]\nrecord = 'x'\n\
                [plugins.rewrite]\nrecord = { file = './x' }\n";
    let refused = Proxy::try_start(toml, &[]).err().unwrap();
    assert!(refused.contains("another plugin records into this file"), "{refused}");
}

#[test]
fn a_shadow_leaves_the_recording_to_the_plugin_that_decides() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let toml = three(&shelf, origin.address(), "")
        .replace("[plugins.marks]\n", "[plugins.marks]\nshadow = 'stamps'\n");
    let proxy = Proxy::start_with(&toml, &["stamps"]);
    proxy.get("/a");
    let lines = shelf.lines("marks", 1);
    assert!(lines.len() > 1 && lines[0]["plugin"] == "marks", "{lines:#?}");
    assert!(!shelf.path("marks.1").exists());
}

#[test]
fn a_recording_that_could_not_begin_does_so_when_the_configuration_is_read_again() {
    let shelf = Shelf::new();
    let origin = Origin::replying("");
    let path = shelf.path("turns");
    fs::write(&path, "not a recording\n").unwrap();
    let toml = format!(
        "[plugins.turns]\ncomponent = 'round-robin'\n{}\n{}",
        shelf.record("turns", ""),
        one_cluster(&[origin.address()], "", "balancer = 'turns'")
    );
    let mut linkspan = Binary::serve(&toml);
    linkspan.wait_for_stderr("nothing is recorded");
    fs::remove_file(&path).unwrap();
    linkspan.signal(Signal::HUP);
    let mut client = linkspan.connect();
    eventually("the recording", || {
        assert_eq!(client.get("/").status(), 200);
        fs::read_to_string(&path).unwrap_or_default().contains("\"pick\"").then_some(())
    });
}
