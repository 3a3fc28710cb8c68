//! Connections that a client is behind.

use std::cell::RefCell;

use http::{HeaderMap, Request};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Duration, Instant};

use super::*;
use crate::listener::interim::INTERIM_BYTES;
use crate::wire::{Fault, Limits};

const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { head_bytes: 4_096, fields: 20, target_bytes: 1_000 };
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>>>>;

/// Serves a client by what a function makes of each request; how that has ended.
fn served(
    stream: UnixStream,
    answer: impl FnMut(Sole, Request<Received>) -> Answering + Unpin + 'static,
) -> (impl Future<Output = io::Result<()>>, Sole) {
    let mut answer = answer;
    let sole = Sole::new((Stream::Unix(stream), &[]), LIMITS, PATIENCE);
    let mut connection = Connection::new(&sole, {
        let sole = sole.clone();
        move |head, body| answer(sole.clone(), Request::from_parts(*head, body))
    });
    let serving = async move {
        (&mut connection).await?;
        connection.close().await
    };
    (serving, sole)
}

fn text(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

/// Without what the time says.
fn undated(seen: &str) -> String {
    let lines = seen.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

/// What a client gets for its bytes when it ends its side, or does not.
async fn exchange(
    sent: &str,
    ends: bool,
    answer: fn(Sole, Request<Received>) -> Answering,
) -> String {
    let (ours, mut client) = UnixStream::pair().unwrap();
    let sent = sent.to_owned();
    LocalSet::new()
        .run_until(async move {
            let (serving, _) = served(ours, answer);
            let serving = spawn_local(serving);
            client.write_all(sent.as_bytes()).await.unwrap();
            if ends {
                client.shutdown().await.unwrap();
            }
            let mut seen = String::new();
            client.read_to_string(&mut seen).await.unwrap();
            let _ended = serving.await.unwrap();
            undated(&seen)
        })
        .await
}

/// Answers with the method and the body of a request.
fn echo(sole: Sole, request: Request<Received>) -> Answering {
    Box::pin(async move {
        if let Err(fault) = sole.begin() {
            let mut response = text(fault.to_string());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
        sole.stay();
        let method = request.method().clone();
        match request.into_body().collect().await {
            Ok(body) => text([method.as_str().as_bytes(), &body.to_bytes()].concat()),
            Err(error) => text(error.to_string()),
        }
    })
}

#[tokio::test]
async fn requests_are_answered_in_their_order_and_an_end_is_the_end() {
    let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let sized = "PUT / HTTP/1.1\r\ncontent-length: 2\r\n\r\nde";
    let seen = exchange(&[GET, chunked, sized].concat(), true, echo).await;
    let answer =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(seen, ["GET", "POSTabc", "PUTde"].map(answer).concat());
}

#[tokio::test]
async fn who_speaks_http_1_0_is_answered_so_and_left_unless_it_says_otherwise() {
    let old = "GET / HTTP/1.0\r\n\r\n";
    let seen = exchange(&[old, GET].concat(), false, echo).await;
    assert_eq!(seen, "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nGET");
    let stays = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let seen = exchange(&[stays, old].concat(), false, echo).await;
    let both = "HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nGET\
                HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nGET";
    assert_eq!(seen, both);
}

#[tokio::test]
async fn a_head_that_is_refused_is_answered_in_its_turn_and_nothing_after_it() {
    let seen = exchange(&[GET, "GET /\n", GET].concat(), true, echo).await;
    let fault = Fault::BareLf.to_string();
    let expected = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nGET\
         HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{fault}",
        fault.len()
    );
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn consent_is_given_when_the_body_is_asked_for_and_not_otherwise() {
    let waits = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let seen = exchange(&format!("{waits}ab"), true, echo).await;
    assert!(seen.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{seen}");
    let unread = |_, _| -> Answering { Box::pin(async { text("no") }) };
    let seen = exchange(waits, true, unread).await;
    assert_eq!(seen, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
}

#[tokio::test]
async fn interim_responses_go_out_before_the_answer_and_to_those_who_know_them() {
    let hinting = |sole: Sole, request: Request<Received>| -> Answering {
        Box::pin(async move {
            let interim = sole.interim(request.version());
            let headers = HeaderMap::from_iter([(http::header::LINK, "</a.css>".parse().unwrap())]);
            assert!(!interim.send(StatusCode::OK, &headers));
            let sent = interim.send(StatusCode::EARLY_HINTS, &headers);
            text(sent.to_string())
        })
    };
    let seen = exchange(GET, true, hinting).await;
    assert_eq!(seen, format!("{HINT}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"));
    let seen = exchange("GET / HTTP/1.0\r\n\r\n", true, hinting).await;
    assert_eq!(seen, "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nfalse");
}

#[tokio::test]
async fn waiting_interim_responses_are_bounded() {
    let (ours, _client) = UnixStream::pair().unwrap();
    let (_serving, sole) = served(ours, |_, _| Box::pin(async { text("") }));
    let interim = sole.interim(Version::HTTP_11);
    let headers = HeaderMap::from_iter([(http::header::LINK, "</a.css>".parse().unwrap())]);
    let sent = (0..10_000).take_while(|_| interim.send(StatusCode::EARLY_HINTS, &headers));
    assert_eq!(sent.count(), INTERIM_BYTES / HINT.len());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let (ours, mut client) = UnixStream::pair().unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    let (serving, sole) = served(ours, |_, _| Box::pin(async { text(vec![b'x'; 10 << 20]) }));
    tokio::time::pause();
    let start = Instant::now();
    assert_eq!(serving.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
    assert_eq!(sole.stalled(), Some(PATIENCE));
}

#[tokio::test]
async fn what_a_client_still_sends_is_read_before_the_end_but_not_for_ever() {
    const POST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n";
    for (leaves, seconds) in [(true, 0), (false, 5)] {
        let (ours, mut client) = UnixStream::pair().unwrap();
        client.write_all(POST).await.unwrap();
        let (serving, _) = served(ours, |_, _| Box::pin(async { text("no") }));
        tokio::time::pause();
        let start = Instant::now();
        let mut serving = Box::pin(serving);
        let mut answer = [0; 100];
        tokio::select! {
            ended = &mut serving => panic!("ended: {ended:?}"),
            read = client.read(&mut answer) => assert_ne!(read.unwrap(), 0, "the answer"),
        }
        client.write_all(b"more").await.unwrap();
        let client = Some(client).filter(|_| !leaves);
        serving.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), seconds);
        drop(client);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_client_that_ends_its_side_has_a_second_until_it_is_written_to() {
    let (ours, mut client) = UnixStream::pair().unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let (serving, sole) = served(ours, |_, _| Box::pin(std::future::pending()));
    tokio::time::pause();
    let start = Instant::now();
    assert!(serving.await.is_err());
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(sole.read_bytes(), GET.len() as u64);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_of_it_and_the_end() {
    let begun = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    for (rest, error) in
        [("zz\r\n", Fault::ChunkSize.to_string()), ("1", "unexpected end of file".to_owned())]
    {
        let seen = exchange(&format!("{begun}{rest}"), true, echo).await;
        assert!(seen.ends_with(&error), "{seen}");
    }
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_one() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (ours, mut client) = UnixStream::pair().unwrap();
    let noted = Rc::clone(&seen);
    let (serving, _) = served(ours, move |_, request: Request<Received>| {
        noted.borrow_mut().push(request.uri().to_string());
        Box::pin(async { text("") })
    });
    let sending = async move {
        for byte in "\r\nGET /a?b HTTP/1.1\r\nhost: a\r\n\r\nGET * HTTP/1.1\r\n\r\n".bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        client
    };
    let (served, _client) = tokio::join!(serving, sending);
    served.unwrap();
    assert_eq!(*seen.borrow(), ["/a?b", "*"]);
}

#[tokio::test]
async fn the_stream_ends_with_its_connection_whoever_reads_on_in_a_body() {
    let (ours, mut client) = UnixStream::pair().unwrap();
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    let (serving, _) = served(ours, move |_, request: Request<Received>| {
        keep.replace(Some(request.into_body()));
        Box::pin(async { text("no") })
    });
    let mut serving = Box::pin(serving);
    let mut answer = [0; 100];
    tokio::select! {
        ended = &mut serving => panic!("the body is not over: {ended:?}"),
        read = client.read(&mut answer) => assert_ne!(read.unwrap(), 0),
    }
    drop(serving);
    assert_eq!(client.read(&mut answer).await.unwrap(), 0);
    let mut body = kept.take().unwrap();
    assert!(body.frame().await.unwrap().is_err());
}

/// A body of ten bytes that breaks off after three.
struct Breaks(bool);

impl Body for Breaks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let begun = mem::replace(&mut self.0, true);
        let error = || Err(io::ErrorKind::ConnectionReset.into());
        Poll::Ready(Some(if begun { error() } else { Ok(Frame::data(Bytes::from_static(b"abc"))) }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(10)
    }
}

#[tokio::test]
async fn what_there_is_of_an_answer_that_breaks_off_at_once_is_written() {
    let (ours, mut client) = UnixStream::pair().unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    let sole = Sole::new((Stream::Unix(ours), &[]), LIMITS, PATIENCE);
    let mut connection =
        Connection::new(&sole, |_, _| std::future::ready(Response::new(Breaks(false))));
    let ended = (&mut connection).await.unwrap_err();
    assert_eq!(ended.to_string(), io::Error::from(io::ErrorKind::ConnectionReset).to_string());
    drop(connection);
    let mut seen = String::new();
    client.read_to_string(&mut seen).await.unwrap();
    assert_eq!(undated(&seen), "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
}
