//! Descriptors: the process takes as many as it may have, and clients leave some for upstreams.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Binary, Origin, eventually, one_cluster, request};

const DESCRIPTORS: u32 = 64;

/// What is said when clients have their share.
const FEW: &str = "the other descriptors are for upstreams";

fn config(origin: &Origin) -> String {
    let config = one_cluster(&[origin.address()], "idle-timeout = '1h'", "idle-timeout = '1h'");
    format!("{config}[server]\nworkers = 1\n")
}

#[test]
fn without_descriptors_clients_wait_until_there_are_some() {
    let origin = Origin::replying("ok");
    let mut proxy = Binary::short_of_descriptors(&config(&origin), DESCRIPTORS);
    let mut served = proxy.connect();
    assert_eq!(served.get("/").text(), "ok");

    let begun = Instant::now();
    let held: Vec<_> = (0..DESCRIPTORS).map(|_| proxy.connect()).collect();
    proxy.wait_for_stderr(FEW);
    let mut waiting = proxy.connect();
    waiting.send(request("GET", "/", &[], b""));
    for _ in 0..15 {
        assert!(waiting.is_quiet_for(Duration::from_millis(100)));
        assert_eq!(served.get("/").text(), "ok", "who is connected notices nothing");
    }
    drop(held);
    assert_eq!(waiting.response().text(), "ok");
    eventually("it to be over", || (proxy.connect().get("/").text() == "ok").then_some(()));
    let told = proxy.stderr().matches(FEW).count();
    let time = begun.elapsed();
    assert!(u64::try_from(told).unwrap() <= 1 + time.as_secs() / 10, "{told} in {time:?}");
    assert!(!proxy.stderr().contains("cannot accept"), "{}", proxy.stderr());
    assert!(proxy.is_running());
}

#[test]
fn clients_do_not_take_the_descriptors_that_their_upstreams_need() {
    let origin = Origin::replying("ok");
    let mut proxy = Binary::short_of_descriptors(&config(&origin), DESCRIPTORS);
    let mut clients: Vec<_> = (0..DESCRIPTORS + 2).map(|_| proxy.connect()).collect();
    proxy.wait_for_stderr(FEW);
    for client in &mut clients {
        client.send(request("GET", "/", &[("connection", "close")], b""));
    }
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(origin.hits(), clients.len());
}

#[test]
fn idle_upstream_connections_make_way_for_others_when_descriptors_run_out() {
    let origins: Vec<_> = (0..DESCRIPTORS).map(|_| Origin::replying("ok")).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let config = one_cluster(&addresses, "", "idle-timeout = '1h'");
    let config = format!("{config}[server]\nworkers = 1\n");
    let mut proxy = Binary::short_of_descriptors(&config, DESCRIPTORS);
    let mut client = proxy.connect();
    for _ in &origins {
        assert_eq!(client.get("/").status(), 200);
    }
    let reached = origins.iter().filter(|origin| origin.hits() > 0).count();
    assert_eq!(reached, origins.len(), "each needs a connection of its own");
}

#[test]
fn a_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let origin = Origin::replying("ok");
    let mut proxy = Binary::softly_short_of_descriptors(&config(&origin), DESCRIPTORS);
    let mut clients: Vec<_> = (0..2 * DESCRIPTORS).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200, "all are served at a time");
    }
    assert!(!proxy.stderr().contains(FEW), "{}", proxy.stderr());
}

#[test]
fn more_connections_than_descriptors_suffice_for_are_warned_of() {
    let origin = Origin::replying("ok");
    let proxy = Binary::short_of_descriptors(&config(&origin), DESCRIPTORS);
    proxy.wait_for_stderr("more than the limit on open files (ulimit -n) suffices for");
    assert!(proxy.stderr().contains("\"promised\":10000,\"most\":8"), "{}", proxy.stderr());

    let listener = "max-connections = 8";
    let fitting =
        format!("{}[server]\nworkers = 1\n", one_cluster(&[origin.address()], listener, ""));
    let mut proxy = Binary::short_of_descriptors(&fitting, DESCRIPTORS);
    assert_eq!(proxy.connect().get("/").text(), "ok");
    proxy.wait_for_stderr("linkspan serves");
    assert!(!proxy.stderr().contains("ulimit"), "{}", proxy.stderr());
}
