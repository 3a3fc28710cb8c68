//! A client that ends its side after its request still reads the answer, and one that is gone is
//! noticed.

use std::net::Shutdown;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Client, Origin, Proxy, eventually, one_cluster, request};

use super::limited;

fn get() -> Vec<u8> {
    request("GET", "/", &[], b"")
}

/// A client that has sent this and will send no more.
fn half_closed(proxy: &Proxy, bytes: &[u8]) -> Client {
    let mut client = proxy.connect();
    client.send(bytes);
    client.stream().shutdown(Shutdown::Write).unwrap();
    client
}

#[test]
fn a_client_that_ends_its_side_reads_its_answers() {
    let (origin, proxy) = limited("");
    let post = request("POST", "/", &[], b"whole");
    for (bytes, expected) in [
        (get(), &[""][..]),
        (post.clone(), &["whole"]),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), &[""]),
        ([post, get()].concat(), &["whole", ""]),
        ([get(), b"GET / HT".to_vec()].concat(), &[""]),
    ] {
        let mut client = half_closed(&proxy, &bytes);
        for body in expected {
            let response = client.response();
            assert_eq!((response.status(), &*response.text()), (200, *body));
        }
        client.expect_closed();
    }
    assert_eq!(origin.hits(), 6);
}

#[test]
fn a_client_that_ends_its_side_reads_an_answer_that_takes_its_time() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        assert!(peer.is_quiet_for(Duration::from_millis(400)));
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n");
        for _ in 0..8 {
            assert!(peer.is_quiet_for(Duration::from_millis(200)));
            peer.send("x");
        }
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = half_closed(&proxy, &get());
    assert_eq!(client.response().text(), "xxxxxxxx");
    client.expect_closed();
}

#[test]
fn a_client_that_ends_its_side_and_reads_slowly_gets_all() {
    const LENGTH: usize = 16 << 20;
    let origin = Origin::answering(|_| crate::support::reply(200, &[], vec![b'x'; LENGTH]));
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = Client::small(proxy.address("web"));
    client.send(get());
    client.stream().shutdown(Shutdown::Write).unwrap();
    let (_nobody, never) = std::sync::mpsc::channel::<()>();
    assert!(never.recv_timeout(Duration::from_millis(1500)).is_err());
    assert_eq!(client.response().body.len(), LENGTH);
}

#[test]
fn a_client_that_is_gone_is_noticed_although_it_may_only_have_ended_its_side() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = half_closed(&proxy, &get());
    origin.wait_for(1);
    let begun = Instant::now();
    client.expect_closed();
    eventually("the upstream to be let go", || (origin.open_connections() == 0).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let line = proxy.access(1).swap_remove(0);
    let error = line.get("error").and_then(|error| error.as_str());
    assert_eq!(error, Some("the client went away before the response"));
}
