//! Connections that tell of one downstream connection first.

use http::Method;
use http_body_util::BodyExt;
use std::rc::Rc;

use super::support::{
    KEY, LIMITS, SETTINGS, accept, nobody, read_to, request, serve, upstream, within,
};
use crate::cluster::peer::Peer;
use crate::cluster::pool::{ConnectSettings, Pool};
use crate::proxy_protocol::{Subject, Version};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const TELLING: ConnectSettings = ConnectSettings { proxy_protocol: Some(Version::V1), ..SETTINGS };

/// Makes an exchange that tells of this; whether the connection was there before.
async fn exchange(
    pool: &Pool,
    peer: &Peer,
    settings: &ConnectSettings,
    told: &Rc<Subject>,
) -> bool {
    let slot = pool.acquire(KEY, peer, settings, told, true).await.unwrap();
    let reused = slot.reused();
    let response = within(10, slot.send(request(Method::GET), &LIMITS, |_, _| {})).await.unwrap();
    within(10, response.into_body().collect()).await.unwrap();
    reused
}

#[tokio::test(flavor = "local")]
async fn the_header_comes_before_any_request() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    let _slot = pool.acquire(KEY, &peer, &TELLING, &nobody(), true).await.unwrap();
    let mut stream = accept(&listener).await;
    assert_eq!(read_to(&mut stream, "\n").await, "PROXY UNKNOWN\r\n");
}

#[tokio::test(flavor = "local")]
async fn what_tells_of_equals_is_not_told_of_the_same() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![OK; 3], vec![OK; 3]]);
    let (first, second) = (nobody(), nobody());
    assert!(!exchange(&pool, &peer, &TELLING, &first).await);
    assert!(!exchange(&pool, &peer, &TELLING, &second).await);
    assert!(exchange(&pool, &peer, &TELLING, &first).await);
    assert!(exchange(&pool, &peer, &TELLING, &second).await);
    assert_eq!(pool.idle_count(), 2);
    drop(first);
    pool.sweep();
    assert_eq!(pool.idle_count(), 1);
    drop(second);
    pool.sweep();
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn what_comes_back_after_its_client_left_is_not_kept() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![OK]]);
    let told = nobody();
    let slot = pool.acquire(KEY, &peer, &TELLING, &told, true).await.unwrap();
    drop(told);
    let response = within(10, slot.send(request(Method::GET), &LIMITS, |_, _| {})).await.unwrap();
    within(10, response.into_body().collect()).await.unwrap();
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn the_limit_is_for_both_kinds_together_and_neither_serves_as_the_other() {
    let (listener, peer) = upstream().await;
    let pool = Pool::new();
    serve(listener, vec![vec![OK; 2]; 4]);
    let one = ConnectSettings { max_idle: 1, ..TELLING };
    let all = ConnectSettings { proxy_protocol: None, ..one };
    let told = nobody();
    assert!(!exchange(&pool, &peer, &one, &told).await);
    assert!(!exchange(&pool, &peer, &all, &told).await, "it has told of somebody");
    assert_eq!(pool.idle_count(), 1);
    assert!(exchange(&pool, &peer, &all, &told).await);
    assert!(!exchange(&pool, &peer, &one, &told).await, "it has told of nobody");
    assert_eq!(pool.idle_count(), 1);
}
