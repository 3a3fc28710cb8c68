//! Vectors, shares under load, and latency.

use super::*;
use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<P2c>("p2c");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<P2c>("{}", true);
    testing::check_promises::<P2c>(r#"{"latency":true}"#, true);
}

#[test]
fn idle_endpoints_share_by_weight() {
    let script = Script::default();
    let mut even = instance::<P2c>("{}", endpoints(5), &script);
    let shares = testing::shares(&mut even, &script, 5, 50_000);
    // Five times the standard deviation, which is 89.
    assert!(shares.iter().all(|share| share.abs_diff(10_000) < 445), "{shares:?}");

    let mut list = endpoints(2);
    list[0].state.weight = 300;
    let mut weighted = instance::<P2c>("{}", list, &script);
    let shares = testing::shares(&mut weighted, &script, 2, 40_000);
    assert!(shares[0].abs_diff(30_000) < 450, "{shares:?}");
}

#[test]
fn queues_stay_short() {
    let script = Script::default();
    let mut balancer = instance::<P2c>("{}", endpoints(100), &script);
    let mut queues = [0_u32; 100];
    for _ in 0..10_000 {
        let place = pick(&mut balancer, &script).unwrap();
        queues[place as usize] += 1;
        script.set_in_flight(place, queues[place as usize]);
    }
    // By chance alone the longest would be some 125.
    assert!(queues.iter().all(|queue| (95..=105).contains(queue)), "{queues:?}");
}

#[test]
fn who_answers_late_gets_less() {
    let script = Script::default();
    let mut balancer = instance::<P2c>(r#"{"latency":true}"#, endpoints(2), &script);
    let picks = |balancer: &mut _| -> Vec<_> { (0..20).map(|_| pick(balancer, &script)).collect() };
    script.set_latency(0, 1_000_000);
    script.set_latency(1, 5_000_000);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(0)));
    script.set_in_flight(0, 5);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(1)), "six wait longer than one");
    script.set_in_flight(0, 0);

    // A peak counts at once, and is forgotten slowly.
    script.set_latency(0, 60_000_000);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(1)));
    script.set_latency(0, 1_000_000);
    script.set_now(5_000_000_000);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(1)));
    script.set_now(60_000_000_000);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(0)));

    // Nothing is known of it: one request finds out.
    script.set_latency(1, 0);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(1)));
    script.set_in_flight(1, 1);
    assert!(picks(&mut balancer).iter().all(|id| *id == Some(0)));
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    let error = P2c::configure(r#"{"latency":"peak"}"#).err().unwrap();
    assert_eq!(error, "latency: this is a string, expected a boolean");
}
