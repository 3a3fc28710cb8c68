//! Where messages end, whatever each side uses to say so.

use super::to;
use crate::support::{Origin, reply};

#[test]
fn each_side_keeps_the_framing_of_the_other() {
    let origin = Origin::answering(|request| {
        if request.is_chunked() {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()
        } else {
            reply(200, &[], "abc")
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(
        "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
         1;ext=1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n",
    );
    let response = client.response();
    assert!(response.complete && response.is_chunked() && response.length().is_none());
    assert_eq!(response.text(), "abc");
    let response = client.ask("POST", "/", &[], b"xyz");
    assert!(response.complete && !response.is_chunked());
    assert_eq!((response.length(), response.text().as_str()), (Some(3), "abc"));
    let requests = origin.requests();
    assert!(requests[0].is_chunked() && requests[0].length().is_none());
    assert!(!requests[1].is_chunked() && requests[1].length() == Some(3));
    assert!(requests.iter().all(|request| request.complete && request.text() == "xyz"));
}

#[test]
fn a_request_without_a_body_has_no_framing() {
    let origin = Origin::replying("");
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        assert_eq!(client.ask(method, "/", &[], b"").status(), 200);
    }
    for request in origin.requests() {
        assert!(!request.is_chunked() && request.length().is_none(), "{request:?}");
    }
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(origin.requests()[4].length(), Some(0));
}

#[test]
fn a_response_that_ends_with_its_connection_is_chunked_for_the_client() {
    let origin = Origin::raw("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "until the end");
        assert!(response.complete && response.is_chunked());
        assert_eq!(response.version(), "HTTP/1.1");
    }
}

#[test]
fn an_http_1_0_client_gets_bodies_that_it_can_read() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let origin = Origin::answering(move |request| match request.target() {
        "/chunked" => chunked.as_bytes().to_vec(),
        _ => reply(200, &[], "abc"),
    });
    let proxy = to(&origin);
    for target in ["/chunked", "/length"] {
        let mut client = proxy.connect();
        client.send(format!("GET {target} HTTP/1.0\r\nhost: test\r\n\r\n"));
        let response = client.response();
        assert!(!response.is_chunked(), "{response:?}");
        assert_eq!((response.text().as_str(), response.complete), ("abc", true));
        client.expect_closed();
    }
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.value("connection")),
        ("abc", Some("keep-alive"))
    );
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "abc");
    client.expect_closed();
    let last = origin.requests().pop().unwrap();
    assert_eq!(last.value("host"), Some(origin.address().to_string().as_str()), "it named none");
    assert_eq!(last.values("x-forwarded-host"), [""; 0]);
    assert_eq!(last.value("via"), Some("1.0 linkspan"));
    assert!(last.line.ends_with("HTTP/1.1"), "{}", last.line);
}

#[test]
fn responses_without_a_body_keep_their_fields_and_the_connection() {
    let origin = Origin::answering(|request| match (request.method(), request.target()) {
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec(),
        (_, "/204") => reply(204, &[("x-kept", "1")], ""),
        (_, "/304") => {
            b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 99\r\n\r\n".to_vec()
        }
        _ => reply(200, &[], "body"),
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let head = client.ask("HEAD", "/", &[], b"");
    assert_eq!((head.status(), head.length()), (200, Some(1234)));
    let no_content = client.get("/204");
    assert_eq!((no_content.status(), no_content.value("x-kept")), (204, Some("1")));
    assert!(no_content.length().is_none() && !no_content.is_chunked());
    let not_modified = client.get("/304");
    assert_eq!((not_modified.status(), not_modified.value("etag")), (304, Some("\"a\"")));
    assert!(!not_modified.is_chunked());
    assert_eq!(client.get("/").text(), "body");
    assert_eq!(origin.connections(), 1);
    assert!(proxy.access(4).iter().all(|line| line["error"].is_null()));
}

#[test]
fn an_empty_response_is_said_to_be_empty() {
    let origin = Origin::replying("");
    let proxy = to(&origin);
    let response = proxy.get("/");
    assert_eq!(response.length(), Some(0));
}
