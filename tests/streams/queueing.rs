//! Streams to endpoints that have as many in flight as they may: they wait as requests do.

use serde_json::Value;

use super::{all_closed, errors, mirror, next, reason, routed, text};
use crate::support::{Client, Down, Origin, Proxy, eventually};

/// A listener in front of a cluster whose endpoint takes one at a time.
fn narrow(origin: &Origin, listener: &str, cluster: &str) -> Proxy {
    let cluster = format!(
        "[clusters.main]\nendpoints = ['{}']\nmax-connections = 1\n{cluster}",
        origin.address()
    );
    routed("rules = [{ begins = 'x', to = ['main'] }]", listener, &cluster)
}

/// A stream that is joined.
#[track_caller]
fn joined(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send("x");
    assert_eq!(next(&mut client, 1), "x");
    client
}

/// A stream that waits.
#[track_caller]
fn waiting(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send("x");
    wait_for_queue(proxy, 1);
    client
}

#[track_caller]
fn wait_for_queue(proxy: &Proxy, waiting: u64) {
    eventually("streams in the queue", || {
        (proxy.counter("linkspan_upstream_queued", &[]) == waiting).then_some(())
    });
}

#[test]
fn a_stream_waits_until_there_is_room() {
    let origin = mirror();
    let proxy = narrow(&origin, "", "");
    let first = joined(&proxy);
    let mut second = waiting(&proxy);
    assert_eq!(origin.connections(), 1);
    drop(first);
    assert_eq!(next(&mut second, 1), "x");
    wait_for_queue(&proxy, 0);
    drop(second);
    all_closed(&proxy);
    let lines = proxy.access(2);
    assert!(lines.iter().all(|line| line["error"].is_null() && line["attempts"] == 1), "{lines:?}");
    let queued = |line: &&Value| line["queued_ms"].is_number();
    assert_eq!(lines.iter().filter(queued).count(), 1);
    assert_eq!(proxy.counter("linkspan_upstream_waits", &[]), 1);
}

#[test]
fn a_stream_beyond_the_queue_or_its_time_is_closed_and_counted() {
    let origin = mirror();
    for (cluster, why, label) in [
        ("max-queue = 0", "and the queue is full: max-queue = 0", "queue_full"),
        ("queue-timeout = '50ms'", "had room within queue-timeout = 50ms", "queue_timeout"),
    ] {
        let proxy = narrow(&origin, "connect-attempts = 0", cluster);
        let first = joined(&proxy);
        let mut second = proxy.connect();
        second.send("x");
        assert_eq!(text(second.rest()), "");
        let said = reason(&proxy, 1);
        assert!(said.contains(why), "{said}");
        assert_eq!(errors(&proxy, label), 1);
        drop(first);
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_gives_up_its_place() {
    let origin = mirror();
    let proxy = narrow(&origin, "", "max-queue = 1\nqueue-timeout = '1h'");
    let first = joined(&proxy);
    let mut leaving = waiting(&proxy);
    leaving.reset_on_close();
    drop(leaving);
    wait_for_queue(&proxy, 0);
    assert_eq!(reason(&proxy, 1), "the client went away before it was connected to an upstream");
    assert_eq!(errors(&proxy, "client_gone"), 1);
    let mut second = waiting(&proxy);
    drop(first);
    assert_eq!(next(&mut second, 1), "x");
    assert_eq!(origin.connections(), 2, "nobody else got through");
}

#[test]
fn a_stream_that_waits_goes_to_an_endpoint_that_is_back() {
    let (origin, down) = (mirror(), Down::new());
    let cluster = format!(
        "[clusters.main]\nendpoints = ['{}', '{}']\nmax-connections = 1\nqueue-timeout = '1h'\n\
         health = {{ attempts = 1, offline = '1s' }}",
        down.address(),
        origin.address()
    );
    let proxy = routed("rules = [{ begins = 'x', to = ['main'] }]", "", &cluster);
    // The first endpoint is offline from now on, and the second full.
    let _first = joined(&proxy);
    let mut second = proxy.connect();
    second.send("x");
    let _up = down.up(|peer| {
        let bytes = peer.some();
        peer.send(bytes);
        peer.hang();
    });
    assert_eq!(next(&mut second, 1), "x", "although the first stream goes on");
}
