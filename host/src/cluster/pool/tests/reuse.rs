//! When a connection is used again, and when not.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::Method;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Duration;

use super::support::{
    KEY, LIMITS, SETTINGS, accept, acquire, exchange, fail, get, nobody, read_head, request, serve,
    serve_and_close, upstream, within, write,
};
use crate::cluster::pool::{ConnectSettings, Pool, SendErrorKind};
use crate::turn;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

fn hello(reused: bool) -> (bool, String) {
    (reused, "hello".to_owned())
}

/// Answers the first request of the next connection.
async fn answer_once(listener: &TcpListener) -> TcpStream {
    let mut stream = accept(listener).await;
    read_head(&mut stream).await;
    write(&mut stream, HELLO).await;
    stream
}

/// Waits until the runtime has seen what the other side did last.
async fn settle(mut done: impl FnMut() -> bool) {
    within(10, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_serves_one_request_after_the_other() {
    let (listener, peer) = upstream().await;
    serve(listener, vec![vec![HELLO, CHUNKED, HELLO]]);
    let pool = Pool::new();
    assert_eq!(get(&pool, &peer).await, hello(false));
    assert_eq!(pool.idle_count(), 1);
    assert_eq!(get(&pool, &peer).await, hello(true));
    assert_eq!(get(&pool, &peer).await, hello(true));
}

#[tokio::test(flavor = "local")]
async fn a_small_exchange_takes_two_polls() {
    let (listener, peer) = upstream().await;
    serve(listener, vec![vec![HELLO, HELLO, HELLO]]);
    let pool = Pool::new();
    for _ in 0..3 {
        let slot = acquire(&pool, &peer).await;
        let mut polls = 0;
        let mut sent = pin!(slot.send(request(Method::GET), &LIMITS, |_, _| {}));
        let response = poll_fn(|context| {
            polls += 1;
            sent.as_mut().poll(context)
        });
        let mut body = within(10, response).await.unwrap().into_body();
        assert_eq!(polls, 2);

        // The body came with the head: taking it wakes nobody and frees the connection.
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
        assert_eq!(pool.idle_count(), 1);
        drop(body);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(flavor = "local")]
async fn a_body_that_has_come_with_its_head_leaves_the_connection_to_others() {
    let (listener, peer) = upstream().await;
    serve(listener, vec![vec![HELLO, CHUNKED, CHUNKED, HELLO]]);
    let pool = Pool::new();
    let mut bodies = Vec::new();
    for known in [Some(5), None, None, Some(5)] {
        let slot = acquire(&pool, &peer).await;
        let sent = slot.send(request(Method::GET), &LIMITS, |_, _| {});
        let body = within(10, sent).await.unwrap().into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (known, false));
        assert_eq!(pool.idle_count(), 1);
        bodies.push(body);
    }
    for body in bodies {
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "local")]
async fn a_closed_idle_connection_is_replaced() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let (got, stream) = tokio::join!(get(&pool, &peer), answer_once(&listener));
    assert_eq!(got, hello(false));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(pool.idle_count(), 1);
    serve(listener, vec![vec![HELLO, HELLO]]);
    assert_eq!(get(&pool, &peer).await, hello(false));
    assert_eq!(get(&pool, &peer).await, hello(true));
}

#[tokio::test(flavor = "local")]
async fn sweeping_drops_closed_connections() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let (_, stream) = tokio::join!(get(&pool, &peer), answer_once(&listener));
    pool.sweep();
    assert_eq!(pool.idle_count(), 1);
    drop(stream);
    settle(|| {
        pool.sweep();
        pool.idle_count() == 0
    })
    .await;
}

#[tokio::test(flavor = "local")]
async fn a_request_that_was_not_written_is_known_not_to_be() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let (_, stream) = tokio::join!(get(&pool, &peer), answer_once(&listener));

    let slot = acquire(&pool, &peer).await;
    assert!(slot.reused());
    drop(stream);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let error = slot.send(request(Method::POST), &LIMITS, |_, _| {}).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Unsent);
    assert!(error.reused && error.answered == 0);
}

#[tokio::test(flavor = "local")]
async fn responses_without_a_body_do_not_hang() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(
        listener,
        vec![vec![
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
            HELLO,
        ]],
    );
    assert_eq!(exchange(&pool, &peer, Method::HEAD).await, (false, String::new()));
    assert_eq!(exchange(&pool, &peer, Method::GET).await, (true, String::new()));
    assert_eq!(exchange(&pool, &peer, Method::GET).await, (true, String::new()));
    assert_eq!(get(&pool, &peer).await, hello(true));
}

#[tokio::test(flavor = "local")]
async fn some_responses_end_a_connection() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    // Each of them would leave the connection open.
    let last = [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    ];
    serve(listener, last.map(|answer| vec![answer]).to_vec());
    for answer in last {
        let (reused, body) = get(&pool, &peer).await;
        assert!(!reused, "{answer}");
        assert_eq!(body, if answer.contains("204") { "" } else { "hello" }, "{answer}");
        assert_eq!(pool.idle_count(), 0, "{answer}");
    }
}

#[tokio::test(flavor = "local")]
async fn a_response_may_end_with_its_connection() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve_and_close(listener, &["HTTP/1.1 200 OK\r\n\r\nhello"]);
    assert_eq!(get(&pool, &peer).await, hello(false));
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn bytes_that_nobody_asked_for_end_a_connection() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let (_, mut stream) = tokio::join!(get(&pool, &peer), answer_once(&listener));
    assert_eq!(pool.idle_count(), 1);
    write(&mut stream, HELLO).await;
    settle(|| {
        pool.sweep();
        pool.idle_count() == 0
    })
    .await;
}

#[tokio::test(flavor = "local")]
async fn what_comes_unasked_while_a_request_waits_for_its_turn_is_no_answer_to_it() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let (_, mut stream) = tokio::join!(get(&pool, &peer), answer_once(&listener));
    // Whoever ends turns is there, and does not come to it.
    let mut ends = pin!(turn::end());
    let mut context = Context::from_waker(Waker::noop());
    assert!(ends.as_mut().poll(&mut context).is_pending());
    let slot = acquire(&pool, &peer).await;
    assert!(slot.reused());
    let mut sent = pin!(slot.send(request(Method::GET), &LIMITS, |_, _| {}));
    assert!(sent.as_mut().poll(&mut context).is_pending());
    write(&mut stream, HELLO).await;
    // The network is asked in between.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    let error = within(10, sent).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Unsent);
}

#[tokio::test(flavor = "local")]
async fn a_body_left_unread_ends_a_connection() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", ""]]);
    let slot = acquire(&pool, &peer).await;
    let response = slot.send(request(Method::GET), &LIMITS, |_, _| {}).await.unwrap();
    drop(response);
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn idle_connections_are_few_and_grow_old() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![HELLO], vec![HELLO], vec![HELLO]]);
    let slots =
        [acquire(&pool, &peer).await, acquire(&pool, &peer).await, acquire(&pool, &peer).await];
    for slot in slots {
        let response = slot.send(request(Method::GET), &LIMITS, |_, _| {});
        within(10, response).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(pool.idle_count(), SETTINGS.max_idle);

    // A lower limit holds from the next use.
    let one = ConnectSettings { max_idle: 1, ..SETTINGS };
    drop(pool.acquire(KEY + 1, &peer, &one, &nobody(), true).await);
    drop(pool.acquire(KEY, &peer, &one, &nobody(), true).await.unwrap());
    pool.sweep();
    assert_eq!(pool.idle_count(), 1);

    tokio::time::pause();
    tokio::time::advance(SETTINGS.idle_timeout - Duration::from_secs(1)).await;
    pool.sweep();
    assert_eq!(pool.idle_count(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    pool.sweep();
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn connections_that_a_burst_has_left_go_by_halves_and_one_stays() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![HELLO]; 8]);
    let many = ConnectSettings { max_idle: 9, ..SETTINGS };
    let mut slots = Vec::new();
    for _ in 0..8 {
        slots.push(pool.acquire(KEY, &peer, &many, &nobody(), true).await.unwrap());
    }
    for slot in slots {
        let response = slot.send(request(Method::GET), &LIMITS, |_, _| {});
        within(10, response).await.unwrap().into_body().collect().await.unwrap();
    }
    tokio::time::pause();
    pool.sweep();
    assert_eq!(pool.idle_count(), 8);
    tokio::time::advance(Duration::from_secs(10)).await;
    let left = [(); 5].map(|()| {
        pool.sweep();
        pool.idle_count()
    });
    assert_eq!(left, [4, 2, 1, 1, 1]);
}

#[tokio::test(flavor = "local")]
async fn connections_to_a_closed_endpoint_do_not_come_back() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![HELLO, HELLO]]);
    get(&pool, &peer).await;
    pool.retain(|key| key == KEY);
    assert_eq!(pool.idle_count(), 1);
    let busy = acquire(&pool, &peer).await;
    pool.close_endpoint(KEY);
    assert_eq!(pool.idle_count(), 0);
    let response = busy.send(request(Method::GET), &LIMITS, |_, _| {});
    let body = within(10, response).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "hello");
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn failures_are_told_apart() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve_and_close(
        listener,
        &[
            "",
            "HTTP/1.1 200 O",
            "gibberish\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ],
    );
    let mut failures = Vec::new();
    for _ in 0..4 {
        let error = within(10, fail(&pool, &peer)).await;
        failures.push((error.kind, error.answered > 0));
    }
    assert_eq!(
        failures,
        [
            (SendErrorKind::Broken, false),
            (SendErrorKind::Broken, true),
            (SendErrorKind::Malformed, true),
            (SendErrorKind::Malformed, true),
        ]
    );
}

#[tokio::test(flavor = "local")]
async fn an_upstream_that_does_not_answer_is_given_up() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let slot = acquire(&pool, &peer).await;
    let _stream = accept(&listener).await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = slot.send(request(Method::GET), &LIMITS, |_, _| {}).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), LIMITS.response_timeout.as_secs());
}
