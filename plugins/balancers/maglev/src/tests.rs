//! Vectors, shares, who moves when somebody leaves, and bounded load.

use super::*;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::EndpointState;
use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<Maglev>("maglev");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<Maglev>(r#"{"bounded-load":1.2}"#, true);
}

#[test]
fn when_one_leaves_few_but_its_own_move() {
    for gone in 0..10 {
        let (moved, needless) = testing::moved::<Maglev>("{}", endpoints(10), gone, 20_000);
        assert!(moved > 1_700 && needless <= 400, "{moved} moved, {needless} of them others'");
    }
}

#[test]
fn when_one_is_down_only_its_own_move() {
    let script = Script::default();
    let mut table = instance::<Maglev>("{}", endpoints(10), &script);
    let before = testing::shares(&mut table, &script, 10, 20_000);
    let down = (4, EndpointState { usable: false, ..testing::OPEN });
    table.change(vec![down]);
    let after = testing::shares(&mut table, &script, 10, 20_000);
    assert_eq!(after[4], 0);
    assert!((0..10).all(|place| place == 4 || after[place] > before[place]), "{after:?}");
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let script = Script::default();
    let mut forwards = instance::<Maglev>("{}", endpoints(10), &script);
    let reversed = endpoints(10).into_iter().rev().collect();
    let mut backwards = instance::<Maglev>("{}", reversed, &script);
    for key in 0..1_000 {
        script.set_path(&format!("/{key}"));
        assert_eq!(pick(&mut forwards, &script), pick(&mut backwards, &script));
    }
}

#[test]
fn shares_are_what_the_weights_say() {
    let script = Script::default();
    let mut even = instance::<Maglev>("{}", endpoints(10), &script);
    let shares = testing::shares(&mut even, &script, 10, 50_000);
    assert!(shares.iter().all(|share| share.abs_diff(5_000) < 350), "{shares:?}");

    let mut list = endpoints(3);
    for (endpoint, weight) in list.iter_mut().zip([100, 250, 650]) {
        endpoint.state.weight = weight;
    }
    let mut weighted = instance::<Maglev>("{}", list, &script);
    let shares = testing::shares(&mut weighted, &script, 3, 50_000);
    for (share, expected) in shares.iter().zip([5_000, 12_500, 32_500_usize]) {
        assert!(share.abs_diff(expected) < 350, "{shares:?}");
    }
}

#[test]
fn no_load_is_above_its_bound() {
    let script = Script::default();
    let mut balancer = instance::<Maglev>(r#"{"bounded-load":1.25}"#, endpoints(8), &script);
    let mut in_flight = [0_u32; 8];
    for requests in 1..=4_000 {
        // Every key is asked for again and again: without a bound one endpoint would have it all.
        script.set_path("/hot");
        let place = pick(&mut balancer, &script).unwrap();
        in_flight[place as usize] += 1;
        script.set_in_flight(place, in_flight[place as usize]);
        let bound = (1.25 * f64::from(requests) / 8.0).ceil();
        assert!(f64::from(in_flight[place as usize]) <= bound, "{in_flight:?}");
    }
    assert!(in_flight.iter().filter(|load| **load >= 600).count() >= 4, "{in_flight:?}");
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    let error = |config| Maglev::configure(config).err().unwrap();
    assert!(
        error(r#"{"key":"query"}"#).starts_with("key: \"query\" is no part of a request, expected")
    );
    let expected = "bounded-load: 0.5 is no such bound, expected a number from 1.01 to 100";
    assert_eq!(error(r#"{"bounded-load":0.5}"#), expected);
    assert!(error(r#"{"bounded-load":"1.5"}"#).starts_with("bounded-load: this is a string"));
    assert!(Maglev::configure(r#"{"bounded-load":2}"#).is_ok());
}
