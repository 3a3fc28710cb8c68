//! Configurations that are taken while other bytes are in the plugin directory: those that were
//! withdrawn, those that are on trial, and such that have just come.

use std::fs;

use linkspan::commands::BUILT_IN;
use serde_json::Value;

use super::{Bridge, stamp, stamped, stamped_as};
use crate::support::{Client, eventually, plugin};

const CANARY: &str = "[plugins.one.canary]\nshare = '50%'\nfor = '1h'";

/// The versions that many requests see.
fn seen(client: &mut Client) -> Vec<String> {
    let mut seen: Vec<_> = (0..60).map(|_| stamp(&client.get("/"))).collect();
    seen.sort();
    seen.dedup();
    seen
}

impl Bridge {
    /// Has another configuration taken.
    #[track_caller]
    fn configure(&self, change: impl Fn(&str) -> String) {
        self.rewrite(change);
        let (status, text) = self.order("/api/reload");
        assert_eq!(status, 200, "{text}");
    }
}

/// Gives the plugin `one` other limits.
fn limited(toml: &str) -> String {
    toml.replace("[plugins.one]", "[plugins.one]\nlimits = { memory = '32MiB' }")
}

#[test]
fn a_version_that_was_withdrawn_does_not_serve_after_a_reload_that_changes_its_limits() {
    let mut bridge = Bridge::with("on-failure = 'skip'", CANARY);
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("?"));
    eventually("the verdict", || {
        assert_eq!(client.get("/").status(), 200);
        (bridge.candidates("one", "withdrawn") == 1).then_some(())
    });
    bridge.configure(limited);
    assert_eq!(seen(&mut client), ["a"]);
    assert!(bridge.told("one")["candidate"].is_object());
    // Nor without a canary.
    bridge
        .configure(|toml| toml.replace("share = '50%'", "share = '0%'").replace("32MiB", "33MiB"));
    assert_eq!(seen(&mut client), ["a"]);
    assert!(bridge.told("one")["candidate"].is_object());
}

#[test]
fn a_version_that_was_rolled_back_does_not_serve_after_a_reload_that_adds_a_use() {
    let mut bridge = Bridge::new();
    bridge.drop("round-robin", plugin("counts"));
    eventually("the swap", || (bridge.candidates("round-robin", "taken") == 1).then_some(()));
    assert_eq!(bridge.order("/api/plugins/round-robin/rollback").0, 200);
    bridge.configure(|toml| format!("{toml}\n[clusters.more]\nendpoints = ['127.0.0.1:1']\n"));
    let told = bridge.told("round-robin");
    assert_eq!(told["source"], "built-in", "{told}");
    assert!(told["candidate"]["reason"].as_str().unwrap().contains("rolled back"), "{told}");
}

#[test]
fn a_version_on_trial_does_not_serve_all_after_a_reload_that_changes_its_limits() {
    let mut bridge = Bridge::with("", CANARY);
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the trial", || bridge.told("one")["trial"].is_object().then_some(()));
    bridge.configure(limited);
    assert!(bridge.told("one")["trial"].is_object());
    assert_eq!(seen(&mut client), ["a", "b"]);
}

#[test]
fn a_trial_goes_on_with_the_share_that_a_reload_gives_it() {
    let mut bridge = Bridge::with("", CANARY);
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    let told = eventually("the trial", || {
        Some(bridge.told("one")["trial"].clone()).filter(Value::is_object)
    });
    bridge.configure(|toml| toml.replace("share = '50%'", "share = '100%'"));
    assert_eq!(seen(&mut client), ["b"]);
    let now = bridge.told("one")["trial"].clone();
    assert_eq!((&now["share"], &now["since"]), (&100.0.into(), &told["since"]));
}

#[test]
fn bytes_that_a_reload_meets_can_be_gone_back_from_and_are_counted() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    // Before anybody has looked at the file.
    bridge.configure(str::to_owned);
    assert_eq!(stamp(&client.get("/")), "b");
    assert_eq!(bridge.candidates("one", "taken"), 1);
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(stamp(&client.get("/")), "a");
}

#[test]
fn bytes_that_come_with_a_configuration_for_them_can_be_gone_back_from() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    bridge.configure(limited);
    assert_eq!(stamp(&client.get("/")), "b");
    assert_eq!(bridge.candidates("one", "taken"), 1);
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(stamp(&client.get("/")), "a");
}

#[test]
fn a_file_that_is_broken_keeps_no_configuration_from_being_taken_that_leaves_its_plugin() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", b"broken");
    bridge.configure(|toml| format!("{toml}\n[clusters.more]\nendpoints = []\n"));
    assert!(bridge.ask("/api/clusters").contains("\"more\""));
    assert_eq!(stamp(&client.get("/")), "a");
    assert_eq!(bridge.candidates("one", "refused"), 1);
    // What another configuration makes of it, it has to be fit for.
    bridge.rewrite(limited);
    assert_eq!(bridge.order("/api/reload").0, 422);
    assert_eq!(stamp(&client.get("/")), "a");
}

#[test]
fn a_rollback_comes_back_under_the_configuration_of_the_moment() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    bridge.configure(limited);
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(stamp(&client.get("/")), "a");
    // Its file still has what was left.
    bridge.configure(|toml| toml.replace("32MiB", "33MiB"));
    assert_eq!(stamp(&client.get("/")), "a");
    let toml = fs::read_to_string(bridge.linkspan.file()).unwrap();
    assert!(toml.contains("33MiB"));
}

/// A component, built in or a guest, with a section that says which version it is.
fn component(name: &str, version: &str) -> Vec<u8> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    let length = u8::try_from(version.len()).unwrap();
    let section = [&[0, length + 1, length], version.as_bytes()].concat();
    [built_in.unwrap_or_else(|| plugin(name)), &section].concat()
}

#[test]
fn a_version_before_that_refuses_its_configuration_by_now_does_not_come_back() {
    let mut bridge = Bridge::new();
    bridge.drop("rules", &component("regex-match", "one."));
    bridge.configure(|toml| {
        format!(
            "{toml}\n[plugins.rules]\nconfig = {{ rules = [ {{ match = ['a'], cluster = 'gone' }} ] }}\n\
             [clusters.gone]\nendpoints = []\n"
        )
    });
    // Does not care which clusters there are.
    bridge.drop("rules", &stamped_as("hands-over", "b"));
    eventually("the swap", || (bridge.candidates("rules", "taken") == 1).then_some(()));
    let digest = bridge.told("rules")["digest"].clone();
    bridge.configure(|toml| toml.replace("[clusters.gone]", "[clusters.come]"));
    let (status, text) = bridge.order("/api/plugins/rules/rollback");
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("refused by now") && text.contains("gone"), "{text}");
    assert_eq!(bridge.told("rules")["digest"], digest);
}

#[test]
fn a_version_that_comes_back_asks_the_stores_of_the_moment() {
    let mut bridge = Bridge::new();
    bridge.drop("waits", &component("waits", "one."));
    bridge.configure(|toml| {
        format!(
            "{toml}\n[listeners.asks]\nbind = '127.0.0.1:0'\nrouters = ['waits']\n\
             [plugins.waits]\nconfig = {{ store = 'sites' }}\ngrants = {{ stores = ['sites'] }}\n\
             [stores.sites]\ntype = 'memory'\nentries = {{ '/old' = 'main' }}\n"
        )
    });
    let mut client = Client::connect(bridge.linkspan.address("asks"));
    let mut known = |path| client.get(path).status() == 200;
    assert!(known("/old") && !known("/new"));
    bridge.drop("waits", &component("waits", "two."));
    eventually("the swap", || (bridge.candidates("waits", "taken") == 1).then_some(()));
    bridge.configure(|toml| toml.replace("'/old'", "'/new'"));
    assert!(known("/new") && !known("/old"));
    let (status, text) = bridge.order("/api/plugins/waits/rollback");
    assert_eq!(status, 200, "{text}");
    assert!(known("/new") && !known("/old"));
}
