//! What is counted of endpoints is exact, whatever clients and upstreams do; and repetitions stay
//! within their budget.

use std::net::SocketAddr;
use std::thread;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Client, Down, Origin, Proxy, eventually, one_cluster, reply, request};

/// Several workers before one cluster, and an administrator's listener.
fn proxy(endpoints: &[SocketAddr], cluster: &str) -> Proxy {
    let endpoints: Vec<_> = endpoints.iter().map(|address| format!("'{address}'")).collect();
    Proxy::start(&format!(
        "[server]\nworkers = 3\n[admin]\nbind = '127.0.0.1:0'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = [{}]\n{cluster}\n",
        endpoints.join(", ")
    ))
}

fn endpoints(proxy: &Proxy) -> Vec<Value> {
    let admin = proxy.admin();
    let host = [("host", &*admin.to_string())];
    let clusters = Client::connect(admin).ask("GET", "/api/clusters", &host, b"");
    let clusters: Value = serde_json::from_slice(&clusters.body).unwrap();
    clusters.pointer("/0/endpoints").and_then(Value::as_array).unwrap().clone()
}

fn sum(endpoints: &[Value], figure: &str) -> u64 {
    endpoints.iter().map(|endpoint| endpoint[figure].as_u64().unwrap()).sum()
}

/// Answers, breaks off before a head or within a body, or never answers.
fn unreliable() -> Origin {
    Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            match request.target() {
                "/break" => return,
                "/reset" => return peer.reset(),
                "/half" => {
                    let _ = peer.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                    return;
                }
                "/hang" => return peer.hang(),
                _ => {
                    if peer.write(reply(200, &[], "ok")).is_err() {
                        return;
                    }
                }
            }
        }
    })
}

/// Everything that can happen to a request, over and over.
fn load(proxy: &Proxy, thread: usize) {
    for number in 0..60 {
        let mut client = proxy.connect();
        match (thread + number) % 8 {
            0 => drop(client.ask("POST", "/break", &[], b"body")),
            1 => drop(client.get("/reset")),
            2 => drop(client.get("/half")),
            3 => {
                client.send(request("GET", "/hang", &[], b""));
                // It leaves, whatever has become of its request by then.
            }
            4 => {
                client.send(request("GET", "/ok", &[], b""));
            }
            5 => {
                client.send("POST /ok HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf");
            }
            _ => drop(client.get("/ok")),
        }
    }
}

#[test]
fn figures_are_exact_after_load_with_clients_that_leave_and_upstreams_that_break() {
    for limits in ["", "max-connections = 2\nmax-queue = 5\nqueue-timeout = '50ms'"] {
        let origins = [unreliable(), unreliable()];
        let down = Down::new();
        let addresses = [origins[0].address(), down.address(), origins[1].address()];
        let health = "health = { attempts = 2, offline = '5ms' }\nresponse-timeout = '1m'";
        let proxy = proxy(&addresses, &format!("{health}\n{limits}"));
        thread::scope(|scope| {
            for thread in 0..8 {
                let proxy = &proxy;
                scope.spawn(move || load(proxy, thread));
            }
        });
        let of_web = |name| proxy.counter(name, &[("listener", "web")]);
        eventually("all connections to have come and gone", || {
            let (all, open) = (of_web("linkspan_connections"), of_web("linkspan_connections_open"));
            (all == 8 * 60 && open == 0).then_some(())
        });
        let endpoints = eventually("nothing to be in flight", || {
            let endpoints = endpoints(&proxy);
            (sum(&endpoints, "in_flight") == 0).then_some(endpoints)
        });
        let count = |name: &str| proxy.counter(name, &[("cluster", "main")]);
        assert_eq!(count("linkspan_upstream_queued"), 0);
        assert_eq!(
            sum(&endpoints, "requests"),
            count("linkspan_upstream_attempts"),
            "{endpoints:?}"
        );
        assert_eq!(
            sum(&endpoints, "failures"),
            count("linkspan_upstream_failures"),
            "{endpoints:?}"
        );
        assert!(sum(&endpoints, "failures") > 0 && endpoints[1]["failures"] != 0);
        eventually("service as before", || (proxy.get("/ok").status() == 200).then_some(()));
    }
}

/// With everything down, attempts stay below 1.2 times the requests, and what is allowed anyway: ten
/// repetitions a second.
#[test]
fn with_everything_down_repetitions_stay_within_their_budget() {
    const REQUESTS: u64 = 2_000;
    let down = [Down::new(), Down::new(), Down::new(), Down::new()];
    let addresses = down.each_ref().map(Down::address);
    for health in [
        "health = { attempts = 1000, offline = '0s' }",
        // All are offline after the first requests, and tried all the same.
        "health = { attempts = 1, offline = '1h' }",
        // They are offline and on probation in turns.
        "health = { attempts = 1, offline = '1ms' }",
    ] {
        let proxy = proxy(&addresses, health);
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = proxy.connect();
                    for _ in 0..REQUESTS / 4 {
                        assert_eq!(client.get("/").status(), 503);
                    }
                });
            }
        });
        let seconds = begun.elapsed().as_secs();
        let count = |name: &str| proxy.counter(name, &[("cluster", "main")]);
        let (attempts, retries) =
            (count("linkspan_upstream_attempts"), count("linkspan_upstream_retries"));
        // The floor is a hundred in any ten seconds, of which two can be begun and one is rounded.
        let floor = 10 * seconds + 250;
        assert!(attempts <= REQUESTS * 6 / 5 + floor, "{attempts} in {seconds} s: {health}");
        assert!(attempts - retries <= REQUESTS, "{attempts}, {retries}: {health}");
        assert!(retries > 0, "{health}");
        let total = sum(&endpoints(&proxy), "requests");
        assert_eq!(total, attempts, "{health}");
    }
}

#[test]
fn what_is_broken_off_is_counted_by_its_reason() {
    let origin = Origin::scripted(|peer| {
        let Some(request) = peer.request() else { return };
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n");
        match request.target() {
            "/closed" => {}
            "/garbage" => {
                let _ = peer.write("what is this");
                peer.hang();
            }
            _ => peer.hang(),
        }
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", "body-timeout = '200ms'"));
    let count = |reason| proxy.counter("linkspan_errors", &[("reason", reason)]);
    for (target, reason) in
        [("/closed", "broken"), ("/garbage", "malformed"), ("/silent", "timeout")]
    {
        assert_eq!(count(reason), 0);
        assert!(!proxy.get(target).complete);
        eventually("it to be counted", || (count(reason) == 1).then_some(()));
    }

    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(request("GET", "/silent", &[], b""));
    client.response_head();
    drop(client);
    let gone = || proxy.counter("linkspan_errors", &[("reason", "client_gone")]);
    eventually("it to be counted", || (gone() == 1).then_some(()));
}

#[test]
fn a_status_that_nobody_has_defined_is_not_counted_as_none() {
    let origin = Origin::answering(|_| reply(999, &[], ""));
    let proxy = proxy(&[origin.address()], "");
    assert_eq!(proxy.get("/").status(), 999);
    let counted = |status| proxy.counter("linkspan_requests", &[("status", status)]);
    assert_eq!((counted("other"), counted("none"), counted("5xx")), (1, 0, 0));
}
