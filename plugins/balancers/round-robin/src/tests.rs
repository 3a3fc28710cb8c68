//! Properties that hold for any list and any weights.

use super::*;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::EndpointState;
use linkspan_plugin_balancing::testing::{self, OPEN, Script, endpoint, endpoints, instance, pick};

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<RoundRobin>("round-robin");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<RoundRobin>("{}", true);
}

#[test]
fn a_new_list_keeps_the_turn() {
    let script = Script::default();
    let mut turns = instance::<RoundRobin>("{}", endpoints(3), &script);
    assert_eq!([pick(&mut turns, &script), pick(&mut turns, &script)], [Some(0), Some(1)]);
    turns.update([9, 0, 1, 2].map(endpoint).into(), &script);
    let served: Vec<_> = (0..3).filter_map(|_| pick(&mut turns, &script)).collect();
    assert_eq!(served, [2, 9, 0]);
}

#[test]
fn each_gets_its_weight_in_each_round() {
    for seed in 1..40_u32 {
        let weight = |id: u32| (id * 7 + seed) % 19 + 1;
        let script = Script::default();
        let mut turns = instance::<RoundRobin>("{}", endpoints(1 + seed % 7), &script);
        let state = |id| (id, EndpointState { weight: weight(id) * 100, ..OPEN });
        turns.change((0..7).map(state).collect());
        let round: u32 = (0..=seed % 7).map(weight).sum();
        let mut served = [0; 7];
        for _ in 0..round {
            served[pick(&mut turns, &script).unwrap() as usize] += 1;
        }
        let expected: Vec<u32> =
            (0..7).map(|id| if id <= seed % 7 { weight(id) } else { 0 }).collect();
        assert_eq!(served[..], expected[..]);
    }
}

#[test]
fn a_successor_goes_on_where_its_predecessor_is() {
    for weights in [[100; 3], [500, 100, 300]] {
        let script = Script::default();
        let start = || {
            let mut list = endpoints(3);
            for (endpoint, weight) in list.iter_mut().zip(weights) {
                endpoint.state.weight = weight;
            }
            instance::<RoundRobin>("{}", list, &script)
        };
        for picks in 0..10 {
            let (mut predecessor, mut successor) = (start(), start());
            for _ in 0..picks {
                pick(&mut predecessor, &script);
            }
            successor.restore(&predecessor.save()).unwrap();
            for _ in 0..20 {
                assert_eq!(pick(&mut successor, &script), pick(&mut predecessor, &script));
            }
        }
    }
}

#[test]
fn state_that_is_not_understood_is_refused() {
    let mut turns = instance::<RoundRobin>("{}", endpoints(3), &Script::default());
    for state in ["next", "next x", "owed 1", "owed 1 x", "else", "\u{e9}"] {
        assert!(turns.restore(state.as_bytes()).unwrap_err().contains("not understood"), "{state}");
    }
    assert!(turns.restore(b"\xff").is_err());
    // Endpoints that are members no longer are none of its business.
    assert_eq!(turns.restore(b"next 9\nowed 9 100\n"), Ok(()));
}
