//! Whom balancers go on to when endpoints refuse, and in which order. Each proxy repeats far fewer than
//! the hundred attempts that are always allowed.

use std::net::SocketAddr;

use linkspan_plugin_balancing::hash;

use super::{PATIENT, answers, config, origins, plain};
use crate::support::{Client, Down, Origin, Proxy, eventually, reply};

/// The places of the endpoints that the last request was tried at, in order.
fn order(proxy: &Proxy, requests: usize, endpoints: &[SocketAddr]) -> Vec<usize> {
    let line = proxy.access(requests).remove(requests - 1);
    let word = |key| line.get(key).and_then(serde_json::Value::as_str);
    let retried = word("retried").unwrap_or_default();
    let failed = retried.split("; ").filter_map(|text| text.split_once(": ")).map(|(at, _)| at);
    let last = word("endpoint").unwrap();
    let place = |at: &str| endpoints.iter().position(|it| it.to_string() == at).unwrap();
    failed.chain([last]).map(place).collect()
}

/// Five endpoints, of which only the fourth answers, and their places by a score of their addresses,
/// the highest first.
struct Five {
    _down: Vec<Down>,
    _alive: Origin,
    addresses: Vec<SocketAddr>,
}

impl Five {
    fn start() -> Self {
        let down: Vec<_> = (0..4).map(|_| Down::new()).collect();
        let alive = Origin::replying("alive");
        let mut addresses: Vec<_> = down.iter().map(Down::address).collect();
        addresses.insert(3, alive.address());
        Self { _down: down, _alive: alive, addresses }
    }

    fn by_score(&self, score: impl Fn(&[u8]) -> u32) -> Vec<usize> {
        let scores = self.addresses.iter().map(|address| score(address.to_string().as_bytes()));
        let mut scores: Vec<_> = scores.zip(0..).collect();
        scores.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut places: Vec<_> = scores.into_iter().map(|(_, place)| place).collect();
        let alive = places.iter().position(|place| *place == 3).unwrap();
        places.truncate(alive + 1);
        places
    }

    fn proxy(&self, balancer: &str, weights: [u32; 5]) -> Proxy {
        let weights = weights.map(|weight| format!("weight = {weight}"));
        let endpoints: Vec<_> =
            self.addresses.iter().copied().zip(weights.iter().map(String::as_str)).collect();
        Proxy::start(&config(&endpoints, &format!("balancer = '{balancer}'\n{PATIENT}"), ""))
    }
}

#[test]
fn policies_of_an_order_go_on_in_their_order() {
    let five = Five::start();
    let even = [1; 5];
    for (name, weights, expected) in [
        ("first-alive", even, &[0, 1, 2, 3][..]),
        ("static", even, &[0, 1, 2, 3]),
        ("round-robin", even, &[0, 1, 2, 3]),
        ("locking-round-robin", even, &[0, 1, 2, 3]),
        ("Weighted Round Robin", [1, 1, 3, 1, 1], &[2, 0, 1, 3]),
        ("naive", even, &[0, 1, 2, 3]),
        // 127.0.0.1 modulo 5.
        ("source-hash", even, &[3]),
        ("source-hash", [9, 1, 1, 1, 1], &[3]),
        ("least-connections", even, &[0, 1, 2, 3]),
        // Those who have more weight have the least for it; then the list decides.
        ("least-connections", [1, 1, 3, 1, 1], &[2, 3]),
        ("sqf", even, &[0, 1, 2, 3]),
        ("sqf", [1, 3, 2, 1, 1], &[1, 2, 0, 3]),
        ("by-requests", even, &[0, 1, 2, 3]),
        ("by-requests", [1, 1, 3, 1, 1], &[2, 0, 1, 3]),
        ("by-traffic", even, &[0, 1, 2, 3]),
        ("by-busyness", even, &[0, 1, 2, 3]),
        ("by-busyness", [1, 1, 3, 1, 1], &[2, 0, 1, 3]),
    ] {
        let proxy = five.proxy(name, weights);
        assert_eq!(proxy.get("/").text(), "alive", "{name}");
        assert_eq!(order(&proxy, 1, &five.addresses), expected, "{name}, {weights:?}");
    }
}

#[test]
fn source_hash_goes_on_from_its_own() {
    let five = Five::start();
    let proxy = five.proxy("source-hash", [1; 5]);
    // That is 0 modulo 5.
    let mut client = Client::from([127, 0, 0, 3], proxy.address("web"));
    assert_eq!(client.get("/").text(), "alive");
    assert_eq!(order(&proxy, 1, &five.addresses), [0, 1, 2, 3]);
}

#[test]
fn hashes_go_on_by_their_scores() {
    let five = Five::start();
    let (carp, sum) = (five.proxy("carp", [1; 5]), five.proxy("lighttpd-hash", [1; 5]));
    for n in 1..=20 {
        let path = format!("/file-{n}");
        assert_eq!(carp.get(&path).text(), "alive");
        let url = hash::carp(path.as_bytes());
        let expected = five.by_score(|name| hash::carp_score(url, hash::carp_member(name)));
        assert_eq!(order(&carp, n, &five.addresses), expected, "carp: {path}");
        assert_eq!(sum.get(&path).text(), "alive");
        let request = hash::crc32(path.as_bytes()).wrapping_add(hash::crc32(b"test"));
        let expected = five.by_score(|name| request.wrapping_add(hash::crc32(name)));
        assert_eq!(order(&sum, n, &five.addresses), expected, "lighttpd-hash: {path}");
    }
}

#[test]
fn a_key_goes_on_the_same_way_each_time_and_others_other_ways() {
    let five = Five::start();
    for name in ["ring-hash", "maglev"] {
        let proxy = five.proxy(name, [1; 5]);
        let mut orders = Vec::new();
        for n in 0..24 {
            let path = format!("/file-{}", n % 12);
            assert_eq!(proxy.get(&path).text(), "alive", "{name}");
            orders.push(order(&proxy, n + 1, &five.addresses));
        }
        let (first, second) = orders.split_at(12);
        assert_eq!(first, second, "{name}");
        let mut different = first.to_vec();
        different.sort();
        different.dedup();
        assert!(different.len() > 3, "{name}: {different:?}");
        for order in first {
            let mut each = order.clone();
            each.sort_unstable();
            each.dedup();
            assert_eq!(each.len(), order.len(), "{name}: each once");
        }
    }
}

#[test]
fn chance_tries_each_once() {
    let five = Five::start();
    for name in ["random", "p2c"] {
        let proxy = five.proxy(name, [1, 2, 3, 4, 5]);
        let mut longest = 0;
        for n in 1..=20 {
            assert_eq!(proxy.get("/").text(), "alive", "{name}");
            let mut order = order(&proxy, n, &five.addresses);
            longest = longest.max(order.len());
            let tried = order.len();
            order.sort_unstable();
            order.dedup();
            assert_eq!(order.len(), tried, "{name}");
        }
        assert!(longest > 1, "{name} knew before");
    }
}

#[test]
fn turns_follow_the_list_and_skip_who_refuses() {
    for name in ["RoundRobin", "LockingRoundRobin"] {
        let balancer = format!("balancer = '{name}'\n{PATIENT}");
        let mut origins = origins(&["a", "b", "c"]);
        let list: Vec<_> =
            [0, 1, 0, 2, 0, 1].map(|place: usize| (origins[place].address(), "")).into();
        let proxy = Proxy::start(&config(&list, &balancer, ""));
        assert_eq!(answers(&proxy, 12), "abacababacab", "MK-2, {name}");
        let proxy = Proxy::start(&plain(&origins, &balancer));
        assert_eq!(answers(&proxy, 6), "abcabc", "MK-1, {name}");
        origins[1].stop();
        assert_eq!(answers(&proxy, 4), "acac", "MK-3, {name}");
    }
}

#[test]
fn the_first_that_is_alive_may_come_back() {
    let (a, b) = (Down::new(), Origin::replying("b"));
    let endpoints = [(a.address(), ""), (b.address(), "")];
    let cluster = format!("balancer = 'First-Alive'\n{PATIENT}");
    let proxy = Proxy::start(&config(&endpoints, &cluster, ""));
    assert_eq!(answers(&proxy, 2), "bb", "MK-4");
    let _a = a.up(|peer| peer.answer(|_| reply(200, &[], "a")));
    assert_eq!(answers(&proxy, 1), "a", "MK-4, without an offline time");
}

#[test]
fn a_body_goes_along_to_the_standby() {
    for name in ["byrequests", "bytraffic", "bybusyness"] {
        let (down, standby) = (Down::new(), Origin::echo());
        let endpoints = [(down.address(), ""), (standby.address(), "status = 'standby'")];
        let cluster = format!("balancer = '{name}'\n{PATIENT}");
        let proxy = Proxy::start(&config(&endpoints, &cluster, ""));
        for (number, length) in [8, 64, 2_048, 4_096].into_iter().enumerate() {
            let body = vec![b'A'; length];
            let answer = proxy.connect().ask("POST", "/baltest/echo_post.pl", &[], &body);
            assert_eq!((answer.status(), &answer.body), (200, &body), "AP-2, {name}, {length}");
            let addresses = endpoints.map(|(address, _)| address);
            assert_eq!(order(&proxy, number + 1, &addresses), [0, 1], "AP-2, {name}");
        }
    }
}

#[test]
fn what_the_second_answers_is_the_answer() {
    let first = Down::new();
    let second = Origin::answering(|request| {
        let status = request.target().trim_start_matches('/').parse().unwrap();
        reply(status, &[], "own words")
    });
    let endpoints = [(first.address(), ""), (second.address(), "")];
    let cluster = format!("balancer = 'round-robin'\n{PATIENT}");
    let proxy = Proxy::start(&config(&endpoints, &cluster, ""));
    for (number, status) in [200, 404, 500, 503].into_iter().enumerate() {
        let answer = proxy.get(&format!("/{status}"));
        assert_eq!((answer.status(), answer.text().as_str()), (status, "own words"), "AP-6");
        assert_eq!(second.hits(), number + 1, "AP-6: asked once");
    }
}

#[test]
fn a_spare_goes_when_the_one_that_it_stands_in_for_is_back() {
    let a = Down::new();
    let origins = origins(&["b", "s", "t", "h"]);
    let roles = ["", "status = 'spare'", "status = 'spare'", "status = 'standby'"];
    let others = origins.iter().zip(roles).map(|(origin, role)| (origin.address(), role));
    let endpoints: Vec<_> = [(a.address(), "")].into_iter().chain(others).collect();
    let cluster = "balancer = 'byrequests'\nhealth = { attempts = 1, offline = '200ms' }";
    let proxy = Proxy::start(&config(&endpoints, cluster, ""));
    let served = answers(&proxy, 6);
    assert!(served.chars().all(|name| "bs".contains(name)), "AP-9: {served}");
    assert!(served.contains('s') && served.contains('b'), "AP-9: {served}");
    let _a = a.up(|peer| peer.answer(|_| reply(200, &[], "a")));
    eventually("a to be back", || (proxy.get("/").text() == "a").then_some(()));
    let served = answers(&proxy, 6);
    assert!(served == "ababab" || served == "bababa", "AP-9: {served}");
}
