//! Other protocols over the connection of a request: tunnels, and what never opens one.

use std::io::{ErrorKind, Read as _};
use std::net::Shutdown;
use std::time::Duration;

use crate::support::{Client, Origin, Peer, Proxy, eventually, one_cluster, reply};

const ASK: &str = "GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: keep-alive, Upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                      upgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";

fn to(origin: &Origin, listener: &str, cluster: &str) -> Proxy {
    Proxy::start(&one_cluster(&[origin.address()], listener, cluster))
}

/// An origin that agrees to the first request of each connection, and then does this.
fn agreeing(then: impl Fn(&mut Peer) + Send + Sync + 'static) -> Origin {
    Origin::scripted(move |peer| {
        if peer.request().is_some() {
            peer.send(SWITCH);
            then(peer);
        }
    })
}

/// Sends back whatever comes, until the client has no more.
fn echo(peer: &mut Peer) {
    let mut bytes = Vec::new();
    while peer.take(1, &mut bytes).is_ok() && !bytes.is_empty() {
        peer.send(&bytes);
        bytes.clear();
    }
}

fn open_tunnels(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_tunnels_open", &[("listener", "web")])
}

/// A client whose upgrade was agreed to.
fn upgraded(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(ASK);
    assert_eq!(client.response_head().status(), 101);
    client
}

/// What comes next, which is so long.
fn next(client: &mut Client, length: usize) -> String {
    let mut bytes = Vec::new();
    client.take(length, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn both_sides_speak_another_protocol_once_they_agree() {
    let origin = agreeing(echo);
    let proxy = to(&origin, "", "");
    let mut client = proxy.connect();
    // What a client sends along is for whoever speaks the protocol, whatever it looks like.
    client.send(format!("{ASK}GET / HTTP/1.1\r\n\r\n\0"));
    let head = client.response_head();
    assert_eq!((head.status(), head.value("upgrade")), (101, Some("websocket")));
    assert_eq!(
        (head.value("connection"), head.value("sec-websocket-accept")),
        (Some("upgrade"), Some("x"))
    );
    assert_eq!(next(&mut client, 19), "GET / HTTP/1.1\r\n\r\n\0");
    client.send("\u{1}\n");
    assert_eq!(next(&mut client, 2), "\u{1}\n");
    assert_eq!(open_tunnels(&proxy), 1);
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.expect_closed();

    let request = origin.request();
    assert_eq!(
        (request.value("connection"), request.value("upgrade")),
        (Some("upgrade"), Some("websocket"))
    );
    assert_eq!(request.value("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    let line = &proxy.access(1)[0];
    assert_eq!((&line["status"], &line["error"]), (&101.into(), &serde_json::Value::Null));
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&21.into(), &21.into()));
    eventually("the tunnel to be counted out", || (open_tunnels(&proxy) == 0).then_some(()));
    assert_eq!(proxy.counter("linkspan_tunnels", &[("listener", "web")]), 1);
    assert_eq!(proxy.counter("linkspan_connections_open", &[("listener", "web")]), 0);
}

#[test]
fn what_an_upstream_says_at_once_arrives_and_its_end_leaves_the_client_talking() {
    let origin = agreeing(|peer| {
        peer.send("\0early");
        peer.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.rest(), b"still here");
    });
    let proxy = to(&origin, "", "");
    let mut client = upgraded(&proxy);
    assert_eq!(client.rest(), b"\0early");
    client.send("still here");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(proxy.access(1)[0]["error"], serde_json::Value::Null);
}

#[test]
fn a_request_has_its_body_before_it_switches() {
    let origin = agreeing(echo);
    let proxy = to(&origin, "", "");
    let mut client = proxy.connect();
    client.send(ASK.replace("\r\n\r\n", "\r\ncontent-length: 5\r\n\r\nhelloraw"));
    assert_eq!(client.response_head().status(), 101);
    assert_eq!(next(&mut client, 3), "raw");
    assert_eq!(origin.request().text(), "hello");
}

#[test]
fn an_upstream_that_goes_on_in_http_gets_the_next_request_as_one() {
    let origin = Origin::answering(|request| reply(200, &[], request.target()));
    let proxy = to(&origin, "", "");
    let mut client = proxy.connect();
    client.send(format!("{ASK}GET /2 HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    assert_eq!((client.response().text(), client.response().text()), ("/ws".into(), "/2".into()));
    client.send(ASK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    assert_eq!(client.response().text(), "/ws");
    client.expect_closed();
    assert_eq!(proxy.counter("linkspan_tunnels", &[("listener", "web")]), 0);
}

#[test]
fn no_upstream_is_asked_for_what_the_client_cannot_or_may_not_have() {
    let origin = Origin::replying("ok");
    let proxy = to(&origin, "", "");
    let asked = ASK.strip_suffix("\r\n").unwrap();
    for head in [
        asked.replace("keep-alive, Upgrade", "keep-alive"),
        asked.replace("HTTP/1.1", "HTTP/1.0"),
        asked.replace("websocket\r\n", "h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
        asked.replace("websocket\r\n", "TLS/1.0, HTTP/2.0\r\n"),
    ] {
        let mut client = proxy.connect();
        client.send(format!("{head}\r\n"));
        assert_eq!(client.response().text(), "ok", "{head}");
    }
    for request in origin.requests() {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(request.value(name), None, "{request:?}");
        }
    }
}

#[test]
fn an_upstream_cannot_switch_by_itself() {
    let foo = SWITCH.replace("websocket", "foo");
    let two = SWITCH.replace("websocket", "websocket, h2c");
    let half = SWITCH.replace("connection: upgrade\r\n", "");
    let plain = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    for (request, answer) in [
        (plain, SWITCH),
        (ASK, &*foo),
        (ASK, &*two),
        (ASK, &*half),
        (ASK, "HTTP/1.1 101 X\r\n\r\n"),
    ] {
        let origin = Origin::raw(format!("{answer}raw"));
        let proxy = to(&origin, "", "");
        let mut client = proxy.connect();
        client.send(request);
        assert_eq!(client.response().status(), 502, "{answer:?}");
        client.send(plain.replace("close", ""));
        assert_eq!(client.response().status(), 502, "it is still HTTP");
        assert_eq!(proxy.counter("linkspan_tunnels", &[("listener", "web")]), 0);
    }
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends() {
    let origin = agreeing(|peer| assert_eq!(peer.rest(), b""));
    let proxy =
        to(&origin, "idle-timeout = '50ms'\nbody-timeout = '50ms'", "tunnel-timeout = '300ms'");
    let mut client = upgraded(&proxy);
    assert!(client.is_quiet_for(Duration::from_millis(150)), "no other timeout counts");
    client.expect_closed();
    let reason = "nothing went through the tunnel for tunnel-timeout = 300ms of cluster main";
    assert_eq!(proxy.access(1)[0]["error"], reason);
}

#[test]
fn a_reset_goes_through_a_tunnel() {
    let origin = agreeing(|peer| {
        peer.take(1, &mut Vec::new()).unwrap();
        peer.reset_on_close();
    });
    let proxy = to(&origin, "", "");
    let mut client = upgraded(&proxy);
    client.send("x");
    assert!(client.skip(1).is_err());
    let reason = proxy.access(1)[0]["error"].as_str().unwrap().to_owned();
    assert_eq!(
        reason,
        format!("{}: its end of the tunnel broke: connection reset", origin.address())
    );
}

#[test]
fn a_proxy_that_leaves_waits_for_tunnels_as_long_as_it_may() {
    let origin = agreeing(echo);
    let proxy = to(&origin, "", "");
    let mut client = upgraded(&proxy);
    let done = proxy.shut_down(None);
    client.send("on");
    assert_eq!(next(&mut client, 2), "on");
    drop(client);
    assert!(done.recv().unwrap(), "nothing was cut off");

    let proxy = to(&origin, "", "");
    let mut client = upgraded(&proxy);
    client.send("on");
    assert_eq!(next(&mut client, 2), "on");
    assert!(!proxy.shut_down(Some(Duration::from_millis(50))).recv().unwrap());
    let reason = "cut off at shutdown, after 2 bytes of the response";
    assert_eq!(proxy.access(1)[0]["error"], reason);
}

#[test]
fn what_is_cut_off_of_a_tunnel_is_no_end() {
    let origin = agreeing(echo);
    let proxy = to(&origin, "", "tunnel-timeout = '200ms'");
    let client = upgraded(&proxy);
    assert!(is_reset(&client), "by tunnel-timeout");

    let proxy = to(&origin, "", "");
    let client = upgraded(&proxy);
    assert!(!proxy.shut_down(Some(Duration::ZERO)).recv().unwrap());
    assert!(is_reset(&client), "at shutdown");
}

fn is_reset(client: &Client) -> bool {
    let end = client.stream().read_to_end(&mut Vec::new());
    end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn what_follows_a_pipelined_upgrade_waits_for_its_answer() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/ws" {
                peer.send(SWITCH);
                return echo(peer);
            }
            peer.send(reply(200, &[], "first"));
        }
    });
    let proxy = to(&origin, "", "");
    // Neither of these is a head.
    for bytes in ["\r\n\u{1}\u{5}hello", "\u{1}\u{5}hello"] {
        let mut client = proxy.connect();
        client.send(format!("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n{ASK}{bytes}"));
        assert_eq!(client.response().text(), "first");
        assert_eq!(client.response_head().status(), 101);
        assert_eq!(next(&mut client, bytes.len()), bytes);
    }
}

#[test]
fn an_answer_to_an_upgrade_that_nobody_agreed_to_is_written_whole() {
    const MUCH: usize = 8 << 20;
    let origin = Origin::scripted(|peer| {
        if peer.request_head().is_some() {
            peer.send(reply(200, &[], vec![b'x'; MUCH]));
            peer.hang();
        }
    });
    let proxy = to(&origin, "", "");
    let mut client = proxy.connect();
    // Of the body, nothing comes.
    client.send(ASK.replace("GET", "POST").replace("host:", "content-length: 10\r\nhost:"));
    let head = client.response_head();
    assert_eq!(head.status(), 200);
    // More than anybody holds for it waits by now.
    assert!(!client.is_quiet_for(Duration::from_millis(200)));
    let mut bytes = Vec::new();
    client.take(MUCH, &mut bytes).unwrap();
    assert_eq!(bytes.len(), MUCH);
}

#[test]
fn neither_tunnels_nor_refused_heads_distort_the_durations_of_requests() {
    let origin = agreeing(echo);
    let proxy = to(&origin, "", "");
    let counts = || {
        ["linkspan_requests_total", "linkspan_request_duration_seconds"]
            .map(|name| proxy.counter(name, &[("listener", "web")]))
    };
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    drop(upgraded(&proxy));
    eventually("both to be counted", || (counts() == [2, 0]).then_some(()));
    let mut client = proxy.connect();
    client.send("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().status(), 405);
    eventually("one that was understood to be timed", || (counts() == [3, 1]).then_some(()));
}
