//! What a request body promises.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::Duration;

use super::support::{Proxy, accept, read_head, read_to, upstream, within, write};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LARGE: usize = 8 << 20;

async fn read_body(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    within(20, stream.read_exact(&mut body)).await.unwrap();
    body
}

async fn post(client: &mut TcpStream, length: usize) {
    write(client, &format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")).await;
}

async fn read_status(client: &mut TcpStream) -> String {
    read_head(client).await.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "local")]
async fn bodies_pass_in_either_framing() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    post(&mut client, 5).await;
    write(&mut client, "hello").await;
    let mut origin = accept(&listener).await;
    assert!(read_head(&mut origin).await.contains("content-length: 5\r\n"));
    assert_eq!(read_body(&mut origin, 5).await, b"hello");
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
    read_to(&mut client, "ok").await;

    write(
        &mut client,
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-secret\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 1\r\nx-secret: 2\r\n\r\n",
    )
    .await;
    assert!(read_head(&mut origin).await.contains("transfer-encoding: chunked\r\n"));
    assert_eq!(read_head(&mut origin).await, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
}

#[tokio::test(flavor = "local")]
async fn an_early_response_and_a_large_upload_do_not_wait_for_each_other() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer);
    let pool = proxy.pool.clone();
    let address = proxy.start().await;
    let origin = spawn_local(async move {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let (mut reader, mut writer) = stream.into_split();
        let answer = spawn_local(async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
            writer.write_all(head.as_bytes()).await.unwrap();
            writer.write_all(&vec![b'a'; LARGE]).await.unwrap();
            writer
        });
        let mut body = vec![0; LARGE];
        reader.read_exact(&mut body).await.unwrap();
        let stream = answer.await.unwrap().reunite(reader).unwrap();
        (stream, listener)
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    post(&mut client, LARGE).await;
    // The client reads only after it has sent everything.
    within(20, client.write_all(&vec![b'b'; LARGE])).await.unwrap();
    assert_eq!(read_status(&mut client).await, "200");
    assert_eq!(read_body(&mut client, LARGE).await, vec![b'a'; LARGE]);
    let (mut origin, listener) = within(20, origin).await.unwrap();

    // The client's connection serves on. Who answers early is not asked again.
    assert_eq!(within(10, origin.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(pool.idle_count(), 0);
    post(&mut client, 1).await;
    write(&mut client, "c").await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    read_body(&mut origin, 1).await;
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
}

#[tokio::test(flavor = "local")]
async fn an_upload_goes_on_after_a_short_early_response() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let origin = spawn_local(async move {
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        write(&mut stream, OK).await;
        read_body(&mut stream, LARGE).await.len()
    });
    let mut client = TcpStream::connect(proxy).await.unwrap();
    post(&mut client, LARGE).await;
    assert_eq!(read_status(&mut client).await, "200");
    read_to(&mut client, "ok").await;
    within(20, client.write_all(&vec![b'b'; LARGE])).await.unwrap();
    assert_eq!(within(20, origin).await.unwrap(), LARGE);
}

#[tokio::test(flavor = "local")]
async fn an_upload_stops_when_the_upstream_answers_and_closes() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer);
    let pool = proxy.pool.clone();
    let address = proxy.start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    post(&mut client, LARGE).await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    write(
        &mut origin,
        "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno",
    )
    .await;
    drop(origin);
    assert_eq!(read_status(&mut client).await, "403");
    read_to(&mut client, "no").await;
    let mut rest = Vec::new();
    let _reset = within(10, client.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_asks_first_waits_for_the_upstream() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    write(&mut client, head).await;
    let mut origin = accept(&listener).await;
    assert!(read_head(&mut origin).await.contains("expect: 100-continue\r\n"));
    write(&mut origin, "HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    write(&mut client, "hello").await;
    assert_eq!(read_body(&mut origin, 5).await, b"hello");
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
}

#[tokio::test(flavor = "local")]
async fn a_final_response_spares_the_client_its_body() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer);
    let pool = proxy.pool.clone();
    let address = proxy.start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    write(&mut client, head).await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    write(&mut origin, "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(read_status(&mut client).await, "417");
    read_to(&mut client, "no").await;
    // Neither connection is where the other side may think it is.
    let mut rest = Vec::new();
    within(10, client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    within(10, origin.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    assert_eq!(pool.idle_count(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_asks_first_does_not_wait_for_ever() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    write(&mut client, head).await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    tokio::time::pause();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    write(&mut client, "hello").await;
    assert_eq!(read_body(&mut origin, 5).await, b"hello");
}

#[tokio::test(flavor = "local")]
async fn a_small_body_is_sent_again_over_another_connection() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    post(&mut client, 1).await;
    write(&mut client, "a").await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    read_body(&mut origin, 1).await;
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
    read_to(&mut client, "ok").await;

    // The upstream takes half of the next one and closes.
    post(&mut client, 10).await;
    write(&mut client, "hello").await;
    read_head(&mut origin).await;
    read_body(&mut origin, 5).await;
    drop(origin);
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    assert_eq!(read_body(&mut origin, 5).await, b"hello");
    write(&mut client, "world").await;
    assert_eq!(read_body(&mut origin, 5).await, b"world");
    write(&mut origin, OK).await;
    assert_eq!(read_status(&mut client).await, "200");
    read_to(&mut client, "ok").await;

    // A large one is not kept.
    post(&mut client, LARGE).await;
    write(&mut client, "hello").await;
    read_head(&mut origin).await;
    read_body(&mut origin, 5).await;
    drop(origin);
    assert_eq!(read_status(&mut client).await, "502");
}

#[tokio::test(flavor = "local")]
async fn too_much_is_refused() {
    let (listener, peer) = upstream().await;
    let mut proxy = Proxy::new(peer);
    proxy.upload.max_body_bytes = 4;
    let address = proxy.start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    post(&mut client, 5).await;
    assert_eq!(read_status(&mut client).await, "413");

    let mut client = TcpStream::connect(address).await.unwrap();
    write(&mut client, "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    write(&mut client, "3\r\nabc\r\n").await;
    let mut origin = accept(&listener).await;
    read_to(&mut origin, "abc\r\n").await;
    write(&mut client, "2\r\nde\r\n").await;
    assert_eq!(read_status(&mut client).await, "413");
    let mut rest = Vec::new();
    let _reset = within(10, origin.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

#[tokio::test(flavor = "local")]
async fn a_silent_client_is_given_up_and_a_slow_one_is_not_the_upstreams_fault() {
    let (listener, peer) = upstream().await;
    let mut proxy = Proxy::new(peer);
    proxy.send.response_timeout = Duration::from_secs(3);
    let body_timeout = proxy.upload.body_timeout;
    let address = proxy.start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    post(&mut client, 5).await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
    // The clock was stopped a little after the wait began.
    let off = body_timeout.abs_diff(start.elapsed());
    assert!(off < Duration::from_secs(2), "{off:?}");
}

#[tokio::test(flavor = "local")]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let (listener, peer) = upstream().await;
    let proxy = Proxy::new(peer).start().await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    post(&mut client, 5).await;
    let mut origin = accept(&listener).await;
    read_head(&mut origin).await;
    drop(client);
    let mut rest = Vec::new();
    let _reset = within(10, origin.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}
