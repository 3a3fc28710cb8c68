//! Vectors, shares, and who moves when somebody leaves.

use super::*;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::{
    Endpoint, EndpointState,
};
use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

/// The members of the protocol's usual example.
fn ten() -> Vec<Endpoint> {
    let mut list = endpoints(10);
    for (port, endpoint) in (9001..).zip(&mut list) {
        endpoint.address = format!("127.0.0.1:{port}");
    }
    list
}

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<Carp>("carp");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<Carp>("{}", true);
    testing::check_promises::<Carp>(r#"{"key":"header:x-none"}"#, true);
}

#[test]
fn the_protocol_gives_ten_members_these_shares() {
    let script = Script::default();
    let mut array = instance::<Carp>("{}", ten(), &script);
    let shares = testing::shares(&mut array, &script, 10, 20_000);
    assert!(shares.iter().all(|share| (1_400..=2_600).contains(share)), "{shares:?}");
    let (moved, needless) = testing::moved::<Carp>("{}", ten(), 4, 20_000);
    assert_eq!((moved, needless), (shares[4], 0));
}

#[test]
fn when_one_leaves_only_its_own_move() {
    testing::hashing::check_leaving::<Carp>(0);
}

#[test]
fn the_keys_of_one_that_is_down_spread_over_all_others() {
    let script = Script::default();
    let mut array = instance::<Carp>("{}", ten(), &script);
    let before = testing::shares(&mut array, &script, 10, 20_000);
    array.change(vec![(3, EndpointState { usable: false, ..testing::OPEN })]);
    let after = testing::shares(&mut array, &script, 10, 20_000);
    for place in [0, 1, 2, 4, 5, 6, 7, 8, 9] {
        let more = after[place] - before[place];
        assert!(more > before[3] / 30, "{place} got {more} of {}", before[3]);
    }
}

#[test]
fn weights_are_kept() {
    let mut list = endpoints(4);
    for (endpoint, weight) in list.iter_mut().zip([100, 200, 300, 400]) {
        endpoint.state.weight = weight;
    }
    let script = Script::default();
    let mut array = instance::<Carp>("{}", list, &script);
    let shares = testing::shares(&mut array, &script, 4, 40_000);
    for (share, expected) in shares.iter().zip([4_000, 8_000, 12_000, 16_000_usize]) {
        assert!(share.abs_diff(expected) < expected / 6, "{shares:?}");
    }
}

#[test]
fn multipliers_of_the_protocol() {
    assert_eq!(multipliers(&[]), Vec::<f64>::new());
    assert_eq!(multipliers(&[7, 7, 7]), [1.0, 1.0, 1.0]);
    // X1 = 2 * 0.4 = 0.8 ^ 1/2; X2 = 0.2 / X1 + X1.
    let [heavy, light] = multipliers(&[60, 40])[..] else { panic!() };
    assert!((light - 0.8_f64.sqrt()).abs() < 1e-12);
    assert!((heavy - (0.2 / light + light)).abs() < 1e-12);
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    let error = |config| Carp::configure(config).err().unwrap();
    assert!(
        error(r#"{"key":"url"}"#)
            .starts_with("key: \"url\" is no part of a request, expected \"path\"")
    );
    assert!(error(r#"{"keys":"path"}"#).starts_with("keys: unknown key"));
    let script = Script::default();
    let mut array = instance::<Carp>(r#"{"key":"cookie:id"}"#, endpoints(9), &script);
    script.set_header("cookie", "a=b; id=7");
    let own = pick(&mut array, &script);
    assert!((0..50).all(|_| pick(&mut array, &script) == own));
}
