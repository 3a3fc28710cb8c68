//! Informational responses: what they may say, and how many there may be.

use super::to;
use crate::support::{Origin, reply, request};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

#[test]
fn an_informational_response_says_nothing_of_a_body_and_whom_it_has_passed() {
    let origin = Origin::answering(|request| {
        let framing = match request.target() {
            "/length" => "content-length: 5",
            _ => "transfer-encoding: chunked\r\ntrailer: x-sum",
        };
        let hint = format!("HTTP/1.1 103 Early Hints\r\nvia: 1.1 other\r\n{framing}\r\n\r\n");
        [hint.as_bytes(), &reply(200, &[], "ok")].concat()
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for target in ["/length", "/coding"] {
        client.send(request("GET", target, &[], b""));
        let hint = client.response_head();
        assert_eq!(hint.status(), 103);
        assert_eq!(hint.values("via"), ["1.1 other", "1.1 linkspan"]);
        for name in ["content-length", "transfer-encoding", "trailer"] {
            assert_eq!(hint.value(name), None, "{target} {name}");
        }
        assert_eq!(client.response().text(), "ok");
    }
}

#[test]
fn as_many_informational_responses_as_there_may_be_pass() {
    let origin =
        Origin::answering(|_| [HINT.repeat(100).as_bytes(), &reply(200, &[], "")].concat());
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send(request("GET", "/", &[], b""));
        for _ in 0..100 {
            assert_eq!(client.response_head().status(), 103);
        }
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(origin.connections(), 1, "each request has its own hundred");
}

#[test]
fn informational_responses_without_an_end_are_a_bad_gateway() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            match request.target() {
                "/" => peer.send(reply(200, &[], "ok")),
                _ => while peer.write(HINT.repeat(1000)).is_ok() {},
            }
        }
    });
    let proxy = to(&origin);
    let mut flooded = proxy.connect();
    assert_eq!(flooded.get("/flood").status(), 502);
    assert_eq!(flooded.get("/").text(), "ok", "the client has done nothing wrong");
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "malformed")]), 1);
    let reason = proxy.access(2)[0]["error"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("more than 100 informational responses"), "{reason}");
}
