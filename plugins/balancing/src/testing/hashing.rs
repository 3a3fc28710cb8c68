//! What consistent hashes promise alike, whatever structure they look a key up in.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic and print, and its helpers too"
)]

use super::{OPEN, Script, endpoints, instance, moved, pick, shares};
use crate::Balancer;
use crate::bindings::exports::linkspan::plugin::balancer::EndpointState;

/// Of 50,000 keys each endpoint gets its share by weight, to within `slack` keys.
///
/// # Panics
///
/// If one does not.
pub fn check_shares<B: Balancer>(slack: usize) {
    let script = Script::default();
    let mut even = instance::<B>("{}", endpoints(10), &script);
    let got = shares(&mut even, &script, 10, 50_000);
    assert!(got.iter().all(|share| share.abs_diff(5_000) < slack), "{got:?}");

    let mut list = endpoints(3);
    for (endpoint, weight) in list.iter_mut().zip([100, 250, 650]) {
        endpoint.state.weight = weight;
    }
    let mut weighted = instance::<B>("{}", list, &script);
    let got = shares(&mut weighted, &script, 3, 50_000);
    for (share, expected) in got.iter().zip([5_000, 12_500, 32_500_usize]) {
        assert!(share.abs_diff(expected) < slack, "{got:?}");
    }
}

/// When one of ten leaves, whichever it is, its own of 20,000 keys move, and of the others at most so
/// many. Prints how many it were.
///
/// # Panics
///
/// If more move, or fewer than its own.
pub fn check_leaving<B: Balancer>(others: usize) {
    const KEYS: usize = 20_000;
    let script = Script::default();
    let own = shares(&mut instance::<B>("{}", endpoints(10), &script), &script, 10, KEYS);
    for (gone, own) in (0..).zip(own) {
        let (moved, needless) = moved::<B>("{}", endpoints(10), gone, KEYS);
        let percent = |count: usize| count as f64 / KEYS as f64 * 100.0;
        println!(
            "{gone} leaves with {:.2} % of {KEYS} keys: {:.2} % moved, {:.2} % without need",
            percent(own),
            percent(moved),
            percent(needless)
        );
        assert_eq!(moved, own + needless);
        assert!(needless <= others, "{needless} moved without need");
    }
}

/// With a bound, one hot key is spread as far as that asks.
///
/// # Panics
///
/// If an endpoint has more.
pub fn check_bound<B: Balancer>() {
    let script = Script::default();
    let mut balancer = instance::<B>(r#"{"bounded-load":1.25}"#, endpoints(8), &script);
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

/// `key` and `bounded-load` are read strictly.
///
/// # Panics
///
/// If something wrong is taken, or told otherwise than by its key.
pub fn check_config<B: Balancer>() {
    let error = |config| B::configure(config).err().unwrap();
    assert!(
        error(r#"{"key":"query"}"#).starts_with("key: \"query\" is no part of a request, expected")
    );
    let expected = "bounded-load: 0.5 is no such bound, expected a number from 1.01 to 100";
    assert_eq!(error(r#"{"bounded-load":0.5}"#), expected);
    assert!(error(r#"{"bounded-load":"1.5"}"#).starts_with("bounded-load: this is a string"));
    assert!(B::configure(r#"{"bounded-load":2}"#).is_ok());
}

/// The keys of an endpoint that cannot be used spread over all the others.
///
/// # Panics
///
/// If they do not.
pub fn check_down<B: Balancer>() {
    let script = Script::default();
    let mut table = instance::<B>("{}", endpoints(10), &script);
    let before = shares(&mut table, &script, 10, 20_000);
    let down = (4, EndpointState { usable: false, ..OPEN });
    table.change(vec![down]);
    let after = shares(&mut table, &script, 10, 20_000);
    assert_eq!(after[4], 0);
    assert!((0..10).all(|place| place == 4 || after[place] > before[place]), "{after:?}");
}

/// Two lists of the same endpoints, in whatever order, choose alike.
///
/// # Panics
///
/// If they do not.
pub fn check_order<B: Balancer>() {
    let script = Script::default();
    let mut forwards = instance::<B>("{}", endpoints(10), &script);
    let reversed = endpoints(10).into_iter().rev().collect();
    let mut backwards = instance::<B>("{}", reversed, &script);
    for key in 0..1_000 {
        script.set_path(&format!("/{key}"));
        assert_eq!(pick(&mut forwards, &script), pick(&mut backwards, &script));
    }
}
