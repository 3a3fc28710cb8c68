//! Vectors, shares, and what becomes of old answers.

use super::*;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::Endpoint;
use linkspan_plugin_balancing::testing::script::Report;
use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

fn report(ready: u64, busy: u64, age: u64) -> Report {
    ([("ready".to_owned(), ready), ("busy".to_owned(), busy)].into(), age)
}

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<Heartbeat>("heartbeat");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<Heartbeat>("{}", true);
}

#[test]
fn shares_are_those_of_the_open_slots_times_the_weights() {
    let script = Script::default();
    let mut list: Vec<Endpoint> = endpoints(4);
    list[1].state.weight = 200;
    for (id, ready, busy) in [(0, 20, 5), (1, 10, 1), (2, 40, 0), (3, 0, 9)] {
        script.set_report(id, report(ready, busy, 0));
    }
    let mut balancer = instance::<Heartbeat>("{}", list, &script);
    let shares = testing::shares(&mut balancer, &script, 4, 50_000);
    // 20, 10 times 2, a quarter of 40, none. Five times the standard deviation is 550 at most.
    for (share, expected) in shares.iter().zip([20_000, 20_000, 10_000, 0_usize]) {
        assert!(share.abs_diff(expected) < 550, "{shares:?}");
    }
    assert_eq!(shares[3], 0);
}

#[test]
fn what_was_looked_at_counts_for_a_tenth_of_a_second() {
    let script = Script::default();
    script.set_report(0, report(5, 1, 0));
    let mut balancer = instance::<Heartbeat>("{}", endpoints(2), &script);
    assert_eq!(pick(&mut balancer, &script), Some(0));
    script.set_report(0, report(0, 5, 0));
    script.set_report(1, report(5, 1, 0));
    script.set_now(LOOK - 1);
    assert_eq!(pick(&mut balancer, &script), Some(0));
    script.set_now(LOOK);
    assert_eq!(pick(&mut balancer, &script), Some(1));
}

#[test]
fn any_numbers_are_survived() {
    let script = Script::default();
    for id in 0..3 {
        script.set_report(id, report(u64::MAX, u64::MAX, 0));
    }
    let mut balancer = instance::<Heartbeat>("{}", endpoints(3), &script);
    assert!(pick(&mut balancer, &script).is_some());
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    let error = |config: &str| Heartbeat::configure(config).err().unwrap();
    for wrong in ["10", "s", "", "1.5s", "0s", "-1s", "+1s", "5d", "99999999999999999999s"] {
        let said = error(&format!("{{\"max-age\":\"{wrong}\"}}"));
        assert!(said.starts_with(&format!("max-age: {wrong:?} is no time, expected")), "{said}");
    }
    assert_eq!(error("{\"ready\":1}"), "ready: this is an integer, expected a string");
    assert!(error("{\"idle\":\"x\"}").starts_with("idle: unknown key"));
    let age = |text: &str| Age::try_from(text.to_owned()).unwrap().0;
    assert_eq!([age("250ms"), age("2m"), age("1h")], [250, 120_000, 3_600_000]);
}
