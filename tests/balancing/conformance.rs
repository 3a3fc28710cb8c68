//! The compiled balancers do what their Rust does: the same vectors, the same promises.

use std::collections::BTreeSet;

use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::EndpointState;
use linkspan_plugin_balancing::testing::{self, Script, Subject, endpoints, vectors};
use serde_json::{Map, Value};

use super::engine::Engine;

/// Every balancer that the program carries.
const BALANCERS: [&str; 18] = [
    "by-busyness",
    "by-requests",
    "by-traffic",
    "carp",
    "first-alive",
    "heartbeat",
    "least-connections",
    "lighttpd-hash",
    "maglev",
    "naive",
    "p2c",
    "random",
    "ring-hash",
    "round-robin",
    "source-hash",
    "sqf",
    "static",
    "sticky",
];

fn no_config() -> Map<String, Value> {
    Map::new()
}

#[test]
fn compiled_balancers_follow_their_vectors() {
    let engine = Engine::start();
    let mut played = BTreeSet::new();
    for vector in vectors::all() {
        testing::play(&vector, &mut engine.balancer(&vector.balancer, &vector.config));
        played.insert(vector.balancer);
    }
    assert_eq!(played, BALANCERS.map(str::to_owned).into());
}

#[test]
fn compiled_balancers_keep_the_promises_of_all() {
    let engine = Engine::start();
    for name in BALANCERS.into_iter().filter(|name| *name != "sticky") {
        println!("{name}");
        let mut balancer = engine.balancer(name, &no_config());
        testing::keeps_promises(&mut balancer, &Script::default(), true);
    }
}

#[test]
fn compiled_balancers_draw_evenly() {
    let (engine, script) = (Engine::start(), Script::default());
    for name in ["random", "p2c", "maglev", "ring-hash", "carp"] {
        let mut balancer = engine.balancer(name, &no_config());
        let list = endpoints(8);
        script.list(&list);
        balancer.update(list, &script);
        let shares = testing::shares(&mut balancer, &script, 8, 4_000);
        assert!(shares.iter().all(|share| (250..=1_000).contains(share)), "{name}: {shares:?}");
        assert_eq!(shares.iter().sum::<usize>(), 4_000, "{name}");
    }
}

#[test]
fn every_name_of_a_balancer_has_a_component() {
    let mut known = BTreeSet::from(linkspan::config::BALANCERS);
    assert!(known.remove("locking-round-robin"), "round-robin, shared");
    assert_eq!(known, BALANCERS.into());
}

#[test]
fn one_of_ten_thousand_changes_within_the_deadline() {
    let (engine, script) = (Engine::start(), Script::default());
    for name in ["carp", "ring-hash", "maglev", "by-requests", "by-traffic"] {
        let mut balancer = engine.balancer(name, &no_config());
        let list = endpoints(10_000);
        script.list(&list);
        balancer.update(list, &script);
        assert!(testing::pick(&mut balancer, &script).is_some(), "{name}");
        let states = (1..=5).map(|step| EndpointState { weight: step * 10, ..testing::OPEN });
        for state in [EndpointState { usable: false, ..testing::OPEN }].into_iter().chain(states) {
            balancer.change(vec![(5, state)], &script);
            assert!(testing::pick(&mut balancer, &script).is_some(), "{name}");
        }
    }
}
