//! The least rate of a request's body.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Origin, Proxy, one_cluster, request};

use super::limited;

const LISTENER: &str =
    "body-timeout = '600ms'\nmin-body-rate = '1KiB'\nmin-body-rate-grace = '300ms'";

const HEAD: &str = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n";

#[test]
fn a_body_that_comes_byte_by_byte_is_408() {
    let (origin, proxy) = limited(LISTENER);
    let mut client = proxy.connect();
    client.send(HEAD);
    let begun = Instant::now();
    while client.is_quiet_for(Duration::from_millis(50)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "bytes put the end off");
        client.send("x");
    }
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (408, true));
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "client_slow")]), 1);
    client.expect_closed();
    origin.wait_for(1);
    assert!(!origin.request().complete);
}

#[test]
fn bytes_that_came_quickly_do_not_buy_more_than_the_longest_silence() {
    let (_origin, proxy) = limited(LISTENER);
    let mut client = proxy.connect();
    client.send(HEAD);
    client.send([b'x'; 90_000]);
    let begun = Instant::now();
    while client.is_quiet_for(Duration::from_millis(50)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "bytes put the end off");
        client.send("x");
    }
    assert_eq!(client.response().status(), 408);
}

#[test]
fn without_a_rate_a_body_may_come_byte_by_byte() {
    let (_origin, proxy) = limited("min-body-rate = 0\nmin-body-rate-grace = '300ms'");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 20\r\n\r\n");
    for _ in 0..20 {
        assert!(client.is_quiet_for(Duration::from_millis(50)));
        client.send("x");
    }
    assert_eq!(client.response().body.len(), 20);
}

#[test]
fn an_upstream_that_takes_the_body_slowly_does_not_count() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.request_head() else { return };
        // Longer than the client may take; meanwhile every buffer is full.
        let (_nobody, never) = mpsc::channel::<()>();
        assert!(never.recv_timeout(Duration::from_millis(900)).is_err());
        let body = peer.request_body(head).body.len();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.to_string().len()
        ));
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], LISTENER, ""));
    let mut client = proxy.connect();
    let body = vec![b'x'; 30 << 20];
    client.send(request("POST", "/", &[], &body));
    assert_eq!(client.response().text(), body.len().to_string());
}

#[test]
fn once_the_upstream_answers_the_rate_is_between_it_and_the_client() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.request_head() else { return };
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        assert!(peer.request_body(head).complete);
        peer.send("ok");
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], LISTENER, ""));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 20\r\n\r\n");
    assert_eq!(client.response_head().status(), 200);
    for _ in 0..20 {
        assert!(client.is_quiet_for(Duration::from_millis(50)));
        client.send("x");
    }
    let mut body = Vec::new();
    client.take(2, &mut body).unwrap();
    assert_eq!(body, b"ok");
}
