//! Components that no plugin uses: judged all the same, and listed.

use std::fs;

use serde_json::Value;

use super::{Bridge, stamp, stamped};
use crate::loading::caching::long;
use crate::support::{eventually, plugin};

/// What is listed, when that is so many.
fn listed(bridge: &mut Bridge, count: usize) -> Vec<Value> {
    eventually("the list", || {
        let all: Value = serde_json::from_str(&bridge.ask("/api/plugins/unused")).unwrap();
        all.as_array().filter(|all| all.len() == count).cloned()
    })
}

#[test]
fn a_component_that_nothing_uses_is_judged_and_listed() {
    let mut bridge = Bridge::new();
    bridge.drop("fit", plugin("counts"));
    bridge.drop("broken", b"neither one nor the other");
    let all = listed(&mut bridge, 2);
    let [broken, fit] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&broken["component"], &fit["component"]), (&"broken".into(), &"fit".into()));
    let error = broken["error"].as_str().unwrap();
    assert!(error.contains("does not begin as WebAssembly"), "{error}");
    assert_eq!((&fit["kinds"][0], &fit["error"]), (&"balancer".into(), &Value::Null), "{fit}");
    assert_eq!(fit["path"], bridge.path("fit").to_str().unwrap());
    bridge.linkspan.wait_for_stderr("broken.wasm, unused, is refused");
    bridge.linkspan.wait_for_stderr("no plugin uses this component");
    let page = bridge.ask("/");
    assert!(page.contains("that no plugin uses") && page.contains("broken"), "{page}");

    bridge.rewrite(|toml| format!("{toml}\n[plugins.fit]\n"));
    let left = listed(&mut bridge, 1);
    assert_eq!((&left[0]["component"], &left[0]["since"]), (&"broken".into(), &broken["since"]));
    let said = bridge.linkspan.stderr();
    assert_eq!(said.matches("broken.wasm, unused").count(), 1, "it is told of once");
    bridge.killed_and_back(|_| {});
    listed(&mut bridge, 1);
    fs::remove_file(bridge.path("broken")).unwrap();
    listed(&mut bridge, 0);
}

#[test]
fn a_component_that_nothing_uses_holds_up_none_that_serves() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("bomb", &long(150));
    bridge.linkspan.wait_for_compiler();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    assert_eq!(bridge.order("/api/reload").0, 200);
    listed(&mut bridge, 0);
}
