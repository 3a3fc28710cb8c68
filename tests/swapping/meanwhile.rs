//! What goes on while a component is judged, which may take minutes.

use std::fs;
use std::io::Write as _;
use std::thread::park_timeout;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::canary::TOKEN;
use super::digests::digest;
use super::{Bridge, stamp, stamped};
use crate::loading::caching::long;
use crate::support::{Binary, Client, Signal, eventually, request};

/// Drops a component that takes minutes to compile in for the plugin `other`, and waits until that is
/// begun.
fn compiling(bridge: &Bridge) {
    bridge.drop("others", &long(150));
    judged(bridge, "others");
}

/// Waits until a component of this name is being judged.
fn judged(bridge: &Bridge, component: &str) {
    eventually("that it is judged", || {
        let said = bridge.linkspan.stderr();
        let mut judged = said.lines().filter(|line| line.contains("plugin judged"));
        judged.any(|line| line.contains(component)).then_some(())
    });
}

/// Orders that another configuration be read, with a plugin `slow` that takes its time to be configured for each
/// worker, and waits until that is begun. Its answer comes on the connection.
fn reloading(bridge: &Bridge, change: impl Fn(&str) -> String) -> Client {
    bridge.drop("slow", &stamped("&"));
    bridge.rewrite(|toml| change(toml) + "\n[plugins.slow]\n");
    let mut admin = Client::connect(bridge.admin);
    admin.send(request("POST", "/api/reload", &TOKEN, b""));
    bridge.linkspan.wait_for_stderr("takes its time");
    admin
}

#[test]
fn a_signal_to_leave_is_heard_while_a_component_is_compiled() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut bridge = Bridge::new();
        compiling(&bridge);
        bridge.linkspan.signal(signal);
        assert!(bridge.linkspan.wait().success(), "{}", bridge.linkspan.stderr());
        assert!(!bridge.linkspan.stderr().contains("cannot be compiled"), "it was waited for");
    }
}

#[test]
fn a_signal_to_leave_is_heard_while_a_component_is_compiled_before_anything_is_served() {
    let toml = "[server]\nplugin-dir = 'plugins.d'\n[listeners.web]\nbind = '127.0.0.1:0'\n\
                routers = ['long']\n";
    let mut linkspan = Binary::prepared(toml, &[], &["run"], |directory| {
        fs::write(directory.join("long.wasm"), long(150)).unwrap();
    });
    linkspan.wait_for_compiler();
    linkspan.signal(Signal::TERM);
    assert!(linkspan.wait().success(), "{}", linkspan.stderr());
}

#[test]
fn a_rollback_is_heard_while_a_component_is_compiled() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    compiling(&bridge);
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(stamp(&client.get("/")), "a", "at once");
    assert_eq!(bridge.candidates("other", "refused"), 0, "it is compiled still");
}

#[test]
fn a_version_that_fails_is_withdrawn_while_another_component_is_compiled() {
    let mut bridge =
        Bridge::with("on-failure = 'skip'", "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    let mut client = bridge.linkspan.connect();
    // Traps when it is called.
    bridge.drop("stamps", &stamped("?"));
    eventually("the trial", || bridge.told("one")["trial"].is_object().then_some(()));
    compiling(&bridge);
    eventually("the verdict", || {
        assert_eq!(client.get("/").status(), 200);
        (bridge.candidates("one", "withdrawn") == 1).then_some(())
    });
    assert_eq!(bridge.candidates("other", "refused"), 0, "it is compiled still");
}

#[test]
fn what_an_administrator_goes_back_to_stays_although_another_version_was_being_made_ready() {
    let mut bridge = Bridge::of("workers = 4", "", "");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    // Takes its time to be configured, for each worker.
    bridge.drop("stamps", &stamped("&"));
    eventually("that it is judged", || {
        (bridge.linkspan.stderr().matches("plugin judged").count() == 2).then_some(())
    });
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    let version = stamp(&client.get("/"));
    let reason = eventually("what becomes of the other", || {
        bridge.told("one")["candidate"]["reason"].as_str().map(str::to_owned).filter(|reason| {
            // Unless it has served just before, and was itself gone back from.
            reason.contains("was being made ready") || version == "b"
        })
    });
    assert_eq!(stamp(&client.get("/")), version, "{reason}");
    // Neither by a reload nor by the next process.
    assert_eq!(bridge.order("/api/reload").0, 200);
    assert_eq!(stamp(&client.get("/")), version);
    bridge.killed_and_back(|_| {});
    let mut client = bridge.linkspan.connect();
    assert_eq!(stamp(&client.get("/")), version);
    bridge.drop("stamps", &stamped("c"));
    eventually("other bytes", || (stamp(&client.get("/")) == "c").then_some(()));
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_version_that_was_gone_back_to_while_a_configuration_was_made_ready_stays() {
    let mut bridge = Bridge::of("workers = 4", "", "");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    let mut admin = reloading(&bridge, |toml| toml.to_owned());
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    assert_eq!(stamp(&client.get("/")), "a", "at once");
    let answer = admin.response_to("POST");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stamp(&client.get("/")), "a");
    assert_eq!(bridge.told("slow")["component"], "slow");
    assert_eq!(bridge.candidates("one", "withdrawn"), 1);
}

#[test]
fn a_configuration_is_not_refused_for_a_version_that_was_gone_back_from_meanwhile() {
    let mut bridge = Bridge::of("workers = 4", "", "");
    let mut client = bridge.linkspan.connect();
    let [one, other] = ["one", "other"].map(|name| bridge.told(name)["digest"].clone());
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    let slow = digest(&stamped("&"));
    let listed = format!("require-digest = [{one}, {other}, '{slow}']\nworkers = 4");
    let mut admin = reloading(&bridge, |toml| toml.replace("workers = 4", &listed));
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    let answer = admin.response_to("POST");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stamp(&client.get("/")), "a");
    assert_eq!(bridge.told("slow")["component"], "slow");
}

#[test]
fn orders_that_come_while_a_component_is_compiled_are_all_obeyed() {
    let bridge = Bridge::of("compile-timeout = '3s'", "", "");
    compiling(&bridge);
    let mut waiting: Vec<_> = (0..5).map(|_| Client::connect(bridge.admin)).collect();
    for client in &mut waiting {
        client.send(request("POST", "/api/reload", &TOKEN, b""));
    }
    for client in &mut waiting {
        let answer = client.response_to("POST");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

#[test]
fn many_who_wait_for_a_reload_lock_nobody_out() {
    let mut bridge = Bridge::new();
    compiling(&bridge);
    let fields = [&TOKEN[..], &[("connection", "close")]].concat();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let mut client = Client::connect(bridge.admin);
            client.send(request("POST", "/api/reload", &fields, b""));
            client
        })
        .collect();
    assert_eq!(bridge.ask("/healthz"), "ok\n");
    assert_eq!(bridge.candidates("other", "refused"), 0, "it is compiled still");
    bridge.linkspan.signal(Signal::TERM);
    let mut turned_away = 0;
    for mut client in waiting {
        let answer = client.response_to("POST");
        assert_eq!(answer.status(), 503, "{}", answer.text());
        turned_away += usize::from(answer.text().contains("too many"));
    }
    assert!(turned_away >= 32, "{turned_away}");
}

#[test]
fn a_file_that_is_being_written_is_not_judged_by_a_reload() {
    let whole = stamped("b");
    let pieces: Vec<_> = whole.chunks(whole.len().div_ceil(16)).collect();
    // Who writes is held up at times on a busy machine, and a file may be taken for whole then.
    for _ in 0..20 {
        let mut bridge = Bridge::new();
        let mut admin = Client::connect(bridge.admin);
        let mut file = fs::File::create(bridge.path("stamps")).unwrap();
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        for (number, piece) in pieces.iter().enumerate() {
            file.write_all(piece).unwrap();
            if number == 4 {
                admin.send(request("POST", "/api/reload", &TOKEN, b""));
            }
            park_timeout(Duration::from_millis(20));
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        if longest > Duration::from_millis(100) {
            continue;
        }
        let answer = admin.response_to("POST");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let mut client = bridge.linkspan.connect();
        assert_eq!(stamp(&client.get("/")), "b", "what has come is taken");
        assert_eq!(bridge.candidates("one", "refused"), 0);
        return;
    }
    panic!("this machine has no time to write a file");
}
