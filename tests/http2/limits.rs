//! Limits of requests, streams and connections, and how connections end.

use super::{Http2, connect, speaking, speaking_with};
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, get, head,
};
use crate::support::{Origin, PATIENCE, eventually, one_cluster, reply};

#[test]
fn heads_that_are_too_large_are_refused() {
    let origin = Origin::echo();
    let limits = "max-head-bytes = '8KiB'\nmax-headers = 10\nmax-target-bytes = '1KiB'";
    let proxy = speaking_with(origin.address(), limits, "");
    let mut client = connect(&proxy);
    let large = "x".repeat(8 << 10);
    let larger = "x".repeat(10 << 10);
    let many: Vec<_> = (0..11).map(|number| (format!("x-{number}"), "y")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    let long = format!("/{}", "x".repeat(1 << 10));
    for (stream, head, status) in [
        (1, head("GET", "/", &[("x", &large)]), 431),
        (3, head("GET", "/", &many), 431),
        (5, head("GET", &long, &[]), 414),
        (7, head(&"X".repeat(65), "/", &[]), 501),
        (9, head("GET", "/", &[("x", &larger)]), 431),
        (11, head("GET", "/", &[]), 200),
    ] {
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, head));
        assert_eq!(client.answer(stream).statuses, [status], "{stream}");
    }
    assert_eq!(origin.hits(), 1);
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "max-body-bytes = '10B'", "");
    let mut client = connect(&proxy);
    client.send(frame(HEADERS, END_HEADERS, 1, head("POST", "/", &[("content-length", "11")])));
    let answer = client.answer(1);
    assert_eq!(answer.statuses, [413]);
    client.send(frame(HEADERS, END_HEADERS, 3, head("POST", "/", &[])));
    client.send(frame(DATA, 0, 3, "12345678901"));
    assert_eq!(client.answer(3).statuses, [413]);
    assert_eq!(client.get(5, "/").statuses, [200]);
}

#[test]
fn a_head_that_trickles_in_ends_the_connection() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "head-timeout = '1s'", "");
    let mut client = connect(&proxy);
    assert_eq!(client.get(1, "/").statuses, [200]);
    client.send(frame(HEADERS, END_STREAM, 3, head("GET", "/", &[])));
    client.listen_to_end();
    assert_eq!(client.goaways, [11]);
    // Nor is a preface waited for that does not come to its end.
    let mut client = Http2::raw(proxy.address("web"));
    client.send(&PREFACE[..10]);
    let mut seen = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.stream(), &mut seen);
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "idle-timeout = '1s'", "");
    let mut client = connect(&proxy);
    assert_eq!(client.get(1, "/").statuses, [200]);
    client.listen_to_end();
    assert_eq!(client.goaways, [0]);
    let mut silent = Http2::raw(proxy.address("web"));
    silent.listen_to_end();
}

#[test]
fn a_request_takes_no_longer_than_it_may() {
    let origin = Origin::scripted(|peer| {
        let Some(request) = peer.request() else { return };
        if request.head.target() == "/part" {
            let _ = peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart");
        }
        peer.hang();
    });
    let proxy = speaking_with(origin.address(), "request-timeout = '1s'", "");
    let mut client = connect(&proxy);
    client.send([get(1, "/"), get(3, "/part")].concat());
    assert_eq!(client.answer(1).statuses, [504]);
    let part = client.answer(3);
    assert_eq!(
        (&part.statuses[..], &part.body[..], part.reset),
        (&[200][..], &b"part"[..], Some(8))
    );
    assert!(client.goaways.is_empty());
}

#[test]
fn a_silent_upload_is_given_up() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "body-timeout = '1s'", "");
    let mut client = connect(&proxy);
    client.send(frame(HEADERS, END_HEADERS, 1, head("POST", "/", &[])));
    client.send(frame(DATA, 0, 1, "some"));
    assert_eq!(client.answer(1).statuses, [408]);
    assert_eq!(client.get(3, "/").statuses, [200]);
}

#[test]
fn a_connection_has_no_more_requests_than_it_may() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "max-requests-per-connection = 2", "");
    let mut client = connect(&proxy);
    assert_eq!(client.get(1, "/").statuses, [200]);
    assert!(client.goaways.is_empty());
    assert_eq!(client.get(3, "/").statuses, [200]);
    client.listen_to_end();
    assert_eq!(client.goaways.first(), Some(&0));
}

#[test]
fn a_connection_has_no_more_requests_at_a_time_than_it_may() {
    let origin = Origin::scripted(|peer| peer.hang());
    let proxy = speaking_with(origin.address(), "max-streams = 2", "");
    let mut client = connect(&proxy);
    client.send([get(1, "/"), get(3, "/"), get(5, "/")].concat());
    assert_eq!(client.answer(5).reset, Some(7));
}

#[test]
fn open_requests_are_answered_when_the_proxy_leaves() {
    let origin = Origin::scripted(|peer| {
        if peer.request().is_some() {
            let _ = peer.line();
        }
    });
    let proxy = speaking(origin.address());
    let (mut busy, mut idle) = (connect(&proxy), connect(&proxy));
    assert!(idle.until(|client| client.acks > 0));
    busy.send(get(1, "/"));
    origin.wait_for(1);
    let done = proxy.shut_down(Some(PATIENCE));
    idle.listen_to_end();
    assert_eq!(idle.goaways.first(), Some(&0));
    assert!(busy.until(|client| !client.goaways.is_empty()));
    assert!(!busy.answers.get(&1).is_some_and(|answer| answer.whole));
    origin.cut_connections();
    assert_eq!(busy.answer(1).statuses, [502]);
    busy.listen_to_end();
    assert!(done.recv().unwrap());
}

#[test]
fn a_listener_that_goes_lets_its_connections_end() {
    let origin = Origin::echo();
    let mut proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    assert_eq!(client.get(1, "/").statuses, [200]);
    let other =
        one_cluster(&[origin.address()], "", "").replace("listeners.web", "listeners.other");
    proxy.reload(&other).unwrap();
    client.listen_to_end();
    assert_eq!(client.goaways.first(), Some(&0));
}

#[test]
fn a_reload_changes_what_open_connections_get() {
    let (one, two) = (Origin::replying("one"), Origin::replying("two"));
    let config = |origin: &Origin| {
        one_cluster(&[origin.address()], "http-versions = ['h2', 'http/1.1']", "")
    };
    let mut proxy = crate::support::Proxy::start(&config(&one));
    let mut client = connect(&proxy);
    assert_eq!(client.get(1, "/").body, b"one");
    proxy.reload(&config(&two)).unwrap();
    assert_eq!(client.get(3, "/").body, b"two");
}

#[test]
fn heads_come_in_parts_and_with_padding() {
    let origin = Origin::answering(|_| reply(200, &[], "ok"));
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let head = head("GET", "/parts", &[]);
    let (one, two) = head.split_at(5);
    client.send(frame(HEADERS, END_STREAM, 1, one));
    client.send(frame(CONTINUATION, END_HEADERS, 1, two));
    assert_eq!(client.answer(1).statuses, [200]);
    let padded = [&[3][..], &head, &[0, 0, 0]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS | 8, 3, padded));
    assert_eq!(client.answer(3).statuses, [200]);
    // An unknown frame and a setting of no meaning change nothing.
    client.send(frame(77, 0, 0, "what"));
    client.send(frame(SETTINGS, 0, 0, [0, 99, 0, 0, 0, 1]));
    assert_eq!(client.get(5, "/").statuses, [200]);
    eventually("three requests", || (origin.hits() == 3).then_some(()));
}
