//! Streams that a client is behind.

use std::future::{Future as _, poll_fn};

use http::{HeaderMap, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::listener::interim::{INTERIM_BYTES, Interim};

const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { head_bytes: 4_096, fields: 20, target_bytes: 1_000 };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

fn pair() -> (Downstream, Sole, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (downstream, handle) = Downstream::new(Stream::Unix(ours), LIMITS, PATIENCE);
    (downstream, handle, theirs)
}

fn hint(interim: &Interim) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert("link", "</a.css>".parse().unwrap());
    interim.send(StatusCode::EARLY_HINTS, &headers)
}

/// Writes `x` until the client has to read first.
async fn fill(downstream: &mut Downstream) -> usize {
    let chunk = [b'x'; 4096];
    let mut filled = 0;
    loop {
        let once =
            poll_fn(|context| Poll::Ready(Pin::new(&mut *downstream).poll_write(context, &chunk)));
        match once.await {
            Poll::Ready(written) => filled += written.unwrap(),
            Poll::Pending => return filled,
        }
    }
}

async fn everything(mut client: UnixStream) -> String {
    let mut seen = String::new();
    client.read_to_string(&mut seen).await.unwrap();
    seen
}

#[tokio::test]
async fn an_interim_response_goes_out_between_responses() {
    let (mut downstream, handle, client) = pair();
    downstream.write_all(b"first").await.unwrap();
    downstream.flush().await.unwrap();

    let interim = handle.interim(Version::HTTP_11);
    assert!(hint(&interim));
    assert!(!interim.send(StatusCode::OK, &HeaderMap::new()));
    drop(interim);
    downstream.write_all(b"second").await.unwrap();
    downstream.flush().await.unwrap();

    let seen = u64::try_from("firstsecond".len() + HINT.len()).unwrap();
    assert_eq!(handle.written_bytes(), seen);
    drop(downstream);
    assert_eq!(everything(client).await, format!("first{HINT}second"));
}

#[tokio::test]
async fn http_1_0_clients_get_none() {
    let (mut downstream, handle, client) = pair();
    assert!(!hint(&handle.interim(Version::HTTP_10)));
    downstream.flush().await.unwrap();
    drop(downstream);
    assert_eq!(everything(client).await, "");
}

#[tokio::test]
async fn an_interim_response_never_splits_a_response() {
    let (mut downstream, handle, client) = pair();
    let filled = fill(&mut downstream).await;
    let interim = handle.interim(Version::HTTP_11);
    assert!(hint(&interim));
    let reader = tokio::spawn(everything(client));
    downstream.write_all(b"rest").await.unwrap();
    downstream.flush().await.unwrap();
    drop(interim);
    drop(downstream);
    assert_eq!(reader.await.unwrap(), format!("{}rest{HINT}", "x".repeat(filled)));
}

#[tokio::test]
async fn an_interim_response_that_came_too_late_is_dropped() {
    let (mut downstream, handle, client) = pair();
    let filled = fill(&mut downstream).await;
    let interim = handle.interim(Version::HTTP_11);
    assert!(hint(&interim));
    drop(interim);
    let reader = tokio::spawn(everything(client));
    downstream.write_all(b"final").await.unwrap();
    downstream.flush().await.unwrap();
    drop(downstream);
    assert_eq!(reader.await.unwrap(), format!("{}final", "x".repeat(filled)));
}

#[tokio::test]
async fn waiting_interim_responses_are_bounded() {
    let (_downstream, handle, _client) = pair();
    let interim = handle.interim(Version::HTTP_11);
    let accepted = (0..10_000).take_while(|_| hint(&interim)).count();
    assert_eq!(accepted, INTERIM_BYTES / HINT.len());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let (mut downstream, _handle, _client) = pair();
    tokio::time::pause();
    fill(&mut downstream).await;
    let start = tokio::time::Instant::now();
    let error = downstream.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
}

#[tokio::test]
async fn bytes_are_counted() {
    let (mut downstream, handle, mut client) = pair();
    client.write_all(REQUEST).await.unwrap();
    let mut buffer = [0; 100];
    assert_eq!(downstream.read(&mut buffer).await.unwrap(), REQUEST.len());
    assert_eq!(handle.read_bytes(), u64::try_from(REQUEST.len()).unwrap());
}

#[tokio::test]
async fn a_head_that_is_refused_is_told_in_its_turn() {
    let (mut downstream, handle, mut client) = pair();
    client.write_all(&[REQUEST, b"GET /\n", REQUEST].concat()).await.unwrap();
    let mut buffer = [0; 100];
    assert_eq!(downstream.read(&mut buffer).await.unwrap(), REQUEST.len());
    let read = downstream.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..read], REFUSED);
    // hyper hands over the one before it first.
    assert_eq!((handle.begin(), handle.begin()), (Ok(()), Err(Fault::BareLf)));
    let more = poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut buffer);
        Poll::Ready(Pin::new(&mut downstream).poll_read(context, &mut buffer).is_pending())
    });
    assert!(more.await, "nothing comes after it");
}

#[tokio::test]
async fn what_a_client_still_sends_is_read_before_the_end() {
    let (mut downstream, handle, mut client) = pair();
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n").await.unwrap();
    assert_ne!(downstream.read(&mut [0; 100]).await.unwrap(), 0);
    handle.begin().unwrap();
    downstream.write_all(b"answer").await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut shutdown = Box::pin(downstream.shutdown());
    assert!(poll_fn(|context| Poll::Ready(shutdown.as_mut().poll(context).is_pending())).await);
    client.write_all(b"more").await.unwrap();
    drop(client);
    shutdown.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "it hears that the client has gone");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_is_not_waited_for_for_ever() {
    let (mut downstream, _handle, mut client) = pair();
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n").await.unwrap();
    assert_ne!(downstream.read(&mut [0; 100]).await.unwrap(), 0);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    downstream.shutdown().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), LINGER.as_secs());
}
