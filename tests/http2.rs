//! HTTP/2 from clients who know of it beforehand: requests and answers, and what is malformed.

mod cases;
mod conformance;
mod flow;
mod hostile;
mod limits;
mod mapping;
mod websocket;

use std::net::SocketAddr;

use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, RST_STREAM, frame, get, head,
};
use crate::support::{Client, Origin, Proxy, eventually, one_cluster, reply};

/// A proxy that speaks HTTP/2, and further lines of its listener and cluster.
fn speaking_with(endpoint: SocketAddr, listener: &str, cluster: &str) -> Proxy {
    let listener = format!("http-versions = ['h2', 'http/1.1']\n{listener}");
    Proxy::start(&one_cluster(&[endpoint], &listener, cluster))
}

fn speaking(endpoint: SocketAddr) -> Proxy {
    speaking_with(endpoint, "", "")
}

fn connect(proxy: &Proxy) -> Http2 {
    Http2::connect(proxy.address("web"))
}

#[test]
fn a_request_is_relayed_and_answered() {
    let origin = Origin::replying("hello");
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let answer = client.get(1, "/path?query");
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[200][..], &b"hello"[..]));
    assert!(answer.whole && answer.reset.is_none());
    let request = origin.request();
    assert_eq!(request.head.line, "GET /path?query HTTP/1.1");
    assert_eq!(request.head.value("host"), Some("a.test"));
    assert_eq!(request.head.value("via"), Some("2 linkspan"));
    let line = &proxy.access(1)[0];
    assert_eq!(line["protocol"], "HTTP/2.0");
    assert_eq!((&line["status"], &line["bytes_down"]), (&200.into(), &5.into()));
}

#[test]
fn one_listener_speaks_both_versions() {
    let origin = Origin::replying("hello");
    let proxy = speaking(origin.address());
    assert_eq!(proxy.get("/1").head.status(), 200);
    assert_eq!(connect(&proxy).get(1, "/2").statuses, [200]);
    // Single bytes of what may become the preface, and does or does not.
    let mut client = Http2::raw(proxy.address("web"));
    for byte in PREFACE {
        client.send([*byte]);
    }
    client.send(frame(4, 0, 0, [0, 1, 0, 0, 0, 0]));
    assert_eq!(client.get(1, "/3").statuses, [200]);
    let mut other = Client::connect(proxy.address("web"));
    for byte in b"PRI /4 HTTP/1.1\r\nHost: a.test\r\n\r\n" {
        other.send([*byte]);
    }
    assert_eq!(other.response().head.status(), 200);
    let targets = ["/1", "/2", "/3", "/4"];
    assert!(origin.requests().iter().map(|request| request.head.target()).eq(targets));
}

#[test]
fn a_listener_of_http2_alone_speaks_no_other() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "http-versions = ['h2']", ""));
    assert_eq!(connect(&proxy).get(1, "/").statuses, [200]);
    let mut client = Http2::raw(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.listen_to_end();
    assert_eq!(origin.hits(), 1);
}

#[test]
fn many_requests_of_a_connection_are_open_at_a_time() {
    let origin = Origin::scripted(|peer| {
        let Some(request) = peer.request() else { return };
        if request.head.target() == "/slow" {
            return peer.hang();
        }
        let _ = peer.write(reply(200, &[], request.head.target()));
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send(get(1, "/slow"));
    for stream in (3..99).step_by(2) {
        client.send(get(stream, &format!("/{stream}")));
    }
    for stream in (3..99).step_by(2) {
        assert_eq!(client.answer(stream).body, format!("/{stream}").as_bytes());
    }
    assert!(!client.answers.contains_key(&1));
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let origin = Origin::answering(|request| {
        let (_, sum) = &request.trailers[0];
        let body = format!("5\r\nhello\r\n0\r\nx-sum: {sum}\r\n\r\n");
        reply_chunked(&body)
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send(frame(
        HEADERS,
        END_HEADERS,
        1,
        head("POST", "/", &[("te", "trailers"), ("trailer", "x-sum")]),
    ));
    client.send(frame(DATA, 0, 1, "abc"));
    client.send(frame(DATA, 0, 1, "def"));
    let trailers = crate::support::http2::fields(&[("x-sum", "17")]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers));
    let answer = client.answer(1);
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[200][..], &b"hello"[..]));
    assert_eq!(answer.heads.len(), 2);
    // The digits are compressed.
    assert!(answer.whole && answer.heads[1].ends_with(b"\x82\x0b\xbf"), "{:?}", answer.heads[1]);
    let request = origin.request();
    assert_eq!(request.text(), "abcdef");
    assert_eq!(request.head.value("transfer-encoding"), Some("chunked"));
}

fn reply_chunked(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n{body}").into()
}

#[test]
fn a_response_that_breaks_off_has_no_end() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
    let proxy = speaking(origin.address());
    let answer = connect(&proxy).get(1, "/");
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[200][..], &b"hello"[..]));
    assert_eq!((answer.whole, answer.reset), (false, Some(2)));
}

#[test]
fn a_request_that_is_taken_back_ends_what_it_has_begun() {
    let origin = Origin::scripted(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send(get(1, "/"));
    origin.wait_for(1);
    client.send(frame(RST_STREAM, 0, 1, 8_u32.to_be_bytes()));
    eventually("the upstream's connection to close", || {
        (origin.open_connections() == 0).then_some(())
    });
    let line = &proxy.access(1)[0];
    assert_eq!(line["status"], 0);
    assert_eq!(line["error"], "the client went away before the response");
}
