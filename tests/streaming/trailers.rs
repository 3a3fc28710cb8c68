//! Trailers: how many bytes they may have, and what they may say.

use super::to;
use crate::support::{Origin, Proxy, one_cluster};

/// A body of chunks with a trailer, by which all that follows the last chunk has so many bytes.
fn body(bytes: usize) -> String {
    format!("3\r\nabc\r\n0\r\nx-sum: {}\r\n\r\n", "v".repeat(bytes - "x-sum: \r\n\r\n".len()))
}

const HEAD: &str =
    "host: test\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
const MOST: usize = (16 << 10) - 1;

#[test]
fn a_request_with_trailers_of_16_kib_is_answered_with_431() {
    let origin = Origin::replying("");
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\n{HEAD}{}", body(MOST)));
    assert_eq!(client.response().status(), 200);
    let seen = origin.request().trailers;
    assert_eq!(seen.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>(), MOST - 6);

    client.send(format!("POST / HTTP/1.1\r\n{HEAD}{}", body(MOST + 1)));
    let refused = client.response();
    assert_eq!((refused.status(), refused.closes()), (431, true));
    client.expect_closed();
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "chunk")]), 1);
    assert_eq!(proxy.counter("linkspan_errors", &[]), 1);
    let reason = proxy.access(2)[1]["error"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("bad request: trailers of 16 KiB or more"), "{reason}");
}

#[test]
fn a_response_with_trailers_of_16_kib_breaks_off() {
    let origin = Origin::answering(|request| {
        let bytes = if request.target() == "/most" { MOST } else { MOST + 1 };
        format!("HTTP/1.1 200 OK\r\n{HEAD}{}", body(bytes)).into()
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let whole = client.ask("GET", "/most", &[("te", "trailers")], b"");
    assert!(whole.complete && whole.trailers[0].1.len() == MOST - "x-sum: \r\n\r\n".len());
    let broken = client.ask("GET", "/more", &[("te", "trailers")], b"");
    assert_eq!((broken.complete, broken.text().as_str(), broken.trailers.len()), (false, "abc", 0));
    client.expect_closed();
    let reason = proxy.access(2)[1]["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("trailers of 16 KiB or more"), "{reason}");
}

/// The names of the trailers that the origin gets of those that a client sends.
fn upstream_trailers(listener: &str, sent: &[&str]) -> Vec<String> {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    let mut client = proxy.connect();
    let trailers: String = sent.iter().map(|name| format!("{name}: 1\r\n")).collect();
    client.send(format!(
        "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ntrailer: {}\r\n\r\n\
         0\r\n{trailers}\r\n",
        sent.join(", "),
    ));
    assert_eq!(client.response().status(), 200);
    origin.request().trailers.into_iter().map(|trailer| trailer.0).collect()
}

#[test]
fn trailers_of_a_request_lose_underscores_and_what_only_a_head_may_say() {
    let sent = [
        "x-sum",
        "x_sum",
        "x_forwarded_for",
        "transfer_encoding",
        "content_length",
        "via",
        "date",
        "host",
        "x-request-id",
        "x_request_id",
        "proxy-authorization",
        "x-forwarded-for",
        "grpc-status",
    ];
    assert_eq!(upstream_trailers("", &sent), ["x-sum", "grpc-status"]);
    let passed = upstream_trailers("underscores = 'pass'", &sent);
    assert_eq!(passed, ["x-sum", "x_sum", "grpc-status"]);
}
