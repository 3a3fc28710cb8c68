//! Endpoints that have as many requests in flight as they may, and the requests that wait for them.

mod fairness;
mod gate;
mod reloads;

use std::net::SocketAddr;

use serde_json::Value;

use self::gate::Gate;
use crate::support::{Client, Down, Origin, Proxy, eventually, one_cluster, request};

const FULL: &str = "no endpoint has room, and the queue is full: max-queue";

/// A proxy with one worker unless `cluster` begins with other lines.
fn proxy(endpoints: &[SocketAddr], cluster: &str) -> Proxy {
    Proxy::start(&one_cluster(endpoints, "", cluster))
}

fn send(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.connect();
    client.send(request("GET", target, &[], &[]));
    client
}

fn count(proxy: &Proxy, name: &str) -> u64 {
    proxy.counter(name, &[("cluster", "main")])
}

fn errors(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counter("linkspan_errors", &[("reason", reason)])
}

/// Waits until so many requests wait.
#[track_caller]
fn wait_for_queue(proxy: &Proxy, waiting: u64) {
    eventually("requests in the queue", || {
        (count(proxy, "linkspan_upstream_queued") == waiting).then_some(())
    });
}

/// Sends requests that wait, one after another, in this order.
#[track_caller]
fn queue(proxy: &Proxy, targets: &[&str]) -> Vec<Client> {
    let before = count(proxy, "linkspan_upstream_queued");
    let one = |(place, target): (u64, &&str)| {
        let client = send(proxy, target);
        wait_for_queue(proxy, before + place);
        client
    };
    (1..).zip(targets).map(one).collect()
}

#[track_caller]
fn text(mut client: Client) -> String {
    client.response().text()
}

/// The first access line about a target.
#[track_caller]
fn line(proxy: &Proxy, target: &str) -> Value {
    eventually("its access line", || {
        proxy.access(1).into_iter().find(|line| line["target"] == target)
    })
}

#[test]
fn with_a_queue_all_are_served_one_after_another() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    let others = queue(&proxy, &["/2", "/3"]);
    origin.open();
    for (client, expected) in [first].into_iter().chain(others).zip(["/1", "/2", "/3"]) {
        assert_eq!(text(client), expected, "LT-13");
    }
    assert_eq!(origin.most(), 1);
    assert_eq!(line(&proxy, "/1")["queued_ms"], Value::Null);
    assert!(line(&proxy, "/2")["queued_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(line(&proxy, "/3")["attempts"], 1, "being passed over is none");
    assert_eq!(count(&proxy, "linkspan_upstream_waits"), 2);
    assert_eq!(count(&proxy, "linkspan_upstream_failures"), 0);
}

#[test]
fn without_a_queue_those_beyond_the_limit_are_503_at_once() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1\nmax-queue = 0");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    for target in ["/2", "/3"] {
        assert_eq!(proxy.get(target).status(), 503, "LT-13");
        assert_eq!(line(&proxy, target)["error"], format!("{FULL} = 0 of cluster main"));
    }
    assert_eq!(
        (line(&proxy, "/2")["attempts"].clone(), errors(&proxy, "queue_full")),
        (0.into(), 2)
    );
    assert_eq!(count(&proxy, "linkspan_upstream_waits"), 0);
    origin.open();
    assert_eq!(text(first), "/1");
    assert_eq!(proxy.get("/4").text(), "/4");
}

#[test]
fn a_queue_that_is_full_takes_no_more() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1\nmax-queue = 2");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    let waiting = queue(&proxy, &["/2", "/3"]);
    let refused = proxy.get("/4");
    assert_eq!((refused.status(), refused.text().as_str()), (503, "503 Service Unavailable\n"));
    assert_eq!(line(&proxy, "/4")["error"], format!("{FULL} = 2 of cluster main"));
    assert_eq!(count(&proxy, "linkspan_upstream_queue_full"), 1);
    origin.open();
    assert_eq!(text(first), "/1");
    assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/2", "/3"]);
}

#[test]
fn who_waits_too_long_is_503_and_says_which_limit_it_was() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1\nqueue-timeout = '50ms'");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    assert_eq!(proxy.get("/2").status(), 503);
    let line = line(&proxy, "/2");
    assert_eq!(line["error"], "no endpoint had room within queue-timeout = 50ms of cluster main");
    assert!(line["queued_ms"].as_f64().unwrap() >= 50.0, "{line}");
    assert_eq!(errors(&proxy, "queue_timeout"), 1);
    assert_eq!(count(&proxy, "linkspan_upstream_queue_timeouts"), 1);
    wait_for_queue(&proxy, 0);
    origin.open();
    assert_eq!(text(first), "/1");
}

#[test]
fn a_client_that_leaves_gives_up_its_place() {
    let origin = Gate::new();
    let proxy =
        proxy(&[origin.address()], "max-connections = 1\nmax-queue = 1\nqueue-timeout = '1h'");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    // With a body that nobody has asked for, too.
    for (method, body) in [("GET", &b""[..]), ("POST", b"body")] {
        let mut leaving = proxy.connect();
        leaving.send(request(method, "/leaves", &[], body));
        wait_for_queue(&proxy, 1);
        assert_eq!(proxy.get("/full").status(), 503);
        drop(leaving);
        wait_for_queue(&proxy, 0);
    }
    let gone = line(&proxy, "/leaves");
    assert_eq!(gone["error"], "the client went away before the response");
    assert!(gone["queued_ms"].is_number(), "{gone}");
    let waiting = queue(&proxy, &["/2"]);
    origin.open();
    assert_eq!(text(first), "/1");
    assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/2"]);
    assert_eq!(origin.order(), ["/1", "/2"], "nobody else got through");
}

#[test]
fn a_body_waits_with_its_request() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1\nreplay-bytes = '1KiB'");
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    let bodies = [vec![b'x'; 1_000], vec![b'y'; 100_000]];
    let post = |body: &Vec<u8>| {
        let mut client = proxy.connect();
        client.send(request("POST", "/post", &[], body));
        client
    };
    let waiting: Vec<_> = bodies.iter().map(post).collect();
    wait_for_queue(&proxy, 2);
    origin.open();
    assert_eq!(text(first), "/1");
    assert!(waiting.into_iter().all(|client| text(client) == "/post"));
    let mut lengths: Vec<_> = origin.requests().iter().map(|each| each.body.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 1_000, 100_000]);
}

#[test]
fn an_endpoint_at_its_limit_is_passed_over() {
    for balancer in ["round-robin", "first-alive", "least-connections", "ring-hash", "maglev"] {
        let (small, large) = (Gate::new(), Origin::replying("large"));
        let proxy = Proxy::start(&format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n[clusters.main]\n\
             endpoints = [{{ address = '{}', max-connections = 1 }}, '{}']\nmax-connections = 100\n\
             balancer = '{balancer}'\nhealth.offline = '1h'\n",
            small.address(),
            large.address(),
        ));
        // Some path leads to the small one.
        let held = eventually("a request that it gets", || {
            for path in 0..100 {
                let client = send(&proxy, &format!("/{path}"));
                eventually("an answer, or none for now", || {
                    let answered = large.hits() + small.order().len() > path;
                    answered.then_some(())
                });
                if !small.order().is_empty() {
                    return Some(client);
                }
                text(client);
            }
            None
        });
        let before = large.hits();
        let path = small.order()[0].clone();
        for _ in 0..5 {
            assert_eq!(proxy.get(&path).text(), "large", "{balancer}");
        }
        assert_eq!(large.hits(), before + 5);
        let last = proxy.access(before + 5).pop().unwrap();
        assert_eq!((&last["attempts"], &last["queued_ms"]), (&1.into(), &Value::Null));
        assert_eq!(count(&proxy, "linkspan_upstream_failures"), 0, "{balancer}");
        small.open();
        assert_eq!(text(held), path);
    }
}

#[test]
fn an_attempt_that_failed_shows_where_the_next_waits_in_vain() {
    let (down, origin) = (Down::new(), Gate::new());
    let limits = "balancer = 'first-alive'\nmax-connections = 1\nqueue-timeout = '50ms'";
    let proxy = proxy(&[down.address(), origin.address()], limits);
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    assert_eq!(proxy.get("/2").status(), 503);
    let line = line(&proxy, "/2");
    assert_eq!(line["retried"], format!("{}: connection refused", down.address()));
    assert_eq!(line["attempts"], 1);
    assert_eq!(errors(&proxy, "queue_timeout"), 1);
    origin.open();
    assert_eq!(text(first), "/1");
}

#[test]
fn who_has_waited_does_not_go_again_where_an_attempt_has_failed() {
    for balancer in ["first-alive", "round-robin", "least-connections"] {
        let (down, origin) = (Down::new(), Gate::new());
        let cluster = format!(
            "balancer = '{balancer}'\nmax-connections = 1\nhealth = {{ attempts = 999, offline = '0s' }}"
        );
        let proxy = proxy(&[down.address(), origin.address()], &cluster);
        let first = send(&proxy, "/1");
        origin.wait_for(1);
        let waiting = queue(&proxy, &["/2"]);
        origin.open();
        assert_eq!(text(first), "/1");
        assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/2"], "{balancer}");
    }
}

#[test]
fn a_request_that_is_repeated_keeps_its_slot() {
    let origin = Gate::new();
    origin.open();
    let proxy = proxy(&[origin.address()], "max-connections = 1\nmax-queue = 0");
    assert_eq!(proxy.get("/1").text(), "/1");
    // Over the kept connection, and then over a new one.
    origin.break_next(1);
    assert_eq!(proxy.get("/2").text(), "/2");
    assert_eq!(origin.order(), ["/1", "/2", "/2"]);
}

#[test]
fn idle_connections_do_not_count_and_are_shared_out_over_the_workers() {
    let origin = Gate::new();
    let limits = "max-connections = 2\nmax-idle-per-endpoint = 2";
    let config = one_cluster(&[origin.address()], "", limits);
    let proxy = Proxy::start(&format!("[server]\nworkers = 2\n{config}"));
    let clients: Vec<_> = (0..8).map(|number| send(&proxy, &format!("/{number}"))).collect();
    origin.wait_for(2);
    wait_for_queue(&proxy, 6);
    origin.open();
    clients.into_iter().for_each(|client| assert!(text(client).starts_with('/')));
    assert_eq!(origin.most(), 2);
    // Each worker keeps one, whatever is in flight.
    eventually("idle connections", || (origin.open_connections() <= 2).then_some(()));
    for _ in 0..4 {
        assert_eq!(proxy.get("/again").text(), "/again");
    }
    assert!(origin.open_connections() <= 2);
}
