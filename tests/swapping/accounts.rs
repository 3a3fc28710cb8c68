//! What a plugin is told to use, over all its versions.

use super::{Bridge, stamped};
use crate::support::eventually;

#[test]
fn what_versions_had_is_given_back_when_they_go() {
    let mut bridge = Bridge::new();
    let before = bridge.told("one");
    let used = |told: &serde_json::Value, key: &str| told[key].as_u64().unwrap();
    let (instances, memory) = (used(&before, "live_instances"), used(&before, "memory_bytes"));
    assert!(instances >= 1 && memory >= instances << 16, "{before}");
    for version in ["b", "c", "d"] {
        bridge.drop("stamps", &stamped(version));
        let mut client = bridge.linkspan.connect();
        eventually("the version", || {
            // Each worker lets go of the one before when it is asked.
            (super::stamp(&client.get("/")) == version).then_some(())
        });
    }
    let after = eventually("the instances before to go", || {
        bridge.linkspan.connect().get("/");
        let told = bridge.told("one");
        (used(&told, "live_instances") == instances).then_some(told)
    });
    assert_eq!(used(&after, "memory_bytes"), memory);
    assert!(used(&after, "memory_peak_bytes") >= 2 * memory, "two versions at a time: {after}");
    assert!(after["p50_us"].as_f64() <= after["p99_us"].as_f64(), "{after}");

    let version = after["version"].as_str().unwrap().to_owned();
    let metrics = bridge.ask("/metrics");
    let serving = format!(
        "linkspan_plugin_version_start_timestamp_seconds{{plugin=\"one\",version=\"{version}\"}} "
    );
    let since = metrics.lines().find_map(|line| line.strip_prefix(&serving)).unwrap();
    assert!(since.parse::<u64>().unwrap() > 1_700_000_000, "{since}");
    for (name, value) in [("instances", instances), ("memory_bytes", memory)] {
        let line = format!("linkspan_plugin_{name}{{plugin=\"one\"}} {value}");
        assert!(metrics.lines().any(|told| told == line), "{line}");
    }
    let page = bridge.ask("/");
    assert!(page.contains("Instances") && page.contains("at most"), "{page}");
}

#[test]
fn a_parked_version_that_another_replaces_is_parked_no_more() {
    let mut bridge = Bridge::with("on-failure = 'skip'", "");
    let mut client = bridge.linkspan.connect();
    let parked = |bridge: &mut Bridge, number: u32| {
        let line = format!("linkspan_plugin_parked{{plugin=\"one\"}} {number}");
        bridge.ask("/metrics").lines().any(|told| told == line)
    };
    // Traps when it is called.
    bridge.drop("stamps", &stamped("?"));
    eventually("the parking", || {
        assert_eq!(client.get("/").status(), 200);
        parked(&mut bridge, 1).then_some(())
    });
    bridge.drop("stamps", &stamped("b"));
    eventually("the next version", || {
        let answered = client.get("/").value("x-answered").map(str::to_owned);
        answered.is_some_and(|version| version.starts_with("b-")).then_some(())
    });
    assert!(parked(&mut bridge, 0), "{}", bridge.ask("/metrics"));
}
