//! Which endpoint gets a request, and what happens if it cannot be reached.

mod conformance;
mod engine;
mod policies;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::{Down, Origin, Proxy, one_cluster, reply};

/// Origins that answer with their names.
fn origins(names: &[&str]) -> Vec<Origin> {
    names.iter().map(|name| Origin::replying(name)).collect()
}

fn addresses(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(Origin::address).collect()
}

/// What so many requests over one connection are answered with.
fn answers(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut client = proxy.connect();
    (0..requests).map(|_| client.get("/").text()).collect()
}

#[test]
fn round_robin_is_exact_over_all_connections_of_a_worker() {
    let origins = origins(&["a", "b", "c"]);
    let config = one_cluster(&addresses(&origins), "", "balancer = 'round-robin'");
    let proxy = Proxy::start(&config);
    assert_eq!(answers(&proxy, 4), ["a", "b", "c", "a"]);
    assert_eq!(answers(&proxy, 5), ["b", "c", "a", "b", "c"], "another connection goes on");
    assert!(origins.iter().all(|origin| origin.hits() == 3));
}

#[test]
fn an_address_that_is_listed_twice_gets_two_turns() {
    let origins = origins(&["a", "b"]);
    let (a, b) = (origins[0].address(), origins[1].address());
    let proxy = Proxy::start(&one_cluster(&[a, b, a], "", "balancer = 'round-robin'"));
    assert_eq!(answers(&proxy, 6), ["a", "b", "a", "a", "b", "a"]);
}

#[test]
fn weights_are_kept_smoothly() {
    let origins = origins(&["a", "b"]);
    let endpoints = format!(
        "endpoints = [{{ address = '{}', weight = 3 }}, '{}']",
        origins[0].address(),
        origins[1].address()
    );
    let proxy = Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nbalancer = 'round-robin'\n{endpoints}\n"
    ));
    let mut counts = BTreeMap::<String, usize>::new();
    let answers = answers(&proxy, 8);
    for answer in &answers {
        *counts.entry(answer.clone()).or_default() += 1;
    }
    assert_eq!((counts["a"], counts["b"]), (6, 2), "{answers:?}");
    assert!(!answers.join("").contains("bb"), "{answers:?}");
}

#[test]
fn round_robin_over_several_workers_stays_even() {
    let origins = origins(&["a", "b"]);
    let server = "[server]\nworkers = 2\n";
    let config = one_cluster(&addresses(&origins), "", "balancer = 'round-robin'");
    let proxy = Proxy::start(&format!("{config}{server}"));
    for _ in 0..10 {
        proxy.get("/");
        proxy.get("/");
    }
    let difference = origins[0].hits().abs_diff(origins[1].hits());
    assert!(difference <= 2, "each worker is at most one off: {difference}");
}

#[test]
fn first_alive_goes_on_to_the_next_when_the_first_is_down() {
    let mut origins = origins(&["a", "b"]);
    let config = one_cluster(&addresses(&origins), "", "balancer = 'first-alive'");
    let proxy = Proxy::start(&config);
    assert_eq!(answers(&proxy, 3), ["a", "a", "a"]);
    origins[0].stop();
    assert_eq!(answers(&proxy, 3), ["b", "b", "b"]);
    let lines = proxy.access(6);
    assert!(lines.iter().all(|line| line["status"] == 200));
    assert_eq!(lines[3]["attempts"], 2);
    assert_eq!(lines[5]["attempts"], 1, "after two failures the first is left alone");
    assert_eq!(lines[5]["endpoint"], origins[1].address().to_string());
}

#[test]
fn balancer_names_are_taken_in_any_spelling() {
    let origins = origins(&["a", "b"]);
    for (name, expected) in [("RoundRobin", ["a", "b"]), ("First Alive", ["a", "a"])] {
        let balancer = format!("balancer = '{name}'");
        let proxy = Proxy::start(&one_cluster(&addresses(&origins), "", &balancer));
        assert_eq!(answers(&proxy, 2), expected, "{name}");
    }
}

#[test]
fn a_bad_status_is_no_reason_to_ask_another_endpoint() {
    let failing = Origin::answering(|_| reply(503, &[("retry-after", "7")], "own words"));
    let other = Origin::replying("other");
    let endpoints = [failing.address(), other.address()];
    let proxy = Proxy::start(&one_cluster(&endpoints, "", "balancer = 'first-alive'"));
    let response = proxy.get("/");
    assert_eq!((response.status(), response.text().as_str()), (503, "own words"));
    assert_eq!(response.value("retry-after"), Some("7"));
    assert_eq!(other.hits(), 0);
}

#[test]
fn max_attempts_ends_the_search() {
    let down: Vec<_> = (0..3).map(|_| Down::new()).collect();
    let alive = Origin::replying("alive");
    let mut endpoints: Vec<_> = down.iter().map(Down::address).collect();
    endpoints.push(alive.address());
    let config =
        |max: &str| one_cluster(&endpoints, "", &format!("balancer = 'first-alive'\n{max}"));
    let proxy = Proxy::start(&config("max-attempts = 3"));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(proxy.access(1)[0]["attempts"], 3);

    let proxy = Proxy::start(&config(""));
    assert_eq!(proxy.get("/").text(), "alive", "by default there are as many as endpoints");
    assert_eq!(proxy.access(1)[0]["attempts"], 4);
}

#[test]
fn with_every_endpoint_down_the_answer_is_503() {
    let down = [Down::new(), Down::new()];
    let endpoints = [down[0].address(), down[1].address()];
    let proxy = Proxy::start(&one_cluster(&endpoints, "", "balancer = 'round-robin'"));
    for _ in 0..4 {
        let response = proxy.get("/");
        assert_eq!(response.status(), 503);
        assert_eq!(response.text(), "503 Service Unavailable\n", "nothing about the inside");
    }
    let lines = proxy.access(4);
    assert!(lines[0]["error"].as_str().unwrap().contains("connection refused"), "{}", lines[0]);
    assert!(lines.iter().all(|line| line["attempts"].as_u64().unwrap() <= 2), "{lines:?}");
}

#[test]
fn a_cluster_without_endpoints_answers_503() {
    let proxy = Proxy::start(&one_cluster(&[], "", ""));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(proxy.access(1)[0]["error"], "no endpoint usable: cluster main has no endpoints");
}

#[test]
fn an_endpoint_is_left_alone_for_its_offline_time_and_then_used_again() {
    let first = Down::new();
    let second = Origin::replying("second");
    let proxy = Proxy::start(&one_cluster(
        &[first.address(), second.address()],
        "",
        "balancer = 'first-alive'\nhealth = { attempts = 3, offline = '700ms' }",
    ));
    assert_eq!(answers(&proxy, 5), ["second"; 5]);
    let attempts: Vec<_> = proxy.access(5).iter().map(|line| line["attempts"].clone()).collect();
    assert_eq!(attempts, [2, 2, 2, 1, 1], "after the third failure it is left alone");

    let first = first.up(|peer| peer.answer(|_| reply(200, &[], "first")));
    crate::support::eventually("the first endpoint to be used again", || {
        (proxy.get("/").text() == "first").then_some(())
    });
    assert_eq!(answers(&proxy, 2), ["first", "first"]);
    assert!(first.hits() >= 3);
}

#[test]
fn a_cluster_that_was_wholly_down_serves_as_soon_as_one_endpoint_is_up() {
    let down = [Down::new(), Down::new()];
    let endpoints = [down[0].address(), down[1].address()];
    let proxy = Proxy::start(&one_cluster(
        &endpoints,
        "",
        "balancer = 'round-robin'\nhealth = { attempts = 1, offline = '1h' }",
    ));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 503);
    }
    let [_down, second] = down;
    let _up = second.up(|peer| peer.answer(|_| reply(200, &[], "up")));
    assert_eq!(answers(&proxy, 3), ["up"; 3], "it does not stay dark for an hour");
}
