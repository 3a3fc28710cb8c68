//! What is called beside a plugin, and never decides.

use std::fs;

use serde_json::Value;

use super::{Bridge, stamp, stamped};
use crate::support::memcached::{FakeMemcached, Say};
use crate::support::{Binary, Client, Origin, Proxy, eventually, one_cluster};

/// Has the component `others` called beside the plugin `one`.
const SHADOW: &str = "shadow = 'others'";

/// How the shadow compares when it has been asked about so many calls, or could not be.
fn compared(bridge: &mut Bridge, calls: u64) -> Value {
    eventually("the shadow", || {
        let told = bridge.told("one").get("shadow")?.clone();
        let count = |key: &str| told.get(key).and_then(Value::as_u64);
        (count("calls")? + count("missed")? >= calls).then_some(told)
    })
}

/// That so many calls were compared, and what came of them.
#[track_caller]
fn assert_compared(told: &Value, outcomes: [(&str, u64); 5]) {
    for (outcome, count) in outcomes {
        assert_eq!(told[outcome], count, "{outcome}: {told}");
    }
}

/// Requests that the version `a` has decided, and no other.
fn decided(client: &mut Client, requests: usize) {
    for _ in 0..requests {
        let answer = client.get("/");
        assert_eq!((answer.status(), stamp(&answer)), (200, "a".to_owned()));
    }
}

#[test]
fn a_shadow_is_compared_and_decides_nothing() {
    let mut bridge = Bridge::with(&format!("{SHADOW}\nlog-level = 'debug'"), "");
    let mut client = bridge.linkspan.connect();
    decided(&mut client, 10);
    let told = compared(&mut bridge, 20);
    let others = [("failed", 0), ("missed", 0), ("unanswered", 0)];
    let [failed, missed, unanswered] = others;
    assert_compared(&told, [("agreed", 0), ("differed", 20), failed, missed, unanswered]);
    assert!(told["mean_us"].is_number() && told["serving_mean_us"].is_number(), "{told}");
    assert!(told["since"].is_string() && told["candidate"].is_null(), "{told}");
    let said = "its shadow decides otherwise, by values that are not told";
    bridge.linkspan.wait_for_stderr(said);
    assert!(bridge.linkspan.stderr().contains("append x-a"), "{}", bridge.linkspan.stderr());

    // Another version of it, which is compared from nothing.
    bridge.drop("others", &stamped("a"));
    let digest = bridge.told("one")["digest"].clone();
    eventually("the same component", || {
        (bridge.told("one/shadow")["digest"] == digest).then_some(())
    });
    assert_eq!(bridge.told("one")["shadow"]["calls"], 0);
    decided(&mut client, 10);
    let told = compared(&mut bridge, 20);
    assert_compared(&told, [("agreed", 20), ("differed", 0), failed, missed, unanswered]);
    let mut count = |outcome| bridge.counted("linkspan_plugin_shadow_calls_total", "one", outcome);
    assert_eq!(["agreed", "differed", "failed"].map(&mut count), [20, 20, 0], "of all versions");
    let calls = ["one", "one/shadow"].map(|plugin| bridge.told(plugin)["calls"].clone());
    assert_eq!(calls, [40, 40], "each counted for itself");
}

#[test]
fn a_shadow_has_a_row_of_its_own() {
    let mut bridge = Bridge::with(SHADOW, "");
    let mut client = bridge.linkspan.connect();
    decided(&mut client, 5);
    compared(&mut bridge, 10);
    let told = bridge.told("one/shadow");
    assert_eq!((&told["shadow_of"], &told["component"]), (&"one".into(), &"others".into()));
    assert_eq!(told["used_by"][0], "plugins.one.shadow");
    assert_eq!(bridge.told("one")["shadow"]["plugin"], "one/shadow");
    assert_eq!(bridge.told("other")["shadow"], Value::Null);
    let page = bridge.ask("/");
    assert!(page.contains("beside one: of 10 calls 0 agree, 10 differ, 0 failed"), "{page}");
}

#[test]
fn a_shadow_that_traps_or_loops_disturbs_nobody() {
    for misdeed in ["?", "*"] {
        let mut bridge = Bridge::with(SHADOW, "");
        let mut client = bridge.linkspan.connect();
        bridge.drop("others", &stamped(misdeed));
        eventually("the shadow", || (bridge.candidates("one/shadow", "taken") == 1).then_some(()));
        eventually("that it is parked", || {
            decided(&mut client, 1);
            (bridge.told("one/shadow")["parked"] == 1).then_some(())
        });
        let before = bridge.told("one")["shadow"].clone();
        assert!(before["failed"].as_u64().unwrap() >= 5, "{before}");
        decided(&mut client, 5);
        eventually("calls that it misses", || {
            let told = bridge.told("one")["shadow"].clone();
            (told["missed"].as_u64() > before["missed"].as_u64()).then_some(())
        });
        let told = bridge.told("one");
        assert_eq!((&told["failures"], &told["parked"]), (&0.into(), &0.into()), "{told}");
        assert_eq!(told["busy"], 0, "{told}");
    }
}

#[test]
fn a_plugin_that_fails_is_not_compared() {
    let mut bridge = Bridge::with(&format!("{SHADOW}\non-failure = 'skip'"), "");
    let mut client = bridge.linkspan.connect();
    // Traps in each call about a request; those about a response are compared.
    bridge.drop("stamps", &stamped("?"));
    eventually("the version", || (bridge.candidates("one", "taken") == 1).then_some(()));
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
    }
    let count = |told: &Value, key: &str| told["shadow"][key].as_u64().unwrap();
    let told = eventually("the shadow", || {
        let told = bridge.told("one");
        (count(&told, "differed") + count(&told, "unanswered") == 6).then_some(told)
    });
    // Of the others, one may have found no instance yet in place of one that was lost.
    assert!(count(&told, "unanswered") >= 3 && count(&told, "differed") >= 1, "{told}");
    assert_eq!(["agreed", "failed", "missed"].map(|key| count(&told, key)), [0, 0, 0], "{told}");
}

#[test]
fn a_shadow_changes_neither_stores_nor_cells_nor_figures() {
    let origin = Origin::replying("nobody");
    let toml = format!(
        "{}[plugins.m]\ncomponent = 'meddles'\nshadow = 'meddles'\nconfig = {{ store = 's' }}\n\
         grants = {{ stores = ['s'] }}\n[stores.s]\ntype = 'memory'\n",
        one_cluster(&[origin.address()], "routers = ['m']", "")
    );
    let proxy = Proxy::start_with(&toml, &["meddles"]);
    let mut client = proxy.connect();
    let differed = [("plugin", "m"), ("outcome", "differed")];
    for turn in 1..=5 {
        let said = format!(
            "gone false, set done, deleted done, asked {turn}, cell {cell}",
            cell = turn - 1
        );
        assert_eq!(client.get("/").text(), said);
        eventually("the shadow", || {
            let count = proxy.counter("linkspan_plugin_shadow_calls_total", &differed);
            (count == turn).then_some(())
        });
    }
    for plugin in ["m", "m/shadow"] {
        let asked = [("plugin", plugin), ("name", "asked")];
        assert_eq!(proxy.counter("linkspan_plugin_events", &asked), 5, "{plugin}");
    }
}

#[test]
fn lines_of_a_shadow_say_whose_they_are() {
    let origin = Origin::replying("nobody");
    let toml = format!(
        "[log]\nformat = 'json'\n[server]\nplugin-dir = 'plugins.d'\n{}[plugins.m]\ncomponent = 'meddles'\nshadow = 'meddles'\n\
         config = {{ store = 's' }}\ngrants = {{ stores = ['s'] }}\n[stores.s]\ntype = 'memory'\n",
        one_cluster(&[origin.address()], "routers = ['m']", "")
    );
    let mut linkspan = Binary::with(&toml, &["meddles"], &["run"]);
    linkspan.connect().get("/");
    let line = eventually("what the shadow says", || {
        let stderr = linkspan.stderr();
        stderr.lines().find(|line| line.contains("denied")).map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["plugin"], "m/shadow", "{line}");
    let denied = "denied (Error::Other(\"a shadow writes to no store\"))";
    let said = line.to_string().replace("\\\"", "\"");
    assert_eq!(said.matches(denied).count(), 3, "{line}");
}

#[test]
fn copies_that_are_too_many_are_left_out() {
    // A store that never answers.
    let server = FakeMemcached::answering(|_| Say::This(Vec::new()));
    let origin = Origin::replying("main");
    let toml = format!(
        "{}{}[plugins.r]\ncomponent = 'forwards'\nshadow = 'waits'\n\
         config = {{ store = 'sites' }}\ngrants = {{ stores = ['sites'] }}\n",
        server.store("timeout = '30s'"),
        one_cluster(&[origin.address()], "routers = ['r']", "")
    );
    let proxy = Proxy::start_with(&toml, &["forwards", "waits"]);
    let mut client = proxy.connect();
    for _ in 0..100 {
        assert_eq!(client.get("/").text(), "main");
    }
    let count = |outcome| {
        let labels = [("plugin", "r"), ("outcome", outcome)];
        proxy.counter("linkspan_plugin_shadow_calls_total", &labels)
    };
    // Of the 64 that wait at a time, some may have waited for an instance in vain.
    eventually("those that are missed", || (count("missed") >= 36).then_some(()));
    assert_eq!(["agreed", "differed", "failed"].map(count), [0, 0, 0]);
}

#[test]
fn the_picks_of_a_balancer_are_compared() {
    let origins = ["a", "b"].map(Origin::replying);
    let toml = format!(
        "{}[plugins.b]\ncomponent = 'round-robin'\nshadow = 'first-alive'\n",
        one_cluster(&origins.each_ref().map(Origin::address), "", "balancer = 'b'")
    );
    let proxy = Proxy::start(&toml);
    let mut client = proxy.connect();
    let answers: Vec<_> = (0..10).map(|_| client.get("/").text()).collect();
    assert_eq!(answers.concat(), "ababababab");
    let count = |outcome| {
        let labels = [("plugin", "b"), ("outcome", outcome)];
        proxy.counter("linkspan_plugin_shadow_calls_total", &labels)
    };
    eventually("the shadow", || (count("agreed") + count("differed") == 10).then_some(()));
    assert_eq!((count("agreed"), count("differed")), (5, 5));
}

#[test]
fn a_shadow_whose_component_is_gone_or_refused_goes_on() {
    let mut bridge = Bridge::with(SHADOW, "");
    let mut client = bridge.linkspan.connect();
    let digest = bridge.told("one/shadow")["digest"].clone();
    fs::remove_file(bridge.path("others")).unwrap();
    let refused = |bridge: &mut Bridge, reason: &str| {
        eventually("the refusal", || {
            let told = bridge.told("one")["shadow"]["candidate"]["reason"].clone();
            told.as_str().is_some_and(|told| told.contains(reason)).then_some(())
        });
    };
    refused(&mut bridge, "\"others\"");
    bridge.drop("others", b"broken");
    refused(&mut bridge, "does not begin as WebAssembly");
    assert_eq!(bridge.told("one")["candidate"], Value::Null, "it is not the plugin's");
    assert_eq!(bridge.told("one/shadow")["digest"], digest);
    decided(&mut client, 5);
    let told = compared(&mut bridge, 10);
    assert_eq!(told["differed"], 10, "{told}");
    // Nor does a restart lose it.
    bridge.killed_and_back(|_| {});
    let told = bridge.told("one/shadow");
    assert_eq!((&told["source"], &told["digest"]), (&"copy".into(), &digest));
    refused(&mut bridge, "does not begin as WebAssembly");
    decided(&mut bridge.linkspan.connect(), 5);
    assert_eq!(compared(&mut bridge, 10)["differed"], 10);
}

#[test]
fn a_shadow_comes_and_goes_with_the_configuration() {
    let mut bridge = Bridge::new();
    let mut client = bridge.linkspan.connect();
    let toml = fs::read_to_string(bridge.linkspan.file()).unwrap();
    let since = bridge.told("one")["since"].clone();
    let with = |shadow: &str| {
        let keys = format!("component = 'stamps'\n{shadow}");
        toml.replace("component = 'stamps'", &keys)
    };
    // One that cannot be had keeps nothing from being taken.
    fs::write(bridge.linkspan.file(), with("shadow = 'late'\nlog-level = 'warn'")).unwrap();
    bridge.linkspan.wait_for_stderr("nothing takes its place");
    let told = bridge.told("one")["shadow"].clone();
    assert!(told["since"].is_null() && told["candidate"].is_object(), "{told}");
    assert!(bridge.ask("/").contains("its shadow is refused"));
    decided(&mut client, 5);
    assert_eq!(bridge.told("one")["shadow"]["calls"], 0);

    bridge.drop("late", &stamped("l"));
    eventually("the shadow", || bridge.told("one")["shadow"]["since"].is_string().then_some(()));
    decided(&mut client, 5);
    assert_eq!(compared(&mut bridge, 10)["differed"], 10);

    fs::write(bridge.linkspan.file(), &toml).unwrap();
    eventually("its end", || bridge.told("one")["shadow"].is_null().then_some(()));
    let all: Value = serde_json::from_str(&bridge.ask("/api/plugins")).unwrap();
    assert!(!all.to_string().contains("one/shadow"), "{all}");
    decided(&mut client, 5);
    assert_eq!(bridge.told("one")["since"], since, "the plugin is what it was");
}

#[test]
fn a_shadow_that_cannot_be_had_is_a_fault_of_the_file() {
    let check = |keys: &str| {
        let toml = format!(
            "{}[plugins.h]\ncomponent = 'headers'\n{keys}\n",
            one_cluster(&[], "rewriters = ['h']", "")
        );
        let mut linkspan = Binary::with(&toml, &[], &["check"]);
        (linkspan.wait().success(), linkspan.stderr())
    };
    let (fit, told) = check("shadow = 'rewrite'");
    assert!(fit, "{told}");
    for (keys, said) in [
        ("shadow = 'rewrit'", "there is no component `rewrit`"),
        ("shadow = 'round-robin'", "is used as a rewriter, and is a balancer"),
        ("shadow = '../headers'", "cannot be a component"),
        ("shadow = 'rewrite'\n[plugins.'h/shadow']\ncomponent = 'headers'", "name of its shadow"),
    ] {
        let (fit, told) = check(keys);
        assert!(!fit && told.contains(said), "{keys}: {told}");
        assert_eq!(told.matches("error: ").count(), 1, "{keys}: {told}");
    }
}
