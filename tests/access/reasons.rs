//! Why a request failed, in the words of its access line: which limit, which plugin, which endpoint.
//! Nothing of it is in the answer.

use std::time::Duration;

use crate::support::{Client, Down, Origin, Proxy, eventually, one_cluster, reply, request};

/// The `error` of the first request of a proxy.
#[track_caller]
fn reason(proxy: &Proxy) -> String {
    let line = proxy.access(1).swap_remove(0);
    let error = line.get("error").and_then(|error| error.as_str());
    error.unwrap_or_else(|| panic!("no error in {line}")).to_owned()
}

/// The reason why a request to one origin failed, with `ORIGIN` for its address.
#[track_caller]
fn reason_of(origin: &Origin, listener: &str, cluster: &str, bytes: impl Into<Vec<u8>>) -> String {
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, cluster));
    let mut client = proxy.connect();
    client.send(bytes.into());
    let answer = String::from_utf8_lossy(&client.response().body).into_owned();
    let reason = reason(&proxy);
    assert!(!answer.contains(&origin.address().to_string()), "{answer}");
    assert!(answer.lines().count() <= 1 && !answer.contains("web"), "{answer}");
    reason.replace(&origin.address().to_string(), "ORIGIN")
}

/// A client that has got a response's head, and half of its body.
fn half_a_response() -> (Origin, Proxy, Client) {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request_head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[], b""));
    assert_eq!(client.response_head().status(), 200);
    client.skip(4).unwrap();
    (origin, proxy, client)
}

#[test]
fn what_a_client_does_wrong_is_told_with_the_limit() {
    let origin = Origin::echo();
    let head = "POST / HTTP/1.1\r\nhost: test\r\n";
    let large = format!("{head}x: {}\r\n\r\n", "x".repeat(9 << 10));
    let many = format!("{head}{}\r\n", "x: 1\r\n".repeat(10));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n");
    for (listener, bytes, expected) in [
        ("", "GET / HTTP/1.1\r\n\r\n".to_owned(), "bad request: there is no Host"),
        ("", "GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), "bad request: Host is not a host"),
        ("", "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), "CONNECT and TRACE are not relayed"),
        (
            "max-head-bytes = '8KiB'",
            large,
            "the request head is larger than max-head-bytes = 8KiB of listener web",
        ),
        (
            "max-headers = 10",
            many,
            "the request head has more fields than max-headers = 10 of listener web",
        ),
        (
            "max-target-bytes = '1KiB'",
            format!("GET /{} HTTP/1.1\r\n", "t".repeat(1 << 10)),
            "the request target is longer than max-target-bytes = 1KiB of listener web",
        ),
        (
            "head-timeout = '200ms'",
            "GET / HTTP/1.1\r\nhos".to_owned(),
            "the request head took longer to come than head-timeout = 200ms of listener web",
        ),
        ("", "GET / HTTP/1.1\r\n\n".to_owned(), "bad request: a line ends in a bare LF"),
        (
            "max-body-bytes = '1KiB'",
            format!("{head}content-length: 1025\r\n\r\n"),
            "the request body is larger than max-body-bytes = 1KiB of listener web",
        ),
        (
            "max-body-bytes = 8",
            chunked,
            "the request body is larger than max-body-bytes = 8B of listener web",
        ),
        (
            "body-timeout = '200ms'",
            format!("{head}content-length: 10\r\n\r\nhalf"),
            "the client sent nothing for body-timeout = 200ms of listener web, after 4 bytes of its \
             request body",
        ),
        (
            "min-body-rate = '1KiB'\nmin-body-rate-grace = '200ms'",
            format!("{head}content-length: 10\r\n\r\nhalf"),
            "the client sent its request body more slowly than min-body-rate = 1KiB of listener web, \
             after 4 bytes of it",
        ),
        (
            "",
            format!("{head}transfer-encoding: chunked\r\n\r\nnonsense\r\n"),
            "bad request: the size of a chunk is not a hexadecimal number alone",
        ),
    ] {
        assert_eq!(reason_of(&origin, listener, "", bytes), expected);
    }
}

#[test]
fn a_client_that_goes_is_told_with_how_far_it_came() {
    let (_origin, proxy, client) = half_a_response();
    drop(client);
    assert_eq!(reason(&proxy), "the client went away after 4 bytes of the response");

    let endless = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while peer.write([b'x'; 64 << 10]).is_ok() {}
    });
    let listener = "body-timeout = '300ms'";
    let proxy = Proxy::start(&one_cluster(&[endless.address()], listener, ""));
    let mut client = Client::small(proxy.address("web"));
    client.send(request("GET", "/", &[], b""));
    let reason = reason(&proxy);
    let words = "the client took nothing for body-timeout = 300ms of listener web, after ";
    assert!(reason.starts_with(words), "{reason}");
}

#[test]
fn what_an_upstream_does_wrong_is_told_with_its_address() {
    let get = || request("GET", "/", &[], b"");
    for (answer, expected) in [
        ("", "ORIGIN: closed the connection before answering"),
        (
            "HTTP/1.1 200 OK\r\n",
            "ORIGIN: closed the connection after 17 bytes of its answer's head",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "ORIGIN: its answer is not HTTP/1: the status line is not version, status and reason",
        ),
        (
            "HTTP/1.1 101 X\r\n\r\n",
            "ORIGIN: its answer is not HTTP/1: another protocol that nobody asked for",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "ORIGIN: its answer is not HTTP/1: a Transfer-Encoding other than chunked",
        ),
    ] {
        assert_eq!(reason_of(&Origin::raw(answer), "", "", get()), expected, "{answer:?}");
    }
    let reset = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.reset();
    });
    let expected = "ORIGIN: the connection broke before answering: Connection reset by peer";
    let reason = reason_of(&reset, "", "", get());
    assert!(reason.starts_with(expected), "{reason}");
    let silent = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.hang();
    });
    let expected = "ORIGIN: did not answer within response-timeout = 200ms of cluster main";
    assert_eq!(reason_of(&silent, "", "response-timeout = '200ms'", get()), expected);
    let large = Origin::answering(|_| reply(200, &[("x", &"x".repeat(300_000))], ""));
    let expected = "ORIGIN: the head of its answer goes beyond max-response-head-bytes = 64KiB of cluster main";
    assert_eq!(reason_of(&large, "", "", get()), expected);
}

#[test]
fn no_endpoint_is_told_with_what_there_is() {
    let down = [Down::new(), Down::new()];
    let endpoints = [down[0].address(), down[1].address()];
    let cluster = "balancer = 'first-alive'\nhealth = { attempts = 1, offline = '1h' }";
    let proxy = Proxy::start(&one_cluster(&endpoints, "", cluster));
    assert_eq!(proxy.get("/").status(), 503);
    let last = format!("{}: connection refused", endpoints[1]);
    assert_eq!(reason(&proxy), format!("all 2 endpoints are offline: last error {last}"));
    let line = &proxy.access(1)[0];
    assert_eq!(line["retried"], format!("{}: connection refused", endpoints[0]));

    let (one, origin) = ([down[0].address()], Origin::replying(""));
    let proxy = Proxy::start(&one_cluster(&one, "", cluster));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(reason(&proxy), format!("{}: connection refused", one[0]));

    let disabled = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n[clusters.main]\n\
         balancer = 'first-alive'\n\
         endpoints = [{{ address = '{}', status = 'disabled' }}]",
        origin.address()
    );
    let proxy = Proxy::start(&disabled);
    assert_eq!(proxy.get("/").status(), 503);
    let expected = "no endpoint usable: balancer first-alive answered none \
                    (0 of 0 endpoints are offline)";
    assert_eq!(reason(&proxy), expected);
}

#[test]
fn a_plugin_that_failed_is_told_with_the_cause() {
    let origin = Origin::replying("");
    let limits = "limits = { deadline = '50ms', memory = '4MiB' }";
    for (at, use_of, misdeed, expected) in [
        ("route", "routers", "trap", "router bad failed: trapped: wasm trap: "),
        ("route", "routers", "loop", "router bad failed: ran past its deadline of 50ms"),
        (
            "route",
            "routers",
            "unknown-cluster",
            "router bad failed: answered against the contract: there is no cluster \
             \"no-such-cluster\"",
        ),
        (
            "route",
            "routers",
            "ungranted-address",
            "router bad may not forward to http://127.0.0.1:1: no grant covers it",
        ),
        (
            "on-request",
            "rewriters",
            "eat",
            "rewriter bad failed: asked for more than its 4194304 bytes of memory",
        ),
        (
            "on-response",
            "rewriters",
            "crlf-header",
            "rewriter bad failed: answered against the contract: ",
        ),
    ] {
        let toml = format!(
            "{}[plugins.bad]\ncomponent = 'misbehave'\nconfig = {{ at = '{at}' }}\n{limits}",
            one_cluster(&[origin.address()], &format!("{use_of} = ['bad']"), "")
        );
        let proxy = Proxy::start_with(&toml, &["misbehave"]);
        let answer = proxy.connect().ask("GET", "/", &[("x-do", misdeed)], b"");
        assert!(!answer.text().contains("bad"), "{}", answer.text());
        let reason = reason(&proxy);
        assert!(reason.starts_with(expected), "{misdeed}: {reason}");
        assert_eq!(reason.lines().count(), 1, "{reason}");
    }
}

#[test]
fn a_balancer_that_chose_nothing_is_told_apart_from_one_that_failed() {
    let origin = Origin::replying("");
    for (misdeed, more, expected) in [
        (
            "nobody",
            "",
            "no endpoint usable: balancer bad answered none (0 of 1 endpoints are offline)",
        ),
        (
            "next",
            "",
            "no endpoint usable: every balancer answered next (0 of 1 endpoints are offline)",
        ),
        (
            "bad-index",
            "on-failure = 'reject'",
            "balancer bad failed: answered against the contract: endpoint 4294967295 is none of the \
             cluster's",
        ),
    ] {
        let toml = format!(
            "{}[plugins.bad]\ncomponent = 'misbehave'\nconfig = {{ at = 'pick' }}\n{more}",
            one_cluster(&[origin.address()], "", "balancer = 'bad'")
        );
        let proxy = Proxy::start_with(&toml, &["misbehave"]);
        assert_eq!(proxy.connect().ask("GET", "/", &[("x-do", misdeed)], b"").status(), 503);
        assert_eq!(reason(&proxy), expected);
    }
}

#[test]
fn a_response_that_is_cut_off_by_the_end_of_the_process_says_so() {
    let (_origin, proxy, _client) = half_a_response();
    let done = proxy.shut_down(Some(Duration::ZERO));
    eventually("the end", || done.try_recv().ok());
    assert_eq!(reason(&proxy), "cut off at shutdown, after 4 bytes of the response");
}
