//! A process that is killed, and what the next one serves by: what was committed, and what is there that
//! is fit.

use std::fs;

use serde_json::Value;

use super::{Bridge, stamp, stamped};
use crate::support::{eventually, plugin};

/// A proxy that serves by this version, which came while it served.
fn serving(bridge: &mut Bridge, version: &str) {
    bridge.drop("stamps", &stamped(version));
    let mut client = bridge.linkspan.connect();
    eventually("the version", || (stamp(&client.get("/")) == version).then_some(()));
}

/// What the first request is stamped by.
fn first(bridge: &mut Bridge) -> String {
    stamp(&bridge.linkspan.connect().get("/"))
}

#[test]
fn a_process_goes_on_with_what_served_when_there_is_nothing_fit() {
    let mut bridge = Bridge::new();
    serving(&mut bridge, "b");
    let broken: [(&str, Option<Vec<u8>>); 4] = [
        ("cannot be compiled", Some(stamped("c")[..2000].to_vec())),
        ("trapped", Some(stamped("!"))),
        ("there is no component", None),
        ("the file is empty", Some(Vec::new())),
    ];
    for (reason, bytes) in broken {
        bridge.killed_and_back(|plugins| {
            let path = plugins.join("stamps.wasm");
            match &bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        });
        assert_eq!(first(&mut bridge), "b", "{reason}");
        let told = bridge.told("one");
        let why = told["candidate"]["reason"].as_str().unwrap();
        assert!(why.contains(reason), "{reason}: {why}");
        assert_eq!(told["source"], "copy");
        bridge.linkspan.wait_for_stderr("the version before goes on");
        assert_eq!(bridge.candidates("one", "refused"), 1);
    }
    serving(&mut bridge, "c");
    let told = bridge.told("one");
    assert_eq!((&told["source"], &told["candidate"]), (&"file".into(), &Value::Null));
}

#[test]
fn a_process_begins_with_what_has_come_meanwhile() {
    let mut bridge = Bridge::new();
    bridge.killed_and_back(|plugins| {
        fs::write(plugins.join("stamps.wasm"), stamped("b")).unwrap();
    });
    assert_eq!(first(&mut bridge), "b");
    assert_eq!(bridge.told("one")["source"], "file");
}

#[test]
fn what_was_rolled_back_is_not_taken_by_the_next_process() {
    let mut bridge = Bridge::new();
    serving(&mut bridge, "b");
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    for _ in 0..2 {
        bridge.killed_and_back(|_| {});
        assert_eq!(first(&mut bridge), "a");
        let told = bridge.told("one");
        let reason = told["candidate"]["reason"].as_str().unwrap();
        assert!(reason.contains("rolled back"), "{reason}");
    }
    bridge.killed_and_back(|plugins| {
        fs::write(plugins.join("stamps.wasm"), stamped("a")).unwrap();
    });
    assert_eq!(bridge.told("one")["candidate"], Value::Null, "it is not there any more");
    serving(&mut bridge, "c");
}

#[test]
fn what_was_rolled_back_to_a_built_in_component_is_not_taken_by_the_next_process() {
    let mut bridge = Bridge::new();
    bridge.drop("round-robin", plugin("counts"));
    eventually("the swap", || (bridge.candidates("round-robin", "taken") == 1).then_some(()));
    assert_eq!(bridge.order("/api/plugins/round-robin/rollback").0, 200);
    bridge.killed_and_back(|_| {});
    let told = bridge.told("round-robin");
    assert_eq!(told["source"], "built-in", "{told}");
    assert!(told["candidate"]["reason"].as_str().unwrap().contains("rolled back"), "{told}");
}

#[test]
fn what_served_before_the_process_was_killed_can_be_gone_back_to() {
    let mut bridge = Bridge::new();
    serving(&mut bridge, "b");
    bridge.killed_and_back(|_| {});
    assert_eq!(first(&mut bridge), "b");
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(first(&mut bridge), "a");
    // Also from what has come while there was no process.
    bridge.killed_and_back(|plugins| {
        fs::write(plugins.join("stamps.wasm"), stamped("c")).unwrap();
    });
    assert_eq!(first(&mut bridge), "c");
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    assert_eq!(first(&mut bridge), "a");
    bridge.killed_and_back(|_| {});
    assert_eq!(first(&mut bridge), "a", "what was left is not taken again");
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!((status, text.contains("there is no version before")), (409, true), "{text}");
}

#[test]
fn a_trial_begins_with_what_has_come_meanwhile() {
    let mut bridge = Bridge::with("", "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    bridge.killed_and_back(|plugins| {
        fs::write(plugins.join("stamps.wasm"), stamped("b")).unwrap();
    });
    let mut client = bridge.linkspan.connect();
    for version in ["a", "b"] {
        eventually(version, || (stamp(&client.get("/")) == version).then_some(()));
    }
    assert!(bridge.told("one")["trial"].is_object());
}

#[test]
fn a_trial_beside_a_built_in_component_begins_again_with_the_next_process() {
    let canary = "[plugins.round-robin.canary]\nshare = '50%'\nfor = '1h'";
    let mut bridge = Bridge::with("", canary);
    bridge.drop("round-robin", plugin("counts"));
    let tried = |bridge: &mut Bridge| bridge.told("round-robin")["trial"].is_object().then_some(());
    eventually("the trial", || tried(&mut bridge));
    bridge.killed_and_back(|_| {});
    eventually("the trial", || tried(&mut bridge));
    assert_eq!(bridge.told("round-robin")["source"], "built-in");
}

#[test]
fn a_process_killed_at_any_instant_of_swaps_leaves_a_complete_set() {
    let mut bridge = Bridge::new();
    for round in 0..12_u32 {
        let (before, after) = (format!("{round}.0"), format!("{round}.1"));
        serving(&mut bridge, &before);
        let mut client = bridge.linkspan.connect();
        for name in ["stamps", "others"] {
            fs::write(bridge.path(name), stamped(&after)).unwrap();
        }
        // The later the round, the further the next swap has come.
        for _ in 0..round * 40 {
            stamp(&client.get("/"));
        }
        bridge.killed_and_back(|plugins| {
            // As if the machine had gone down with it.
            if round % 2 == 0 {
                let file = fs::File::options().write(true).open(plugins.join("stamps.wasm"));
                let file = file.unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
        });
        let first = first(&mut bridge);
        assert!(first == before || first == after, "{round}: {first}");
    }
}
