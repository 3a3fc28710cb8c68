//! `require-digest`: the components that may serve at all.

use std::fs;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Bridge, stamp, stamped};
use crate::support::{Binary, eventually, one_cluster};

/// The SHA-256 of a component.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn only_what_is_listed_serves() {
    let listed = ["a", "o", "b"].map(|version| digest(&stamped(version)));
    let mut bridge = Bridge::of(&format!("require-digest = {listed:?}"), "", "");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("c"));
    let told = eventually("the refusal", || {
        let told = bridge.told("one")["candidate"].clone();
        told.is_object().then_some(told)
    });
    let reason = told["reason"].as_str().unwrap();
    let digest = told["digest"].as_str().unwrap();
    assert!(reason.contains("server.require-digest") && reason.contains(digest), "{reason}");
    assert_eq!(stamp(&client.get("/")), "a");

    bridge.drop("stamps", &stamped("b"));
    eventually("the listed one", || (stamp(&client.get("/")) == "b").then_some(()));
    assert_eq!(bridge.told("one")["candidate"], Value::Null);

    // Nor does it by a list that has become shorter.
    let toml = fs::read_to_string(bridge.linkspan.file()).unwrap();
    let shorter = toml.replace(bridge.told("one")["digest"].as_str().unwrap(), &"0".repeat(64));
    fs::write(bridge.linkspan.file(), shorter).unwrap();
    let (status, text) = bridge.order("/api/reload");
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("server.require-digest"), "{text}");
    assert_eq!(stamp(&client.get("/")), "b");
}

/// Has the list named another component in place of one.
fn unlist(bridge: &Bridge, version: &str) {
    bridge.rewrite(|toml| toml.replace(&digest(&stamped(version)), &"0".repeat(64)));
    let (status, text) = bridge.order("/api/reload");
    assert_eq!(status, 200, "{text}");
}

#[test]
fn a_version_before_that_is_not_listed_any_more_does_not_come_back() {
    let listed = ["a", "o", "b"].map(|version| digest(&stamped(version)));
    let mut bridge = Bridge::of(&format!("require-digest = {listed:?}"), "", "");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    unlist(&bridge, "a");
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("server.require-digest"), "{text}");
    assert_eq!(stamp(&client.get("/")), "b");
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_version_on_trial_that_is_not_listed_any_more_gets_no_request() {
    let listed = ["a", "o", "b"].map(|version| digest(&stamped(version)));
    let canary = "[plugins.one.canary]\nshare = '100%'\nfor = '1h'";
    let mut bridge = Bridge::of(&format!("require-digest = {listed:?}"), "", canary);
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the trial", || (stamp(&client.get("/")) == "b").then_some(()));
    unlist(&bridge, "b");
    assert_eq!(stamp(&client.get("/")), "a");
    let told = bridge.told("one");
    assert_eq!(told["trial"], Value::Null);
    assert!(told["candidate"]["reason"].as_str().unwrap().contains("server.require-digest"));
}

#[test]
fn a_check_names_what_is_not_listed_and_built_in_components_need_not_be() {
    let nowhere = ["127.0.0.1:1".parse().unwrap()];
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\nrequire-digest = ['{}']\n{}",
        "0".repeat(64),
        one_cluster(&nowhere, "rewriters = ['stamps']", "balancer = 'round-robin'")
    );
    let mut check = Binary::with(&toml, &["stamps"], &["check"]);
    assert_eq!(check.wait().code(), Some(1));
    let said = check.stderr();
    assert!(said.contains("`stamps` is refused: its SHA-256, "), "{said}");
    assert!(!said.contains("round-robin"), "{said}");
    let mut list = Binary::with(&toml, &["stamps"], &["plugins", "--json"]);
    assert_eq!(list.wait().code(), Some(1));
    let told: Value = serde_json::from_str(&list.stdout()).unwrap();
    let error = |name| {
        told.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap()["error"]
            .clone()
    };
    assert!(error("stamps").as_str().unwrap().contains("server.require-digest"), "{told}");
    assert_eq!(error("round-robin"), Value::Null);
}
