//! A client that is refused and goes on sending can read why: its connection is closed when it has
//! sent what it wants, and not reset over what nobody has read.

use std::io::Read;

use crate::support::{Client, Down, Message, Origin, Proxy, eventually, one_cluster};

use super::limited;

/// More than all buffers on the way hold.
const MUCH: usize = 16 << 20;

/// The answer to a client that sends this and then much more, and reads only after that.
#[track_caller]
fn answer_after_much(proxy: &Proxy, beginning: &str) -> Message {
    let mut client = proxy.connect();
    client.send(beginning);
    wait_for_answer(&client);
    client.send(vec![b'x'; MUCH]);
    let response = client.response();
    let mut rest = Vec::new();
    let end = client.stream().read_to_end(&mut rest);
    assert_eq!(end.map_err(|error| error.kind()), Ok(0), "reset, or more than the answer");
    response
}

/// Waits without reading, so that the answer is still to be read.
fn wait_for_answer(client: &Client) {
    assert!(client.stream().peek(&mut [0]).unwrap() > 0, "closed instead of an answer");
}

const POST: &str = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000\r\n\r\n";

#[test]
fn a_client_that_goes_on_sending_can_read_why_it_was_refused() {
    let long = "x".repeat(9 << 10);
    for (status, listener, beginning) in [
        (408, "head-timeout = '200ms'", "GET / HTTP/1.1\r\nx: ".to_owned()),
        (408, "body-timeout = '200ms'", POST.to_owned()),
        (408, "request-timeout = '200ms'", POST.to_owned()),
        (413, "max-body-bytes = '1KiB'", POST.to_owned()),
        (414, "max-target-bytes = '8KiB'", format!("GET /{long}")),
        (431, "max-head-bytes = '8KiB'", format!("GET / HTTP/1.1\r\nx: {long}")),
        (431, "max-headers = 1", "GET / HTTP/1.1\r\nhost: test\r\nx: y\r\nx: z\r\n".to_owned()),
        (400, "", "GET / HTTP/1.1\r\nhost: test\r\nx : ".to_owned() + "y\r\n\r\n"),
        (
            400,
            "",
            "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nx".to_owned(),
        ),
    ] {
        let (_origin, proxy) = limited(listener);
        let response = answer_after_much(&proxy, &beginning);
        assert_eq!((response.status(), response.complete), (status, true), "{listener}");
        assert!(response.closes(), "{listener}");
    }
}

#[test]
fn a_body_that_grows_too_large_can_be_sent_on() {
    let (_origin, proxy) = limited("max-body-bytes = '1KiB'");
    let body = "800\r\n".to_owned() + &"x".repeat(2 << 10);
    let beginning =
        "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let response = answer_after_much(&proxy, &(beginning + &body));
    assert_eq!((response.status(), response.closes()), (413, true));
}

#[test]
fn a_body_that_nobody_takes_can_be_sent_on() {
    let down = Down::new();
    let proxy = Proxy::start(&one_cluster(&[down.address()], "", ""));
    let response = answer_after_much(&proxy, POST);
    assert_eq!((response.status(), response.complete), (503, true));

    let silent = Origin::scripted(|peer| {
        let _ = peer.request_head();
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[silent.address()], "request-timeout = '500ms'", ""));
    let response = answer_after_much(&proxy, POST);
    assert_eq!((response.status(), response.complete), (408, true));

    let busy = "max-connections = 1\nmax-queue = 0";
    let proxy = Proxy::start(&one_cluster(&[silent.address()], "", busy));
    let mut first = proxy.connect();
    first.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually("it to be busy", || (silent.connections() == 2).then_some(()));
    let response = answer_after_much(&proxy, POST);
    assert_eq!((response.status(), response.complete), (503, true));
}

#[test]
fn an_answer_that_the_upstream_gives_early_can_be_read_late() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request_head();
        peer.send("HTTP/1.1 403 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(POST);
    wait_for_answer(&client);
    client.send(vec![b'x'; MUCH]);
    assert_eq!(client.response().text(), "no");
}
