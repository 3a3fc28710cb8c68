//! Every limit and timeout of a listener is reached, and costs what it says.

mod closing;
mod descriptors;
mod half_closed;
mod memory;
mod rates;
mod responses;
mod times;

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Binary, Client, Message, Origin, Proxy, eventually, one_cluster, request};

/// A proxy with these lines in its listener, in front of an origin that echoes.
fn limited(listener: &str) -> (Origin, Proxy) {
    let origin = Origin::echo();
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    (origin, proxy)
}

fn open_connections(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_connections_open", &[("listener", "web")])
}

#[test]
fn a_head_that_takes_too_long_ends_the_connection() {
    let (origin, proxy) = limited("head-timeout = '300ms'");
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status(), 200);
    let mut slow = proxy.connect();
    client.send("GET / HTTP/1.1\r\nho");
    slow.send("G");
    for mut client in [client, slow] {
        assert_eq!(client.response().status(), 408);
        client.expect_closed();
    }
    assert_eq!(origin.hits(), 1);
}

#[test]
fn a_head_that_trickles_in_does_not_win_time() {
    let (_origin, proxy) = limited("head-timeout = '500ms'");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\n");
    let begun = Instant::now();
    while client.write("x: y\r\n").is_ok() && client.is_quiet_for(Duration::from_millis(50)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "bytes put the end off");
    }
}

#[test]
fn a_connection_without_requests_ends_after_the_idle_timeout() {
    let (_origin, proxy) = limited("idle-timeout = '300ms'");
    let mut fresh = proxy.connect();
    let mut used = proxy.connect();
    assert_eq!(used.get("/").status(), 200);
    fresh.expect_closed();
    used.expect_closed();
    eventually("them to be counted out", || (open_connections(&proxy) == 0).then_some(()));
}

#[test]
fn the_idle_timeout_does_not_touch_open_requests() {
    let origin = Origin::scripted(|peer| {
        while peer.request().is_some() {
            // Longer than the listener's idle and head timeouts.
            assert!(peer.is_quiet_for(Duration::from_millis(300)));
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
            assert!(peer.is_quiet_for(Duration::from_millis(300)));
            peer.send("ok");
        }
    });
    let listener = "idle-timeout = '150ms'\nhead-timeout = '150ms'";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    assert_eq!(proxy.get("/").text(), "ok");
}

/// The answer to a request with a head of about so many bytes.
fn with_head_of(proxy: &Proxy, bytes: usize) -> Message {
    let mut client = proxy.connect();
    let value = "x".repeat(1000);
    let fields: Vec<_> = (0..bytes / 1000).map(|_| ("x-large", value.as_str())).collect();
    // The answer may come before all is sent.
    let _ = client.write(request("GET", "/", &fields, b""));
    client.response()
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let (origin, proxy) = limited("max-head-bytes = '16KiB'");
    assert_eq!(with_head_of(&proxy, 12_000).status(), 200);
    let refused = with_head_of(&proxy, 60_000);
    assert_eq!(refused.status(), 431);
    assert!(refused.closes());
    assert_eq!(origin.hits(), 1);
}

#[test]
fn a_target_that_is_too_long_is_refused() {
    let (origin, proxy) = limited("max-target-bytes = '8KiB'");
    let get = |bytes: usize| proxy.get(&format!("/{}", "x".repeat(bytes)));
    assert_eq!(get((8 << 10) - 1).status(), 200);
    let refused = get(8 << 10);
    assert_eq!(refused.status(), 414);
    assert!(refused.closes());
    assert_eq!(origin.hits(), 1);
}

#[test]
fn more_fields_than_allowed_are_431() {
    let (origin, proxy) = limited("max-headers = 10");
    let ask = |fields: usize| {
        let fields = vec![("x-more", "1"); fields];
        proxy.connect().ask("GET", "/", &fields, b"").status()
    };
    assert_eq!(ask(9), 200, "with Host it is ten");
    assert_eq!(ask(10), 431);
    assert_eq!(origin.hits(), 1);
}

#[test]
fn a_body_that_is_too_large_is_413() {
    let (origin, proxy) = limited("max-body-bytes = '1KiB'");
    let mut client = proxy.connect();
    assert_eq!(client.ask("POST", "/", &[], &[b'x'; 1024]).body.len(), 1024);
    let refused = client.ask("POST", "/", &[], &[b'x'; 1025]);
    assert_eq!((refused.status(), refused.closes()), (413, true));
    assert_eq!(origin.hits(), 1, "what is announced as too large is not sent at all");

    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..2 {
        client.send(format!("258\r\n{}\r\n", "x".repeat(600)));
    }
    assert_eq!(client.response().status(), 413);
    assert!(
        origin.requests().iter().skip(1).all(|request| !request.complete),
        "nor taken as whole"
    );
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "too_large")]), 2);
}

#[test]
fn a_body_of_which_nothing_comes_is_408() {
    let (origin, proxy) = limited("body-timeout = '300ms'");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf");
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (408, true));
    client.expect_closed();
    origin.wait_for(1);
    assert!(!origin.request().complete);
}

#[test]
fn a_body_that_keeps_coming_may_take_long() {
    let (_origin, proxy) = limited("body-timeout = '400ms'");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
    for _ in 0..10 {
        assert!(client.is_quiet_for(Duration::from_millis(60)));
        client.send("x");
    }
    assert_eq!(client.response().text(), "xxxxxxxxxx");
}

#[test]
fn a_client_that_takes_nothing_of_its_response_is_let_go() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while peer.write([b'x'; 64 << 10]).is_ok() {}
    });
    let listener = "body-timeout = '300ms'";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    let mut client = Client::small(proxy.address("web"));
    client.send(request("GET", "/", &[], b""));
    eventually("it to be let go", || {
        (origin.connections() == 1 && origin.open_connections() == 0).then_some(())
    });
    eventually("it to be counted out", || (open_connections(&proxy) == 0).then_some(()));
}

#[test]
fn the_last_request_of_a_connection_is_answered_with_its_end() {
    let (origin, proxy) = limited("max-requests-per-connection = 3");
    let mut client = proxy.connect();
    // The fourth is sent ahead, and may be sent again elsewhere.
    client.send(request("GET", "/", &[], b"").repeat(4));
    for closes in [false, false, true] {
        let response = client.response();
        assert_eq!((response.status(), response.closes()), (200, closes));
    }
    client.expect_closed();
    assert_eq!(origin.hits(), 3);

    let mut client = proxy.connect();
    for closes in [false, false, true] {
        assert_eq!(client.ask("HEAD", "/", &[], b"").closes(), closes);
    }
}

#[test]
fn beyond_max_connections_clients_wait_until_one_leaves() {
    let (_origin, proxy) = limited("max-connections = 2");
    let mut first = proxy.connect();
    let mut second = proxy.connect();
    assert_eq!((first.get("/").status(), second.get("/").status()), (200, 200));
    let mut third = proxy.connect();
    third.send(request("GET", "/", &[], b""));
    assert!(third.is_quiet_for(Duration::from_millis(200)));
    assert_eq!(first.get("/").status(), 200);
    drop(first);
    assert_eq!(third.response().status(), 200);
}

#[test]
fn a_listener_that_reaches_max_connections_says_so_once_in_a_while() {
    let origin = Origin::echo();
    let config = one_cluster(&[origin.address()], "max-connections = 1", "");
    let mut proxy = Binary::serve(&config);
    let told = "max-connections are open: others wait until one leaves";
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(proxy.connect().get("/").status(), 200);
    }
    proxy.wait_for_stderr(told);
    let times = proxy.stderr().matches(told).count();
    assert!(u64::try_from(times).unwrap() <= 1 + begun.elapsed().as_secs() / 10, "{times}");
    assert!(proxy.stderr().contains("\"max_connections\":1"), "{}", proxy.stderr());
}

#[test]
fn one_address_may_not_take_all_connections() {
    let (_origin, proxy) = limited("max-connections-per-address = 2");
    let mut first = proxy.connect();
    let mut second = proxy.connect();
    assert_eq!((first.get("/").status(), second.get("/").status()), (200, 200));
    let mut third = proxy.connect();
    third.send(request("POST", "/", &[], &[b'x'; 10_000]));
    let refused = third.response();
    assert_eq!((refused.status(), refused.closes()), (429, true));
    assert_eq!(refused.text(), "429 Too Many Requests\n");
    third.expect_closed();
    let mut elsewhere = Client::from([127, 0, 0, 9], proxy.address("web"));
    assert_eq!(elsewhere.get("/").status(), 200);
    drop(second);
    eventually("the place to be free", || {
        let mut again = proxy.connect();
        again.write(request("GET", "/", &[], b"")).ok()?;
        again.head().filter(|head| head.status() == 200).map(drop)
    });
    assert_eq!(first.get("/").status(), 200);
}
