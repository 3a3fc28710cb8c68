//! Versions that are tried with a share of the requests, and the way back to the version before.

use std::fs;

use serde_json::Value;

use super::{Bridge, stamp, stamped};
use crate::support::{Client, eventually};

/// The versions that so many requests see, each by one of them from its head to its response.
fn seen(client: &mut Client, requests: usize) -> Vec<String> {
    let mut seen: Vec<_> = (0..requests).map(|_| stamp(&client.get("/"))).collect();
    seen.sort();
    seen.dedup();
    seen
}

/// How a trial begins.
fn trial(bridge: &mut Bridge, version: &str) -> Value {
    bridge.drop("stamps", &stamped(version));
    eventually("the trial", || {
        bridge.told("one").get("trial").filter(|trial| trial.is_object()).cloned()
    })
}

#[test]
fn a_version_on_trial_gets_its_share() {
    let mut bridge = Bridge::with("", "[plugins.one.canary]\nshare = '25%'\nfor = '1h'");
    let mut client = bridge.linkspan.connect();
    let told = trial(&mut bridge, "b");
    assert_eq!((&told["share"], &told["failures"]), (&25.0.into(), &0.into()));
    let tried = (0..600).filter(|_| stamp(&client.get("/")) == "b").count();
    assert!((90..210).contains(&tried), "{tried} of 600");
    let told = bridge.told("one")["trial"].clone();
    assert_eq!(told["calls"], 2 * tried, "each request is asked about, and its response");
    assert!(told["mean_us"].is_number() && told["serving_mean_us"].is_number(), "{told}");
    assert_eq!((bridge.candidates("one", "tried"), bridge.candidates("one", "taken")), (1, 0));
}

#[test]
fn a_version_takes_the_place_when_its_trial_is_over() {
    let mut bridge = Bridge::with("", "[plugins.one.canary]\nshare = '50%'\nfor = '500ms'");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("its end", || {
        // Nobody else asks it, and it is not taken unasked.
        seen(&mut client, 20);
        (bridge.candidates("one", "taken") == 1).then_some(())
    });
    assert_eq!(seen(&mut client, 50), ["b"]);
    assert_eq!(bridge.told("one")["trial"], Value::Null);
    bridge.linkspan.wait_for_stderr("plugin swapped, after its trial");
}

#[test]
fn a_version_that_fails_is_withdrawn_at_once_and_not_tried_again() {
    let mut bridge =
        Bridge::with("on-failure = 'skip'", "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    let mut client = bridge.linkspan.connect();
    // Traps when it is called.
    bridge.drop("stamps", &stamped("?"));
    let mut asked = 0;
    eventually("the verdict", || {
        asked += 1;
        assert_eq!(client.get("/").status(), 200);
        bridge.told("one")["candidate"].is_object().then_some(())
    });
    let reason = bridge.told("one")["candidate"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("max-failures = 0") && reason.contains("calls failed"), "{reason}");
    assert_eq!(seen(&mut client, 50), ["a"]);
    assert_eq!(bridge.candidates("one", "withdrawn"), 1);
    // Neither because something else changes, nor because the configuration is taken again.
    bridge.drop("others", &stamped("p"));
    eventually("the other", || (bridge.candidates("other", "taken") == 1).then_some(()));
    bridge.reload();
    assert_eq!(bridge.told("one")["trial"], Value::Null);
    assert_eq!(seen(&mut client, 50), ["a"]);
    trial(&mut bridge, "c");
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_version_on_trial_is_judged_on_after_a_configuration_that_is_refused() {
    let mut bridge =
        Bridge::with("on-failure = 'skip'", "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    // Traps when it is called, which nobody does yet.
    trial(&mut bridge, "?");
    let file = bridge.linkspan.file();
    let more = fs::read_to_string(&file).unwrap() + "\n[plugins.two]\ncomponent = 'nowhere'\n";
    fs::write(&file, more).unwrap();
    let (status, text) = bridge.order("/api/reload");
    assert_eq!(status, 422, "{text}");
    let mut client = bridge.linkspan.connect();
    eventually("the verdict", || {
        assert_eq!(client.get("/").status(), 200);
        bridge.told("one")["candidate"].is_object().then_some(())
    });
    assert_eq!(bridge.candidates("one", "withdrawn"), 1);
}

#[test]
fn a_version_that_costs_too_much_is_withdrawn() {
    let canary = "[plugins.one.canary]\nshare = '50%'\nfor = '8s'\nmax-cost = '200%'";
    let mut bridge = Bridge::with("", canary);
    let mut client = bridge.linkspan.connect();
    // Takes its time.
    bridge.drop("stamps", &stamped("%"));
    eventually("the verdict", || {
        (0..50).for_each(|_| drop(client.get("/")));
        bridge.told("one")["candidate"].is_object().then_some(())
    });
    let told = bridge.told("one");
    let reason = told["candidate"]["reason"].as_str().unwrap();
    assert!(reason.contains("max-cost = \"200%\""), "{reason}");
    assert_eq!(seen(&mut client, 50), ["a"]);
}

#[test]
fn a_trial_goes_on_under_a_configuration_that_leaves_it_and_ends_with_its_file() {
    let canary = "[plugins.one.canary]\nshare = '50%'\nfor = '1h'";
    let mut bridge = Bridge::with("", canary);
    let mut client = bridge.linkspan.connect();
    let told = trial(&mut bridge, "b");
    bridge.reload();
    assert_eq!(bridge.told("one")["trial"]["since"], told["since"]);
    assert_eq!(seen(&mut client, 50), ["a", "b"]);
    bridge.drop("stamps", &stamped("a"));
    eventually("its end", || bridge.told("one")["trial"].is_null().then_some(()));
    assert_eq!(seen(&mut client, 50), ["a"]);
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn an_administrator_goes_back_to_the_version_before() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 409);
    assert!(text.contains("there is no version before"), "{text}");
    let (status, text) = bridge.order("/api/plugins/none/rollback");
    assert_eq!((status, text.contains("there is no plugin")), (404, true), "{text}");

    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    let (status, text) = bridge.order("/api/plugins/one/rollback");
    assert_eq!(status, 200, "{text}");
    assert_eq!(stamp(&client.get("/")), "a", "at once");
    let reason = bridge.told("one")["candidate"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("rolled back"), "{reason}");
    assert_eq!(bridge.candidates("one", "withdrawn"), 1);
    // Its file still holds what was left behind.
    bridge.reload();
    assert_eq!(stamp(&client.get("/")), "a");
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 409);
    bridge.drop("stamps", &stamped("c"));
    eventually("the next version", || (stamp(&client.get("/")) == "c").then_some(()));
    assert_eq!(bridge.told("one")["candidate"], Value::Null);
}

#[test]
fn a_version_that_was_gone_back_to_is_not_said_to_be_in_the_file() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    let [one, path] = ["digest", "path"].map(|key| bridge.told("one")[key].clone());
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    assert_eq!(bridge.told("one")["path"], path);
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    let told = bridge.told("one");
    assert_eq!((&told["digest"], &told["source"]), (&one, &"copy".into()), "{told}");
    assert_eq!(told["path"], Value::Null);
    bridge.drop("stamps", &stamped("a"));
    eventually("its file", || (bridge.told("one")["path"] == path).then_some(()));
}

#[test]
fn an_administrator_ends_a_trial() {
    let mut bridge = Bridge::with("", "[plugins.one.canary]\nshare = '50%'\nfor = '1h'");
    let mut client = bridge.linkspan.connect();
    trial(&mut bridge, "b");
    assert_eq!(bridge.order("/api/plugins/one/rollback").0, 200);
    assert_eq!(seen(&mut client, 50), ["a"]);
    let reason = bridge.told("one")["candidate"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("withdrawn: by hand"), "{reason}");
}

#[test]
fn only_who_has_the_token_rolls_back() {
    let bridge = Bridge::new();
    let path = "/api/plugins/one/rollback";
    let mut admin = Client::connect(bridge.admin);
    assert_eq!(admin.ask("POST", path, &[("host", "localhost")], b"").status(), 401);
    let answer = Client::connect(bridge.admin).ask("GET", path, &TOKEN, b"");
    assert_eq!((answer.status(), answer.value("allow")), (405, Some("POST")));
}

/// What orders come with.
pub(super) const TOKEN: [(&str, &str); 2] =
    [("host", "localhost"), ("authorization", "Bearer secret-of-the-bridge")];

impl Bridge {
    /// Asks for a change.
    pub(super) fn order(&self, path: &str) -> (u16, String) {
        let answer = Client::connect(self.admin).ask("POST", path, &TOKEN, b"");
        (answer.status(), answer.text())
    }

    fn reload(&self) {
        let (status, text) = self.order("/api/reload");
        assert_eq!(status, 200, "{text}");
    }
}
