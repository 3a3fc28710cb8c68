//! Vectors, shares, who moves when somebody leaves, and bounded load.

use super::*;
use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<RingHash>("ring-hash");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<RingHash>("{}", true);
    testing::check_promises::<RingHash>(r#"{"bounded-load":1.2}"#, true);
    testing::check_promises::<RingHash>(r#"{"key":"client-address"}"#, true);
}

#[test]
fn when_one_leaves_only_its_own_move() {
    for gone in 0..10 {
        let script = Script::default();
        let mut whole = instance::<RingHash>("{}", endpoints(10), &script);
        let own = testing::shares(&mut whole, &script, 10, 10_000)[gone as usize];
        let (moved, needless) = testing::moved::<RingHash>("{}", endpoints(10), gone, 10_000);
        assert_eq!((moved, needless), (own, 0));
    }
}

#[test]
fn shares_are_what_the_weights_say() {
    let script = Script::default();
    let mut even = instance::<RingHash>("{}", endpoints(10), &script);
    let shares = testing::shares(&mut even, &script, 10, 50_000);
    assert!(shares.iter().all(|share| share.abs_diff(5_000) < 1_500), "{shares:?}");

    let mut list = endpoints(3);
    for (endpoint, weight) in list.iter_mut().zip([100, 250, 650]) {
        endpoint.state.weight = weight;
    }
    let mut weighted = instance::<RingHash>("{}", list, &script);
    let shares = testing::shares(&mut weighted, &script, 3, 50_000);
    for (share, expected) in shares.iter().zip([5_000, 12_500, 32_500_usize]) {
        assert!(share.abs_diff(expected) < 1_500, "{shares:?}");
    }
}

#[test]
fn no_load_is_above_its_bound() {
    let script = Script::default();
    let mut balancer = instance::<RingHash>(r#"{"bounded-load":1.25}"#, endpoints(8), &script);
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
    let error = |config| RingHash::configure(config).err().unwrap();
    assert!(
        error(r#"{"key":"query"}"#).starts_with("key: \"query\" is no part of a request, expected")
    );
    let expected = "bounded-load: 0.5 is no such bound, expected a number from 1.01 to 100";
    assert_eq!(error(r#"{"bounded-load":0.5}"#), expected);
    assert!(error(r#"{"bounded-load":"1.5"}"#).starts_with("bounded-load: this is a string"));
    assert!(RingHash::configure(r#"{"bounded-load":2}"#).is_ok());
}
