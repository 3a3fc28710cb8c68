//! Sequences that other systems document, and properties that hold for any.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Members a, b, c, … with those weights; 0 stands for one that is not open.
fn with_weights(weights: &[u32]) -> RoundRobin {
    let list = weights.iter().zip(b'a'..).map(|(weight, name)| Member {
        id: u32::from(name),
        open: *weight > 0,
        weight: if *weight > 0 { weight * USUAL_WEIGHT } else { USUAL_WEIGHT },
    });
    let mut state = RoundRobin::new();
    state.update(list.collect());
    state
}

fn with_list(names: &str) -> RoundRobin {
    let mut state = RoundRobin::new();
    state.update(list(names));
    state
}

fn list(names: &str) -> Vec<Member> {
    names
        .bytes()
        .map(|name| Member { id: u32::from(name), open: true, weight: USUAL_WEIGHT })
        .collect()
}

fn name(id: u32) -> char {
    char::from_u32(id).unwrap()
}

/// The endpoints that the next requests go to, none of them failing.
fn served(state: &mut RoundRobin, requests: usize) -> String {
    (0..requests).map(|_| name(state.pick(None).unwrap().id)).collect()
}

/// The endpoint that serves the next request when some refuse their connections.
fn served_despite(state: &mut RoundRobin, refusing: &str) -> Option<char> {
    let mut choice = state.pick(None)?;
    while refusing.contains(name(choice.id)) {
        choice = state.pick(Some(Picked { id: choice.id, token: choice.token }))?;
    }
    Some(name(choice.id))
}

#[test]
fn list_order_and_repeats_count() {
    assert_eq!(served(&mut with_list("abc"), 6), "abcabc");
    assert_eq!(served(&mut with_list("abacab"), 12), "abacababacab");
}

#[test]
fn the_order_follows_the_one_that_answered() {
    let mut state = with_list("abc");
    let served: String = (0..4).filter_map(|_| served_despite(&mut state, "b")).collect();
    assert_eq!(served, "acac");
    assert_eq!(served_despite(&mut state, "abc"), None);
    assert_eq!(
        served_despite(&mut state, ""),
        Some('a'),
        "a request that all refused leaves the turn where it was"
    );
}

#[test]
fn smooth_weighted_order() {
    let cases: [(&[u32], &str); 6] = [
        (&[1, 0, 1, 1], "acdacd"),
        (&[1, 1, 1, 2], "dabcddabcd"),
        (&[70, 30], "abaaabaabaabaaabaaba"),
        (&[3, 1], "aabaaaba"),
        (&[5, 1, 1], "aabacaa"),
        (&[1, 2, 3], "cbacbc"),
    ];
    for (weights, expected) in cases {
        assert_eq!(served(&mut with_weights(weights), expected.len()), expected, "{weights:?}");
    }
}

#[test]
fn who_cannot_be_used_or_is_drained_gets_no_turn() {
    let state =
        |usable, draining| balancer::EndpointState { usable, draining, weight: USUAL_WEIGHT };
    for closed in [state(false, false), state(true, true)] {
        let mut turns = with_list("abc");
        turns.change(vec![member(u32::from(b'b'), closed)]);
        assert_eq!(served(&mut turns, 4), "acac");
        turns.change(vec![member(u32::from(b'b'), state(true, false))]);
        assert_eq!(served(&mut turns, 3), "abc");
    }
    assert!(with_list("").pick(None).is_none());
    assert!(with_weights(&[0, 0]).pick(None).is_none());
}

#[test]
fn a_new_list_keeps_the_turn() {
    let mut state = with_list("abc");
    assert_eq!(served(&mut state, 2), "ab");
    state.update(list("xabc"));
    assert_eq!(served(&mut state, 3), "cxa");
    let mut state = with_weights(&[3, 1]);
    assert_eq!(served(&mut state, 2), "aa");
    let kept = state.members.list().to_vec();
    state.update(kept);
    assert_eq!(served(&mut state, 2), "ba");
}

#[test]
fn concurrent_requests_each_try_everyone() {
    let mut state = with_list("abcd");
    let mut requests: Vec<(Option<Picked>, BTreeSet<u32>)> = vec![(None, BTreeSet::new()); 3];
    for _ in 0..4 {
        for (previous, tried) in &mut requests {
            let choice = state.pick(*previous).unwrap();
            assert!(tried.insert(choice.id), "tried twice");
            *previous = Some(Picked { id: choice.id, token: choice.token });
        }
    }
    assert!(requests.iter().all(|(previous, _)| state.pick(*previous).is_none()));
}

proptest! {
    #[test]
    fn each_gets_its_weight_in_each_round(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let mut state = with_weights(&weights);
        let round = weights.iter().sum::<u32>();
        let served = served(&mut state, round as usize);
        for (weight, name) in weights.iter().zip('a'..) {
            prop_assert_eq!(served.matches(name).count(), *weight as usize);
        }
    }

    #[test]
    fn a_failing_request_tries_each_open_one_once(
        members in prop::collection::vec((0_u32..6, any::<bool>(), 1_u32..4), 0..12),
        warm_up in 0_usize..5,
    ) {
        let mut state = RoundRobin::new();
        // The state belongs to the endpoint: the same at each place where it is listed.
        let mut states = BTreeMap::new();
        let list = members.into_iter().map(|(id, open, weight)| {
            *states.entry(id).or_insert(Member { id, open, weight: weight * USUAL_WEIGHT })
        });
        state.update(list.collect());
        for _ in 0..warm_up {
            state.pick(None);
        }
        let mut tried = Vec::new();
        let mut choice = state.pick(None);
        while let Some(Choice { id, token, .. }) = choice {
            tried.push(id);
            choice = state.pick(Some(Picked { id, token }));
        }
        let distinct: BTreeSet<u32> = tried.iter().copied().collect();
        let open = states.values().filter(|member| member.open).map(|member| member.id).collect();
        prop_assert_eq!(tried.len(), distinct.len());
        prop_assert_eq!(distinct, open);
    }
}
