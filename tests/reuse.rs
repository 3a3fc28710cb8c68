//! Which connections to upstreams serve another request, and which had better not.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use crate::support::{Origin, PATIENCE, Peer, Proxy, eventually, one_cluster, reply, request};

fn to(origin: &Origin, cluster: &str) -> Proxy {
    Proxy::start(&one_cluster(&[origin.address()], "", cluster))
}

/// A POST with a body of chunks, so that its length is not known before.
const CHUNKED: &[u8] = b"POST /b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
                         5\r\nhello\r\n0\r\n\r\n";

#[test]
fn a_body_is_not_lost_on_a_connection_that_an_upstream_of_http_1_0_keeps() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            let length = request.body.len();
            peer.send(format!(
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: {length}\r\n\r\n"
            ));
            peer.send(request.body.clone());
        }
    });
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    assert_eq!(client.get("/a").status(), 200);
    client.send(CHUNKED);
    assert_eq!(client.response().text(), "hello");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_response_in_chunks_is_whole_after_another_over_the_same_connection() {
    // Each comes at once, so that its end is seen with its data, or its data before its end.
    for pieces in [vec!["5\r\nhello\r\n0\r\n\r\n"], vec!["5\r\nhel", "lo\r\n0\r\n\r\n"]] {
        let origin = Origin::scripted(move |peer| {
            while peer.request().is_some() {
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                pieces.iter().for_each(|piece| peer.send(*piece));
            }
        });
        let proxy = to(&origin, "");
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), "hello");
        }
        assert_eq!(origin.connections(), 1);
    }
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let origin = Origin::answering(move |_| [head, "5\r\nhello\r\n0\r\n\r\n"].concat().into());
    let proxy = to(&origin, "");
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_upstream_that_has_answered_early_takes_no_other_request_for_the_rest_of_the_body() {
    let (go_on, going) = channel::<()>();
    let going = Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.request_head() else { return };
        if head.length().is_none() {
            return peer.send(reply(200, &[], "victim"));
        }
        // It never reads the body.
        peer.send(reply(403, &[], "no"));
        going.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        while peer.request().is_some() {
            peer.send(reply(200, &[], "attacker"));
        }
    });
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    let body = "GET /attacker HTTP/1.1\r\nhost: test\r\nx: ";
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()));
    assert_eq!(client.response().status(), 403);
    client.send(body);
    go_on.send(()).unwrap();
    for _ in 0..5 {
        assert_eq!(proxy.get("/victim").text(), "victim");
    }
}

#[test]
fn a_body_that_an_upstream_overlooks_is_no_request() {
    // As some servers do with the body of a GET.
    let origin = Origin::scripted(|peer| {
        while let Some(head) = peer.request_head() {
            let target = head.target().to_owned();
            peer.send(reply(200, &[], target));
        }
    });
    let proxy = to(&origin, "");
    for method in ["GET", "OPTIONS"] {
        let body = b"GET /attacker HTTP/1.1\r\nhost: test\r\nx: ";
        assert_eq!(proxy.connect().ask(method, "/a", &[], body).text(), "/a");
        assert_eq!(proxy.get("/victim").text(), "/victim");
    }
}

/// Answers each request, and once more when it is told to.
fn twice(peer: &mut Peer, again: &Mutex<Receiver<()>>, done: &std::sync::mpsc::Sender<()>) {
    while let Some(request) = peer.request() {
        peer.send(reply(200, &[], request.target()));
        if again.lock().unwrap().recv_timeout(PATIENCE).is_err() {
            return;
        }
        let _ = peer.write(reply(200, &[], "surplus"));
        done.send(()).unwrap();
    }
}

#[test]
fn a_second_answer_is_nobodys_and_makes_wary() {
    let (again, heard) = channel();
    let (done, sent) = channel();
    let heard = Mutex::new(heard);
    let origin = Origin::scripted(move |peer| twice(peer, &heard, &done));
    let proxy = Proxy::start(&format!(
        "[server]\nworkers = 1\n{}",
        one_cluster(&[origin.address()], "", "")
    ));
    let mut client = proxy.connect();
    for number in 1..=3 {
        let target = format!("/{number}");
        assert_eq!(client.get(&target).text(), target);
        again.send(()).unwrap();
        sent.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(origin.connections(), 3, "each has served one");
}

#[test]
fn trailers_end_a_response_like_anything_else() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
          5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
            .to_vec()
    });
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    for fields in [&[("te", "trailers")][..], &[]] {
        client.send(request("GET", "/", fields, b""));
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
    assert!(proxy.access(2).iter().all(|line| line.get("error").is_none()));
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "client_gone")]), 0);
}

#[test]
fn an_endpoint_that_answers_early_is_busy_until_it_has_the_request() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.request_head() else { return };
        peer.send(reply(200, &[], ""));
        let _ = peer.request_body(head);
    });
    let proxy = to(&origin, "max-connections = 1\nmax-queue = 0");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(proxy.get("/").status(), 503);
    client.send("abc");
    origin.wait_for(1);
    eventually("room", || (proxy.get("/").status() == 200).then_some(()));
}
