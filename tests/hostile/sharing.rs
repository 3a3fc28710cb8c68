//! One instance for all workers.

use super::{BREAKS, LIMITS, ask, failures, misbehaving};
use crate::support::{Client, Origin, Proxy};

const WORKERS: &str = "[server]\nworkers = 4\n";

#[test]
fn a_shared_round_robin_is_exact_over_all_workers() {
    let origins = ["a", "b", "c"].map(Origin::replying);
    let endpoints = origins.each_ref().map(|origin| format!("'{}'", origin.address())).join(", ");
    let proxy = Proxy::start(&format!(
        "{WORKERS}[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = [{endpoints}]\nbalancer = 'turns'\n\
         [plugins.turns]\ncomponent = 'round-robin'\ninstances = 'shared'\n"
    ));
    let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    for turn in 0..48 {
        let answer = clients[turn % 8].get("/").text();
        assert_eq!(answer, ["a", "b", "c"][turn % 3], "turn {turn}");
    }
}

#[test]
fn a_shared_instance_that_breaks_is_replaced_for_all_workers() {
    let origin = Origin::replying("hello");
    let names = BREAKS.map(|(name, _)| name);
    let toml = misbehaving(&origin, "route", &names, &format!("instances = 'shared'\n{LIMITS}"));
    let proxy = Proxy::start_with(&format!("{WORKERS}{toml}"), &["misbehave"]);
    for (misdeed, cause) in BREAKS {
        let connect = |_| Client::connect(proxy.address(misdeed));
        let mut clients: Vec<_> = (0..8).map(connect).collect();
        assert_eq!(ask(&mut clients[0], misdeed).status(), 503);
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "hello", "after {misdeed}");
        }
        assert_eq!(failures(&proxy, misdeed, cause), 1);
    }
}

#[test]
fn a_shared_balancer_keeps_its_place_when_membership_changes() {
    let origins = ["a", "b", "c"].map(Origin::replying);
    let toml = |count: usize| {
        let endpoints = origins[..count].iter().map(|origin| format!("'{}'", origin.address()));
        format!(
            "{WORKERS}[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
             [clusters.main]\nendpoints = [{}]\nbalancer = 'turns'\n\
             [plugins.turns]\ncomponent = 'round-robin'\ninstances = 'shared'\n",
            endpoints.collect::<Vec<_>>().join(", ")
        )
    };
    let mut proxy = Proxy::start(&toml(2));
    assert_eq!(proxy.get("/").text(), "a");
    proxy.reload(&toml(3)).unwrap();
    let answers: Vec<_> = (0..6).map(|_| proxy.get("/").text()).collect();
    let mut sorted = answers.clone();
    sorted.sort();
    assert_eq!(sorted, ["a", "a", "b", "b", "c", "c"], "{answers:?}");
}
