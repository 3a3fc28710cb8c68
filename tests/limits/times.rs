//! How long a request may take in all, and what its client gets when that is over.

use std::io::{ErrorKind, Read as _};
use std::time::Duration;

use crate::support::{Origin, Proxy, eventually, one_cluster, request};

use super::open_connections;

/// A proxy whose requests may take half a second, in front of what this does.
fn timed(script: impl Fn(&mut crate::support::Peer) + Send + Sync + 'static) -> (Origin, Proxy) {
    let origin = Origin::scripted(script);
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "request-timeout = '500ms'", ""));
    (origin, proxy)
}

fn reason(proxy: &Proxy) -> String {
    let lines = proxy.access(1);
    let line = lines.first().unwrap();
    line.get("error").and_then(|error| error.as_str()).unwrap().to_owned()
}

#[test]
fn a_request_without_a_response_in_time_is_504() {
    let (origin, proxy) = timed(|peer| {
        let _ = peer.request();
        peer.hang();
    });
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!((response.status(), response.closes()), (504, false));
    let expected = "there was no response within request-timeout = 500ms of listener web";
    assert_eq!(reason(&proxy), expected);
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "request_timeout")]), 1);
    eventually("the upstream to be let go", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(client.get("/").status(), 504, "each request has a time of its own");
}

#[test]
fn a_request_that_its_client_has_not_sent_in_time_is_408() {
    let (origin, proxy) = timed(|peer| while peer.request().is_some() {});
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n");
    while client.is_quiet_for(Duration::from_millis(50)) {
        client.send("x");
    }
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (408, true));
    client.expect_closed();
    origin.wait_for(1);
    assert!(!origin.request().complete);
    let reason = reason(&proxy);
    let expected = "the client had not sent its request within request-timeout = 500ms of listener web, after ";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn a_response_that_is_not_over_in_time_is_broken_off() {
    let (_origin, proxy) = timed(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while peer.is_quiet_for(Duration::from_millis(50)) && peer.write("x").is_ok() {}
    });
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!((response.status(), response.complete), (200, false));
    let reason = reason(&proxy);
    let expected = "it was not over within request-timeout = 500ms of listener web, after ";
    assert!(reason.starts_with(expected), "{reason}");
    eventually("it to be counted out", || (open_connections(&proxy) == 0).then_some(()));
}

#[test]
fn a_response_of_no_length_that_is_not_over_in_time_ends_in_a_reset() {
    let (_origin, proxy) = timed(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        while peer.is_quiet_for(Duration::from_millis(50)) && peer.write("x").is_ok() {}
    });
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
    let end = client.stream().read_to_end(&mut Vec::new());
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
}

#[test]
fn the_time_of_a_request_does_not_run_between_requests() {
    let (_origin, proxy) = timed(|peer| {
        while peer.request().is_some() {
            assert!(peer.is_quiet_for(Duration::from_millis(300)));
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let mut client = proxy.connect();
    // The third is sent ahead of the second's response.
    assert_eq!(client.get("/").text(), "ok");
    assert!(client.is_quiet_for(Duration::from_millis(400)));
    client.send(request("GET", "/", &[], b"").repeat(2));
    assert_eq!(client.response().text(), "ok");
    assert_eq!(client.response().text(), "ok");
}
