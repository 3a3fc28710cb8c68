//! Downstream connections over many requests, and what surrounds them. Each test is named after a
//! symptom that was seen once.

use std::time::Duration;

use crate::support::{Client, Origin, Proxy, one_cluster, reply, request};

/// A listener whose only router answers everything itself.
const ANSWERED: &str = "
[listeners.web]
bind = '127.0.0.1:0'
routers = ['gone']
head-timeout = '400ms'
idle-timeout = '10s'
[plugins.gone]
component = 'regex-match'
config = { rules = [ { respond = { status = 410, body = 'gone' } } ] }
";

#[test]
fn answers_of_our_own_do_not_wear_a_connection_out() {
    let proxy = Proxy::start(ANSWERED);
    let mut client = proxy.connect();
    for _ in 0..8 {
        assert_eq!(client.get("/").status(), 410);
        assert!(client.is_quiet_for(Duration::from_millis(100)), "cut in mid-conversation");
    }
}

#[test]
fn the_chunked_body_of_a_get_reaches_the_upstream() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().text(), "query");
}

#[test]
fn a_transfer_coding_is_not_lost_on_the_way() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.response().status(), 501);
    assert_eq!(origin.hits(), 0);
}

#[test]
fn a_lower_limit_of_connections_holds_after_it_was_raised_again() {
    let origin = Origin::replying("ok");
    let limited = |most| one_cluster(&[origin.address()], &format!("max-connections = {most}"), "");
    let mut proxy = Proxy::start(&limited(2));
    let mut held: Vec<Client> = (0..2).map(|_| proxy.connect()).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));
    for most in [1, 2] {
        proxy.reload(&limited(most)).unwrap();
    }
    let mut third = proxy.connect();
    let _ = third.write(request("GET", "/", &[], b""));
    assert!(third.is_quiet_for(Duration::from_millis(300)), "one too many is served");
    drop(held);
    assert_eq!(third.response().text(), "ok");
}

#[test]
fn a_listener_can_be_renamed_without_losing_its_address() {
    let origin = Origin::replying("ok");
    let config = |name: &str, port: u16| {
        one_cluster(&[origin.address()], "", "")
            .replace("[listeners.web]", &format!("[listeners.{name}]"))
            .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
    };
    // Whatever is free now; bound again at once.
    let port = Proxy::start(&config("web", 0)).address("web").port();
    let mut proxy = Proxy::start(&config("web", port));
    let mut before = proxy.connect();
    assert_eq!(before.get("/").text(), "ok");
    proxy.reload(&config("front", port)).unwrap();
    assert_eq!(before.get("/").text(), "ok", "who is connected stays so");
    assert_eq!(Client::connect(proxy.address("front")).get("/").text(), "ok");
}

#[test]
fn a_malformed_request_is_written_down() {
    let proxy = Proxy::start(ANSWERED);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nbad header\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
    let line = &proxy.access(1)[0];
    assert_eq!(line["status"], 400);
    assert_eq!(
        proxy.counter("linkspan_requests_total", &[("listener", "web"), ("status", "4xx")]),
        1
    );
}

#[test]
fn an_answer_that_leaves_a_body_unread_says_that_it_is_the_last() {
    let origin = Origin::scripted(|peer| {
        if peer.request_head().is_some() {
            peer.send(reply(401, &[], ""));
            peer.hang();
        }
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let lone = Proxy::start("[listeners.web]\nbind = '127.0.0.1:0'\n");
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n";
    for (proxy, more, status) in [(&proxy, "expect: 100-continue\r\n", 401), (&lone, "", 404)] {
        let mut client = proxy.connect();
        client.send(format!("{head}{more}\r\n"));
        let response = client.response();
        assert_eq!((response.status(), response.closes()), (status, true));
        client.send("hello");
        client.expect_closed();
    }
    let mut client = lone.connect();
    assert!(!client.get("/").closes(), "without a body");
    assert!(!client.get("/").closes());
}

#[test]
fn a_client_of_http_1_0_is_promised_no_more_after_a_response_without_a_length() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec()
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text().as_str(), response.value("connection")), ("ok", Some("close")));
}
