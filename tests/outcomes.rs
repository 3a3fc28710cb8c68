//! What becomes of a balancer's choices, told to those who export `outcomes`.
//!
//! The guest `observes` logs it: `finished 0#3 200` is the end of its third choice, which was the
//! first endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::thread;

use serde_json::Value;

use crate::loading::caching::section;
use crate::support::{
    Binary, Client, Down, Origin, eventually, one_cluster, plugin, reply, request,
};

/// A proxy whose cluster is balanced by the guest, with these lines of the cluster and of the guest.
fn serve(endpoints: &[SocketAddr], cluster: &str, guest: &str) -> Binary {
    with("workers = 1", endpoints, cluster, guest)
}

fn with(server: &str, endpoints: &[SocketAddr], cluster: &str, guest: &str) -> Binary {
    let cluster = format!("balancer = 'watching'\nhealth = {{ offline = '0s' }}\n{cluster}");
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\n{server}\n[log]\naccess = 'off'\n\
         [admin]\nbind = '127.0.0.1:0'\n[plugins.watching]\ncomponent = 'observes'\n\
         limits = {{ log-rate = 1_000_000, deadline = '100ms' }}\n{guest}\n{}",
        one_cluster(endpoints, "", &cluster)
    );
    Binary::with(&toml, &["observes"], &["run"])
}

/// What the guest has been told, each with the version that was.
fn told_by_version(linkspan: &Binary) -> Vec<(String, String)> {
    let text = |line: &Value, key| Some(line.get(key)?.as_str()?.to_owned());
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = text(&line, "message")?;
        let (what, _) = message.split_once(' ')?;
        let known = ["chosen", "connected", "failed", "finished"].contains(&what);
        (known && message.contains('#')).then_some((message, text(&line, "version")?))
    };
    linkspan.stderr().lines().filter_map(told).collect()
}

fn told(linkspan: &Binary) -> Vec<String> {
    told_by_version(linkspan).into_iter().map(|(told, _)| told).collect()
}

/// Waits until the guest has been told so much, and compares it.
#[track_caller]
fn expect(linkspan: &Binary, expected: &[&str]) {
    eventually("news", || (told(linkspan).len() >= expected.len()).then_some(()));
    assert_eq!(told(linkspan), expected);
}

/// How often a metric has counted something of the guest.
fn counted(linkspan: &mut Binary, metric: &str) -> u64 {
    let mut admin = Client::connect(linkspan.admin());
    let text = admin.ask("GET", "/metrics", &[("host", "localhost")], b"").text();
    let value = text.lines().find_map(|line| line.strip_prefix(metric));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

const TRAPS: &str = "linkspan_plugin_failures_total{plugin=\"watching\",cause=\"trap\"}";
const PARKED: &str = "linkspan_plugin_parked{plugin=\"watching\"}";

#[test]
fn each_choice_is_told_from_its_beginning_to_its_end_with_its_token() {
    let (down, origin) = (Down::new(), Origin::replying("hello"));
    let mut linkspan = serve(&[down.address(), origin.address()], "", "");
    let mut client = linkspan.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "hello");
    }
    expect(
        &linkspan,
        &[
            "chosen 0#1",
            "failed 0#1 connect",
            "chosen 1#2",
            "connected 1#2",
            "finished 1#2 200",
            "chosen 0#3",
            "failed 0#3 connect",
            "chosen 1#4",
            "connected 1#4",
            "finished 1#4 200",
        ],
    );
}

#[test]
fn attempts_that_get_no_head_fail_as_the_upstream_did() {
    let broken = Origin::scripted(|peer| drop(peer.request()));
    let malformed = Origin::raw("what is this\r\n\r\n");
    let silent = Origin::scripted(|peer| {
        peer.request();
        peer.hang();
    });
    for (origin, how, status) in
        [(broken, "broken", 502), (malformed, "malformed", 502), (silent, "timeout", 504)]
    {
        let mut linkspan = serve(&[origin.address()], "response-timeout = '300ms'", "");
        assert_eq!(linkspan.connect().get("/").status(), status, "{how}");
        expect(&linkspan, &["chosen 0#1", "connected 0#1", &format!("failed 0#1 {how}")]);
    }
}

#[test]
fn a_response_that_breaks_off_has_ended_and_not_failed() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    let mut linkspan = serve(&[origin.address()], "", "");
    assert!(!linkspan.connect().get("/").complete);
    expect(&linkspan, &["chosen 0#1", "connected 0#1", "finished 0#1 200"]);
}

#[test]
fn a_client_that_leaves_ends_it_with_the_status_that_there_was() {
    let origin = Origin::scripted(|peer| {
        let Some(request) = peer.request() else { return };
        if request.target() == "/body" {
            peer.send("HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\nhalf");
        }
        peer.hang();
    });
    let mut linkspan = serve(&[origin.address()], "", "");
    let mut client = linkspan.connect();
    client.send(request("GET", "/body", &[], b""));
    assert_eq!(client.response_head().status(), 201);
    drop(client);
    expect(&linkspan, &["chosen 0#1", "connected 0#1", "finished 0#1 201"]);
    let mut client = linkspan.connect();
    client.send(request("GET", "/head", &[], b""));
    origin.wait_for(2);
    drop(client);
    eventually("the end of the second", || {
        told(&linkspan).contains(&"finished 0#2 0".to_owned()).then_some(())
    });
}

#[test]
fn a_choice_that_is_not_tried_is_not_told_of() {
    let origin = Origin::replying("hello");
    let cluster = "[clusters.main.health]\nattempts = 1\noffline = '1h'";
    let down = Down::new();
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n[log]\naccess = 'off'\n{}\n{cluster}",
        one_cluster(&[down.address(), origin.address()], "", "balancer = 'observes'")
    );
    let mut linkspan = Binary::with(&toml, &["observes"], &["run"]);
    let mut client = linkspan.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "hello");
    }
    expect(
        &linkspan,
        &[
            "chosen 0#1",
            "failed 0#1 connect",
            "chosen 1#2",
            "connected 1#2",
            "finished 1#2 200",
            // The third was offline.
            "chosen 1#4",
            "connected 1#4",
            "finished 1#4 200",
        ],
    );
}

#[test]
fn the_version_that_chose_is_told_the_end_after_another_has_taken_its_place() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        peer.hang();
    });
    let mut linkspan = serve(&[origin.address()], "", "");
    let mut client = linkspan.connect();
    client.send(request("GET", "/", &[], b""));
    assert_eq!(client.response_head().status(), 200);
    let successor = [plugin("observes"), &section(0, b"\x04next".to_vec())].concat();
    let file = linkspan.file().with_file_name("plugins.d").join("observes.wasm");
    fs::write(file, successor).unwrap();
    linkspan.wait_for_stderr("plugin swapped");
    let mut other = linkspan.connect();
    other.send(request("GET", "/", &[], b""));
    assert_eq!(other.response_head().status(), 200);
    drop((client, other));
    let told = eventually("both ends", || {
        let told = told_by_version(&linkspan);
        (told.len() == 6).then_some(told)
    });
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for (told, version) in &told {
        versions.entry(version).or_default().push(told.as_str());
    }
    let whole = ["chosen 0#1", "connected 0#1", "finished 0#1 200"];
    assert_eq!(versions.into_values().collect::<Vec<_>>(), [whole, whole]);
}

#[test]
fn failures_count_and_park_as_those_of_any_call_and_cost_no_request() {
    let origin = Origin::replying("hello");
    let guest = "config = { traps = 'finished' }";
    let mut linkspan = serve(&[origin.address()], "", guest);
    let mut client = linkspan.connect();
    eventually("the parking", || {
        assert_eq!(client.get("/").text(), "hello");
        (counted(&mut linkspan, PARKED) == 1).then_some(())
    });
    assert_eq!(counted(&mut linkspan, TRAPS), 5);
    let calls = told(&linkspan).len();
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(told(&linkspan).len(), calls, "a plugin that is parked is not called");
    let stderr = linkspan.stderr();
    let lines = stderr.lines().filter(|line| line.contains("\"call\":\"finished\""));
    assert!((1..=5).contains(&lines.count()), "{stderr}");
}

#[test]
fn a_guest_that_loops_is_told_in_order_afterwards_and_keeps_nobody_waiting() {
    let origin = Origin::replying("hello");
    let guest = "config = { loops = 'connected' }";
    let mut linkspan = serve(&[origin.address()], "", guest);
    let mut client = linkspan.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "hello");
    }
    // Each instance is lost within its first choice, and what else there was to say of that with it.
    let told = eventually("three of them", || {
        let told = told(&linkspan);
        (told.len() == 6).then_some(told)
    });
    assert_eq!(told, ["chosen 0#1", "connected 0#1"].repeat(3));
}

#[test]
fn many_at_once_are_each_told_of_once_where_instances_are_shared() {
    const EACH: usize = 50;
    let origin = Origin::answering(|_| reply(200, &[], "hello"));
    for guest in ["", "instances = 'shared'"] {
        let mut linkspan = with("workers = 2", &[origin.address()], "", guest);
        let address = linkspan.address("web");
        let ask = || {
            let mut client = Client::connect(address);
            (0..EACH).for_each(|_| assert_eq!(client.get("/").text(), "hello"));
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
        let told = eventually("all of it", || {
            let told = told(&linkspan);
            (told.len() == 4 * EACH * 3).then_some(told)
        });
        let count = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
        assert_eq!(["chosen", "connected", "finished"].map(count), [4 * EACH; 3], "{guest}");
        if !guest.is_empty() {
            let mut tokens: Vec<_> = told.iter().filter(|it| it.starts_with("finished")).collect();
            tokens.sort();
            tokens.dedup();
            assert_eq!(tokens.len(), 4 * EACH, "each has a number of its own");
        }
    }
}
