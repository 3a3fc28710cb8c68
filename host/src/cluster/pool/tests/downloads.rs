//! What a response body promises.

use std::cell::Cell;
use std::rc::Rc;

use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::spawn_local;

use super::support::{
    LIMITS, Proxy, accept, acquire, read_head, request, serve, serve_and_close, upstream, within,
    write,
};
use crate::body::BodyError;
use crate::cluster::peer::Peer;
use crate::cluster::pool::Pool;
use crate::wire::Fault;

#[tokio::test(flavor = "local")]
async fn a_truncated_body_is_an_error() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let truncated = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ];
    serve_and_close(listener, &truncated);
    for answer in truncated {
        let slot = acquire(&pool, &peer).await;
        let response = within(10, slot.send(request(Method::GET), &LIMITS, |_, _| {})).await;
        let mut body = response.unwrap().into_body();
        let frame = within(10, body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hello", "{answer}");
        let error = within(10, body.frame()).await.unwrap().unwrap_err();
        assert!(matches!(error, BodyError::Broken(_)), "{answer}");
        assert!(body.frame().await.is_none(), "{answer}");
        assert_eq!(pool.idle_count(), 0, "{answer}");
    }
}

#[tokio::test(flavor = "local")]
async fn a_client_can_tell_a_truncated_body() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    serve_and_close(
        listener,
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    );
    let mut client = TcpStream::connect(proxy).await.unwrap();
    write(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = String::new();
    let read = within(10, client.read_to_string(&mut answer)).await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{read:?} {answer}");
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_falls_silent_is_given_up() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let slot = acquire(&pool, &peer).await;
    let mut stream = accept(&listener).await;
    let sent = slot.send(request(Method::GET), &LIMITS, |_, _| {});
    let answer = async {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
    };
    let (response, ()) = tokio::join!(sent, answer);
    let mut body = response.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(9));
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.size_hint().exact(), Some(4));
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Silent(_)));
    assert_eq!(start.elapsed().as_secs(), LIMITS.download.body_timeout.as_secs());
}

#[tokio::test(flavor = "local")]
async fn chunks_that_come_together_are_handed_on_one_by_one_with_their_trailers() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nx-sum: 1\r\nx-secret: 2\r\n\r\n";
    serve(listener, vec![vec![answer; 2]]);
    for _ in 0..2 {
        let slot = acquire(&pool, &peer).await;
        let response = within(10, slot.send(request(Method::GET), &LIMITS, |_, _| {})).await;
        let mut body = response.unwrap().into_body();
        assert_eq!(body.size_hint().exact(), None);
        for data in ["hello", " ", "world"] {
            assert!(!body.is_end_stream());
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), data);
        }
        assert!(!body.is_end_stream());
        let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"1".parse().unwrap()));
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert_eq!(pool.idle_count(), 1);
    }
}

#[tokio::test(flavor = "local")]
async fn what_is_wrong_in_a_body_is_told_after_all_before_it() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(
        listener,
        vec![vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n"]],
    );
    let slot = acquire(&pool, &peer).await;
    let response = within(10, slot.send(request(Method::GET), &LIMITS, |_, _| {})).await;
    let mut body = response.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(Fault::of(&error), Some(Fault::ChunkSize));
    assert!(body.frame().await.is_none());
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn trailers_pass_filtered() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    serve(
        listener,
        vec![vec![
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-secret\r\n\r\n\
             5\r\nhello\r\n0\r\nx-sum: 1\r\nx-secret: 2\r\n\r\n",
        ]],
    );
    let mut client = TcpStream::connect(proxy).await.unwrap();
    write(&mut client, "GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\n\r\n").await;
    read_head(&mut client).await;
    assert_eq!(read_head(&mut client).await, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
}

#[tokio::test(flavor = "local")]
async fn early_hints_pass() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    write(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    // One that comes alone arrives alone; one that comes with the response arrives before it.
    write(&mut origin, hint).await;
    assert_eq!(read_head(&mut client).await, hint);
    write(&mut origin, &format!("{hint}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")).await;
    assert_eq!(read_head(&mut client).await, hint);
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");

    write(&mut client, "hello").await;
    let mut body = [0; 5];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"hello");
}

#[tokio::test(flavor = "local")]
async fn interim_responses_reach_the_caller() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(
        listener,
        vec![vec![
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
             HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ]],
    );
    let mut seen = Vec::new();
    let slot = acquire(&pool, &peer).await;
    let sent = slot.send(request(Method::GET), &LIMITS, |status, headers| {
        seen.push((status, headers.contains_key("link")));
    });
    assert_eq!(within(10, sent).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(seen, [(StatusCode::PROCESSING, false), (StatusCode::EARLY_HINTS, true)]);
    assert_eq!(pool.idle_count(), 1);
}

#[tokio::test(flavor = "local")]
async fn a_slow_reader_holds_the_upstream_back() {
    const TOTAL: usize = 16 << 20;
    const MOST: usize = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let listener = UnixListener::bind(path("upstream")).unwrap();
    let written = Rc::new(Cell::new(0));
    let count = Rc::clone(&written);
    spawn_local(async move {
        let mut stream = listener.accept().await.unwrap().0;
        read_head(&mut stream).await;
        write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n")).await;
        let chunk = [b'x'; 16 << 10];
        while count.get() < TOTAL {
            stream.write_all(&chunk).await.unwrap();
            count.set(count.get() + chunk.len());
        }
    });
    let downstream = UnixListener::bind(path("downstream")).unwrap();
    Proxy::new(Peer::Unix(path("upstream"))).start_unix(downstream);

    let mut client = UnixStream::connect(path("downstream")).await.unwrap();
    write(&mut client, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_head(&mut client).await;
    let mut buffer = vec![0; 128 << 10];
    let mut read = 0;
    while read < TOTAL {
        // Everybody else gets as far as they can before the client reads on.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(written.get() - read < MOST, "{} bytes on their way", written.get() - read);
        read += within(10, client.read(&mut buffer)).await.unwrap();
    }
    assert_eq!(read, TOTAL);
}

#[tokio::test(flavor = "local")]
async fn a_body_is_read_in_pieces_no_larger_than_it_was_told() {
    const TOTAL: usize = 256 << 10;
    let (listener, peer) = upstream().await;
    spawn_local(async move {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n");
        write(&mut stream, &head).await;
        stream.write_all(&vec![b'x'; TOTAL]).await.unwrap();
    });
    let pool = Pool::new();
    let slot = acquire(&pool, &peer).await;
    let mut limits = LIMITS;
    limits.download.read_bytes = 1_000;
    let sent = slot.send(request(Method::GET), &limits, |_, _| ());
    let mut body = within(10, sent).await.unwrap().into_body();
    let (mut read, mut largest) = (0, 0);
    while let Some(frame) = within(10, body.frame()).await {
        let bytes = frame.unwrap().into_data().unwrap().len();
        let most = if read <= TOTAL / 2 { 1_000 } else { 6_000 };
        assert!(bytes <= most, "{bytes} at a time");
        (read, largest) = (read + bytes, largest.max(bytes));
        if read > TOTAL / 2 {
            body.limit(6_000);
        }
    }
    assert_eq!(read, TOTAL);
    assert!(largest > 1_000, "never more than {largest} at a time");
}
