//! What of HTTP/2 becomes what of HTTP/1 (RFC 9113, 8.2 and 8.3), and what is malformed.

use super::{Http2, connect, speaking};
use crate::support::http2::{Answer, END_HEADERS, END_STREAM, HEADERS, field, fields, frame};
use crate::support::{Origin, Proxy, eventually, one_cluster, reply};

/// What a request of these fields gets, after which another is served, over the same connection if that
/// stays.
fn refused(request: &[(&str, &str)]) -> Answer {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(request)));
    let answer = client.answer(1);
    assert_eq!(connect(&proxy).get(1, "/innocent").statuses, [200]);
    let targets: Vec<_> = origin.requests().iter().map(|r| r.head.target().to_owned()).collect();
    assert_eq!(targets, ["/innocent"], "{request:?}");
    answer
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "a.test");

#[test]
fn what_is_malformed_is_refused_by_its_stream_alone() {
    let mut wrong = Vec::new();
    for request in [
        &[METHOD, SCHEME, PATH][..],
        &[METHOD, SCHEME, PATH, (":authority", "u@a.test")],
        &[METHOD, SCHEME, PATH, (":authority", "a.test:b")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("host", "b.test")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("host", "a.test"), ("host", "b.test")],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, PATH, AUTHORITY],
        &[SCHEME, PATH, AUTHORITY],
        &[METHOD, (":scheme", "ftp"), PATH, AUTHORITY],
        &[METHOD, SCHEME, (":path", "*"), AUTHORITY],
        &[METHOD, SCHEME, (":path", "a"), AUTHORITY],
        &[METHOD, SCHEME, (":path", "http://b.test/"), AUTHORITY],
        &[METHOD, SCHEME, (":path", "/<"), AUTHORITY],
        &[METHOD, SCHEME, (":path", "/%zz"), AUTHORITY],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", "close")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("keep-alive", "5")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("proxy-connection", "close")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "h2c")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", "chunked")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("te", "gzip")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "5")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "0"), ("content-length", "0")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", " y")],
        &[METHOD, SCHEME, PATH, AUTHORITY, (":protocol", "websocket")],
    ] {
        let Answer { statuses, reset, .. } = refused(request);
        if !matches!((&statuses[..], reset), ([400], None) | ([], Some(1))) {
            wrong.push(format!("{request:?}: {statuses:?} {reset:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn connect_and_trace_are_refused() {
    for method in ["CONNECT", "TRACE"] {
        let pseudo = [(":method", method), SCHEME, PATH, AUTHORITY];
        let request =
            if method == "CONNECT" { vec![pseudo[0], AUTHORITY] } else { pseudo.to_vec() };
        assert_eq!(refused(&request).statuses, [405], "{method}");
    }
}

#[test]
fn a_host_alone_will_do() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    for (stream, host) in [(1, &[("host", "b.test")][..]), (3, &[AUTHORITY, ("host", "A.test")])] {
        let pseudo = [METHOD, SCHEME, PATH];
        let request = [fields(&pseudo), fields(host)].concat();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, request));
        assert_eq!(client.answer(stream).statuses, [200]);
    }
    let hosts = origin
        .requests()
        .iter()
        .map(|r| r.head.value("host").unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(hosts, ["b.test", "a.test"]);
}

#[test]
fn the_server_as_a_whole_can_be_asked_for_options() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let request = fields(&[(":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY]);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request));
    assert_eq!(client.answer(1).statuses, [200]);
    assert_eq!(origin.request().head.line, "OPTIONS * HTTP/1.1");
}

#[test]
fn a_body_has_the_length_that_was_announced() {
    for body in ["abc", "abcdefg"] {
        let origin = Origin::scripted(|peer| {
            if let Some(head) = peer.request_head() {
                peer.request_body(head);
            }
        });
        let proxy = speaking(origin.address());
        let mut client = connect(&proxy);
        let request = crate::support::http2::head("POST", "/", &[("content-length", "5")]);
        client.send(frame(HEADERS, END_HEADERS, 1, request));
        client.send(frame(0, END_STREAM, 1, body));
        let answer = client.answer(1);
        assert_eq!((&answer.statuses[..], answer.reset), (&[][..], Some(1)), "{body}");
        eventually("the upstream to be left", || (origin.open_connections() == 0).then_some(()));
    }
}

#[test]
fn fields_of_a_connection_end_at_it() {
    let origin = Origin::answering(|_| {
        let fields =
            [("connection", "x-own"), ("x-own", "1"), ("keep-alive", "timeout=5"), ("x", "y")];
        reply(200, &fields, "hello")
    });
    let proxy = speaking(origin.address());
    let answer = connect(&proxy).get(1, "/");
    assert!(answer.whole);
    let head = String::from_utf8_lossy(&answer.heads[0]).into_owned();
    for gone in ["connection", "keep-alive", "x-own"] {
        assert!(!head.contains(gone), "{head:?}");
    }
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = Origin::answering(|request| match request.head.target() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n".to_vec(),
        _ if request.head.method() == "HEAD" => {
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec()
        }
        _ => reply(200, &[], ""),
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    for (stream, path, status) in [(1, "/204", 204), (3, "/304", 304), (5, "/200", 200)] {
        let answer = client.get(stream, path);
        assert_eq!(
            (&answer.statuses[..], answer.whole, answer.body.len()),
            (&[status][..], true, 0)
        );
    }
    let request = crate::support::http2::head("HEAD", "/", &[]);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 7, request));
    let answer = client.answer(7);
    assert_eq!((&answer.statuses[..], answer.whole, answer.body.len()), (&[200][..], true, 0));
}

#[test]
fn interim_responses_are_passed_on() {
    let origin = Origin::raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let proxy = speaking(origin.address());
    let answer = connect(&proxy).get(1, "/");
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[103, 200][..], &b"ok"[..]));
}

#[test]
fn consent_comes_when_the_upstream_gives_it() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.request_head() else { return };
        let _ = peer.write("HTTP/1.1 100 Continue\r\n\r\n");
        let request = peer.request_body(head);
        let _ = peer.write(reply(200, &[], &request.body));
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let head = crate::support::http2::head("POST", "/", &[("expect", "100-continue")]);
    client.send(frame(HEADERS, END_HEADERS, 1, head));
    client.until(|client| client.answers.get(&1).is_some_and(|a| a.statuses == [100]));
    client.send(frame(0, END_STREAM, 1, "body"));
    let answer = client.answer(1);
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[100, 200][..], &b"body"[..]));
}

#[test]
fn nothing_gets_into_a_head_by_a_value() {
    for (name, value) in [
        (&b"x"[..], &b"1\r\nx-evil: 1"[..]),
        (b"x", b"1\nx-evil: 1"),
        (b"x", b"1\x002"),
        (b"x\r\nx-evil", b"1"),
        (b"x y", b"1"),
        (b"X", b"1"),
        (b"", b"1"),
    ] {
        let origin = Origin::echo();
        let proxy = speaking(origin.address());
        let mut client = connect(&proxy);
        let request = [fields(&[METHOD, SCHEME, PATH, AUTHORITY]), field(name, value)].concat();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request));
        client.until(|client| {
            client.answers.get(&1).is_some_and(|a| a.whole || a.reset.is_some())
                || !client.goaways.is_empty()
        });
        let mut other = Http2::connect(proxy.address("web"));
        assert_eq!(other.get(1, "/innocent").statuses, [200]);
        assert_eq!(origin.hits(), 1, "{:?}", String::from_utf8_lossy(value));
    }
}

#[test]
fn a_balancer_decides_about_each_request_of_a_connection() {
    let origins = [Origin::replying("one"), Origin::replying("other")];
    let addresses = origins.each_ref().map(Origin::address);
    let config = one_cluster(&addresses, "http-versions = ['h2']", "balancer = 'round-robin'");
    let proxy = Proxy::start(&config);
    let mut client = connect(&proxy);
    for stream in [1, 3, 5, 7] {
        assert_eq!(client.get(stream, "/").statuses, [200]);
    }
    assert_eq!(origins.each_ref().map(Origin::hits), [2, 2]);
}
