//! Requests and responses flow at the same time, as far as the other side takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use super::{before, to};
use crate::support::frames::{DATA, END_HEADERS, HEADERS, RST_STREAM, block, server};
use crate::support::streams::{self, Streams};
use crate::support::{Client, eventually};

const UPLOAD: &str = "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

/// Reads a chunk of a response.
fn chunk(client: &mut Client) -> String {
    let length = usize::from_str_radix(client.line().unwrap().trim_end(), 16).unwrap();
    let mut data = Vec::new();
    client.take(length, &mut data).unwrap();
    client.skip(2).unwrap();
    String::from_utf8(data).unwrap()
}

/// Answers each chunk of the request with one of the response, at once.
fn conversation() -> Streams {
    Streams::answering(|mut call| async move {
        let mut stream = call.begin(200, &[]);
        while let Some(data) = call.data().await {
            let answer = format!("re: {}", String::from_utf8_lossy(&data));
            assert!(streams::send(&mut stream, answer.into(), false).await);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    })
}

#[test]
fn messages_are_answered_one_by_one() {
    let origin = conversation();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(UPLOAD);
    assert_eq!(client.response_head().status(), 200, "before anything of the body was sent");
    for message in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{message}\r\n", message.len()));
        assert_eq!(chunk(&mut client), format!("re: {message}"));
    }
    client.send("0\r\n\r\n");
    assert_eq!(chunk(&mut client), "", "the end");
    assert_eq!(proxy.access(1)[0]["status"], 200);
}

#[test]
fn an_answer_before_the_request_is_over_ends_what_is_left_of_it() {
    let address = server(|raw| {
        while let Some(stream) = raw.request() {
            raw.answer(stream, b"too much");
            raw.frame(RST_STREAM, 0, stream, &[0; 4]);
        }
    });
    let proxy = before(address, "");
    let mut client = proxy.connect();
    client.send(format!("{UPLOAD}4\r\npart\r\n"));
    let response = client.response();
    assert!(response.complete && response.text() == "too much", "{response:?}");
    assert_eq!(proxy.get("/other").text(), "too much");
}

#[test]
fn an_upload_goes_on_after_the_answer_for_who_reads_on() {
    let read = Arc::new(AtomicUsize::new(0));
    let of_origin = Arc::clone(&read);
    let origin = Streams::answering(move |mut call| {
        let read = Arc::clone(&of_origin);
        async move {
            call.reply(200, &[], "early");
            while let Some(data) = call.data().await {
                read.fetch_add(data.len(), Ordering::SeqCst);
            }
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let body = vec![b'x'; 1 << 20];
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()));
    let head = client.response_head();
    assert_eq!(head.status(), 200);
    client.send(&body);
    eventually("all of it", || (read.load(Ordering::SeqCst) == body.len()).then_some(()));
}

#[test]
fn a_client_that_leaves_costs_its_stream_alone() {
    let origin = Streams::answering(|mut call| async move {
        if call.request.uri().path() == "/" {
            return call.reply(200, &[], "ok");
        }
        let upload = call.request.method() == "POST";
        if call.request.uri().path() == "/waits" {
            return call.watch().await;
        }
        let mut stream = call.begin(200, &[]);
        stream.send_data(Bytes::from_static(b"part"), false).unwrap();
        if upload {
            assert!(call.data().await.is_some());
        }
        call.watch_stream(&mut stream).await;
    });
    let proxy = to(&origin);
    for (left, sent) in [
        "GET /waits HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        "GET /begun HTTP/1.1\r\nhost: test\r\n\r\n".to_owned(),
        UPLOAD.replace("/ ", "/begun ") + "4\r\npart\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.connect();
        client.send(&sent);
        if sent.contains("/begun") {
            assert_eq!(client.response_head().status(), 200);
            assert_eq!(chunk(&mut client), "part");
        } else {
            eventually("the request", || (origin.hits() > 2 * left).then_some(()));
        }
        drop(client);
        eventually("the stream to be reset", || (origin.resets().len() == left + 1).then_some(()));
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert!(origin.resets().iter().all(|reason| *reason == Some(Reason::CANCEL)));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_response_that_is_reset_breaks_off_at_the_client() {
    let address = server(|raw| {
        while let Some(stream) = raw.request() {
            raw.frame(HEADERS, END_HEADERS, stream, &block(&[("content-length", b"10")]));
            raw.frame(DATA, 0, stream, b"part");
            raw.frame(RST_STREAM, 0, stream, &[0, 0, 0, 2]);
        }
    });
    let proxy = before(address, "");
    let response = proxy.get("/");
    assert!(!response.complete && response.text() == "part", "{response:?}");
    let line = proxy.access(1).remove(0);
    let reason = line["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("reset the stream after"), "{reason}");
    assert!(reason.contains("INTERNAL_ERROR"), "{reason}");
}

#[test]
fn who_reads_slowly_holds_up_nobody_and_little_is_kept_for_it() {
    let sent = Arc::new(AtomicUsize::new(0));
    let of_origin = Arc::clone(&sent);
    let origin = Streams::answering(move |mut call| {
        let sent = Arc::clone(&of_origin);
        async move {
            if call.request.uri().path() == "/" {
                return call.reply(200, &[], "ok");
            }
            let mut stream = call.begin(200, &[]);
            let part = Bytes::from_static(&[b'x'; 16 << 10]);
            for _ in 0..1 << 12 {
                if !streams::send(&mut stream, part.clone(), false).await {
                    return;
                }
                sent.fetch_add(part.len(), Ordering::SeqCst);
            }
        }
    });
    let proxy = to(&origin);
    let mut slow: Vec<_> = (0..8).map(|_| Client::small(proxy.address("web"))).collect();
    for client in &mut slow {
        client.send("GET /endless HTTP/1.1\r\nhost: test\r\n\r\n");
    }
    // Each has a window of its own, and how much of a response lies in sockets beside that is the kernel's.
    eventually("half a window of each", || (sent.load(Ordering::SeqCst) >= 8 << 16).then_some(()));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
    assert!(sent.load(Ordering::SeqCst) < 8 << 23, "what nobody reads is not fetched");
}

#[test]
fn an_upstream_that_takes_nothing_is_waited_for_so_long() {
    let origin = Streams::answering(|mut call| async move { call.watch().await });
    let proxy = before(origin.address(), "response-timeout = '300ms'");
    let mut client = proxy.connect();
    let body = vec![b'x'; 1 << 20];
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()));
    // The proxy takes what it has room for, and closes.
    let _ = client.write(&body);
    eventually("the stream to be reset", || (!origin.resets().is_empty()).then_some(()));
    let line = proxy.access(1).remove(0);
    assert_eq!(line["status"], 504);
}
