//! Requests and responses keep their meaning when they change between HTTP/1 and HTTP/2.

use http::HeaderMap;

use super::{before, to};
use crate::support::streams::{Call, Streams};
use crate::support::{Proxy, eventually, one_cluster};

/// Answers with the request's body and trailers.
async fn echo(mut call: Call) {
    let (body, trailers) = call.body().await;
    let mut stream = call.begin(200, &[("x-length", &body.len().to_string())]);
    let sent = crate::support::streams::send(&mut stream, body, trailers.is_none()).await;
    if let Some(trailers) = trailers.filter(|_| sent) {
        stream.send_trailers(trailers).unwrap();
    }
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

#[test]
fn a_request_is_what_it_was_in_the_form_of_http_2() {
    let origin = Streams::replying("ok");
    let proxy = to(&origin);
    let fields = [
        ("host", "www.example:81"),
        ("te", "trailers, gzip"),
        ("connection", "te, x-own, close"),
        ("x-own", "for you"),
        ("keep-alive", "timeout=5"),
        ("cookie", "a=b; c=d"),
        ("x-value", "\u{e9}"),
    ];
    let response = proxy.connect().ask("GET", "/a%20b?c=d", &fields, b"");
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert_eq!(response.values("via"), ["2 linkspan"]);
    let requests = origin.requests();
    let request = requests.first().unwrap();
    assert_eq!(request.uri(), "http://www.example:81/a%20b?c=d");
    let headers = request.headers();
    assert_eq!(
        (&headers["te"], &headers["cookie"]),
        (&"trailers".parse().unwrap(), &"a=b; c=d".parse().unwrap())
    );
    assert_eq!(headers["via"], "1.1 linkspan");
    assert_eq!(headers["x-forwarded-host"], "www.example:81");
    for gone in ["host", "connection", "keep-alive", "x-own", "transfer-encoding", "upgrade"] {
        assert!(!headers.contains_key(gone), "{gone} in {:?}", names(headers));
    }
}

#[test]
fn the_authority_follows_host_header() {
    let origin = Streams::replying("ok");
    let proxy = before(origin.address(), "host-header = 'endpoint'");
    assert_eq!(proxy.get("/").text(), "ok");
    let requests = origin.requests();
    let authority = requests.first().unwrap().uri().authority().unwrap().to_string();
    assert_eq!(authority, origin.address().to_string());
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let origin = Streams::answering(echo);
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let large = vec![b'x'; 1 << 20];
    let response = client.ask("POST", "/", &[], &large);
    assert!(response.complete && response.body == large);
    client.send(
        "POST / HTTP/1.1\r\nhost: test\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\nhost: evil\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(response.text(), "hello");
    assert_eq!(client.ask("POST", "/", &[], b"").text(), "", "an empty body is one");
    let requests = origin.requests();
    assert_eq!(requests[0].headers()["content-length"], "1048576");
    assert!(!requests[1].headers().contains_key("content-length"));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn trailers_of_a_response_pass_and_lose_what_is_for_heads() {
    let origin = Streams::answering(|mut call| async move {
        let mut stream = call.begin(200, &[("trailer", "grpc-status")]);
        stream.send_data("body".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("set-cookie", "a=b".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let proxy = to(&origin);
    let fields = [("te", "trailers"), ("connection", "te")];
    let response = proxy.connect().ask("GET", "/", &fields, b"");
    assert_eq!(response.text(), "body");
    assert_eq!(response.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
}

#[test]
fn a_response_without_a_body_has_none() {
    let origin = Streams::answering(|mut call| async move {
        match call.request.uri().path() {
            "/head" => call.reply(200, &[("content-length", "5")], ""),
            "/204" => call.reply(204, &[], ""),
            "/304" => call.reply(304, &[("etag", "\"a\"")], ""),
            // As of a gRPC call that fails at once.
            _ => call.reply(200, &[("grpc-status", "12")], ""),
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for (method, target, status, length) in [
        ("HEAD", "/head", 200, Some(5)),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
        ("GET", "/", 200, Some(0)),
    ] {
        let response = client.ask(method, target, &[], b"");
        assert_eq!((response.status(), response.length()), (status, length), "{target}");
        assert!(response.body.is_empty());
    }
    assert_eq!(client.get("/").value("grpc-status"), Some("12"));
}

#[test]
fn consent_and_interim_responses_pass() {
    let origin = Streams::answering(|mut call| async move {
        call.interim(103, &[("link", "</a.css>")]);
        call.interim(100, &[]);
        let (body, _) = call.body().await;
        assert_eq!(body, "hello");
        call.reply(200, &[], "thanks");
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let hint = client.response_head();
    assert_eq!((hint.status(), hint.value("link")), (103, Some("</a.css>")));
    assert_eq!(hint.values("via"), ["2 linkspan"]);
    assert_eq!(client.response_head().status(), 100);
    client.send("hello");
    assert_eq!(client.response().text(), "thanks");
    assert_eq!(origin.requests()[0].headers()["expect"], "100-continue");
}

#[test]
fn a_client_without_consent_is_not_asked_for_its_body() {
    let origin = Streams::answering(|mut call| async move { call.reply(401, &[], "no") });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.response_head().status(), 401);
    assert_eq!(proxy.get("/").status(), 401);
    assert_eq!(origin.connections(), 1, "its stream was reset, and nothing else");
}

#[test]
fn another_protocol_is_not_asked_for() {
    let origin = Streams::replying("plain");
    let proxy = to(&origin);
    let fields = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "a")];
    let response = proxy.connect().ask("GET", "/", &fields, b"");
    assert_eq!((response.status(), response.text().as_str()), (200, "plain"));
    let requests = origin.requests();
    let headers = requests[0].headers();
    assert!(!headers.contains_key("upgrade") && headers.contains_key("sec-websocket-key"));
}

#[test]
fn checks_speak_what_requests_speak() {
    let origin = Streams::answering(|mut call| async move {
        let healthy = call.request.uri().path() == "/health";
        call.reply(if healthy { 200 } else { 500 }, &[], "fine");
    });
    let check =
        "[clusters.main.health]\ncheck = { path = '/health', interval = '50ms', body = 'fine' }";
    let proxy = before(origin.address(), check);
    eventually("a few checks", || (origin.hits() >= 3).then_some(()));
    let requests = origin.requests();
    assert_eq!(requests[0].uri().path(), "/health");
    assert_eq!(requests[0].uri().authority().unwrap().as_str(), origin.address().to_string());
    assert_eq!(proxy.get("/").status(), 500);

    let proxy = Proxy::start(&one_cluster(
        &[origin.address()],
        "",
        &format!("force-recovery = false\n{check}"),
    ));
    eventually("HTTP/1 to fail there", || (proxy.get("/").status() == 503).then_some(()));
}
