//! What goes through TLS to an endpoint: bodies, other protocols, and what is cut off.

use super::{Files, authority, behind, errors};
use crate::support::{Origin, Peer, Proxy, eventually, reply};

/// A proxy in front of an origin that does this with each connection.
fn through(
    files: &Files,
    cluster: &str,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> (Proxy, Origin) {
    let (authority, ca) = authority(files);
    let origin = Origin::secured(authority.vouch(&["127.0.0.1"]).server(), script);
    let config = behind(&origin.address().to_string(), &ca);
    (Proxy::start(&format!("{config}{cluster}\n")), origin)
}

#[test]
fn large_bodies_go_both_ways() {
    let files = Files::new();
    let (proxy, _origin) = through(&files, "", |peer| {
        peer.answer(|request| reply(200, &[], &request.body));
    });
    let body: Vec<u8> = (0..5_000_000_u32).map(|place| (place % 251) as u8).collect();
    let mut client = proxy.connect();
    for _ in 0..2 {
        let answer = client.ask("POST", "/", &[], &body);
        assert_eq!((answer.status(), answer.complete), (200, true));
        assert!(answer.body == body);
    }
}

#[test]
fn another_protocol_goes_both_ways() {
    let files = Files::new();
    let (proxy, _origin) = through(&files, "", |peer| {
        if peer.request().is_some() {
            peer.send(
                "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello ",
            );
            let mut bytes = Vec::new();
            while peer.take(1, &mut bytes).is_ok() {
                peer.send(std::mem::take(&mut bytes));
            }
        }
    });
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    assert_eq!(client.response_head().status(), 101);
    let large = "x".repeat(300_000);
    client.send(&large);
    let mut bytes = Vec::new();
    client.take("hello ".len() + large.len(), &mut bytes).unwrap();
    assert!(bytes.starts_with(b"hello xxx") && bytes.ends_with(b"x"));
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    client.expect_closed();
}

#[test]
fn what_is_cut_off_within_tls_does_not_look_whole() {
    let files = Files::new();
    let until_close = |breaks_off: bool| {
        move |peer: &mut Peer| {
            if peer.request().is_some() {
                peer.send("HTTP/1.1 200 OK\r\n\r\nthe first half");
                if breaks_off {
                    peer.break_off();
                }
            }
        }
    };
    let (proxy, _origin) = through(&files, "", until_close(true));
    let answer = proxy.get("/");
    assert_eq!((answer.status(), answer.complete), (200, false));
    assert_eq!(eventually("a count", || Some(errors(&proxy, "broken")).filter(|it| *it > 0)), 1);
    let (proxy, _origin) = through(&files, "", until_close(false));
    let answer = proxy.get("/");
    assert_eq!((answer.text().as_str(), answer.complete), ("the first half", true));
}

#[test]
fn what_is_whole_by_its_length_may_be_followed_by_anything() {
    let files = Files::new();
    let (proxy, origin) = through(&files, "", |peer| {
        if peer.request().is_some() {
            peer.send(reply(200, &[], "whole"));
            peer.break_off();
        }
    });
    let mut client = proxy.connect();
    for count in 1..=3 {
        let answer = client.get("/");
        assert_eq!((answer.text().as_str(), answer.complete), ("whole", true));
        assert_eq!(origin.connections(), count);
        eventually("its end", || (origin.open_connections() == 0).then_some(()));
    }
}

#[test]
fn an_idle_connection_is_ended_without_harm() {
    let files = Files::new();
    let (proxy, origin) = through(&files, "", |peer| {
        if peer.request().is_some() {
            peer.send(reply(200, &[], "once"));
        }
    });
    let mut client = proxy.connect();
    for count in 1..=3 {
        assert_eq!(client.ask("POST", "/", &[], b"x").text(), "once");
        assert_eq!(origin.connections(), count);
        eventually("its end", || (origin.open_connections() == 0).then_some(()));
    }
    assert_eq!(proxy.access(3)[2]["attempts"], 1);
}

#[test]
fn checks_speak_tls_where_requests_do() {
    let files = Files::new();
    let check = "health.check = { path = '/up', interval = '20ms' }";
    let (proxy, origin) = through(&files, check, |peer| peer.answer(|_| reply(200, &[], "up")));
    origin.wait_for(2);
    assert_eq!(origin.requests()[0].target(), "/up");
    assert_eq!(proxy.get("/").text(), "up");
    let (authority, ca) = authority(&files);
    let origin = Origin::secured(authority.vouch(&["10.0.0.1"]).server(), |peer| {
        peer.answer(|_| reply(200, &[], "up"));
    });
    let config = behind(&origin.address().to_string(), &ca);
    let proxy =
        Proxy::start(&format!("{config}{check}\nhealth.offline = '0s'\nforce-recovery = false\n"));
    let status = |_: &()| proxy.get("/").status();
    eventually("it to be unhealthy", || Some(()).filter(|it| status(it) == 503));
    assert_eq!(origin.hits(), 0);
}

#[test]
fn a_tcp_listener_speaks_tls_for_its_clients() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = Origin::secured(authority.vouch(&["127.0.0.1"]).server(), |peer| {
        let line = peer.line().unwrap();
        peer.send(format!("you said {line}"));
    });
    let config = behind(&origin.address().to_string(), &ca);
    let proxy = Proxy::start(&config.replace("[clusters", "protocol = 'tcp'\n[clusters"));
    let mut client = proxy.connect();
    client.send("hello\r\n");
    assert_eq!(client.rest(), b"you said hello");
}
