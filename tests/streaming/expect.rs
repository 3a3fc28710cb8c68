//! Expect: 100-continue, from its first hop to its last.

use std::time::Duration;

use super::to;
use crate::support::{Origin, eventually, reply};

const HEAD: &str =
    "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";

#[test]
fn the_body_is_sent_when_the_upstream_agrees() {
    let origin = Origin::scripted(|peer| {
        while let Some(head) = peer.request_head() {
            assert_eq!(head.value("expect"), Some("100-continue"));
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            let request = peer.request_body(head);
            peer.send(reply(200, &[], &request.body));
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send(HEAD);
        assert_eq!(client.response_head().status(), 100);
        client.send("body");
        assert_eq!(client.response().text(), "body");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_refusal_reaches_the_client_before_it_has_sent_anything() {
    let origin = Origin::scripted(|peer| {
        if let Some(head) = peer.request_head() {
            assert_eq!(head.value("expect"), Some("100-continue"));
            peer.send(reply(401, &[("connection", "close")], "who are you"));
            assert!(peer.rest().is_empty(), "no part of the body follows");
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(HEAD);
    let head = client.response_head();
    assert_eq!(head.status(), 401, "not 100 first");
    let mut body = Vec::new();
    client.take("who are you".len(), &mut body).unwrap();
    assert_eq!(body, b"who are you");
    eventually("the upstream to be let go", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn an_upstream_that_does_not_know_expect_gets_the_body_after_a_moment() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(HEAD);
    assert_eq!(client.response_head().status(), 100);
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn a_client_need_not_wait_for_consent() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(HEAD);
    client.send("body");
    assert_eq!(client.response().text(), "body");
    assert_eq!(client.get("/").status(), 200);
}

#[test]
fn an_answer_of_our_own_comes_without_asking_for_the_body() {
    let down = crate::support::Down::new();
    let config = crate::support::one_cluster(&[down.address()], "", "");
    let proxy = crate::support::Proxy::start(&config);
    let mut client = proxy.connect();
    client.send(HEAD);
    assert_eq!(client.response_head().status(), 503, "not 100 first");
}

#[test]
fn an_unknown_expectation_is_not_taken_for_consent() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\nexpect: wonders\r\ncontent-length: 4\r\n\r\nbody");
    let response = client.response();
    assert!(matches!(response.status(), 200 | 417), "{response:?}");
    assert!(client.is_quiet_for(Duration::from_millis(50)));
}
