//! What hyper makes of what a gate lets pass: it is not to see other messages than the gate does. Here
//! its server of requests, and in `client` its client of responses.

mod client;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::cut::LIMITS;
use super::reference::{Field, Message, Reading, lists};

pub(crate) use client::responses;

/// The least that hyper takes.
const BUFFER_BYTES: usize = 8 << 10;

/// Has hyper's server read what clients sent, as far as it is HTTP, and compares.
pub(crate) fn requests(passed: &[u8], expected: &Reading) {
    let seen = read(passed);
    let mut messages = expected.messages.iter();
    for (number, message) in seen.iter().enumerate() {
        let Some(expected) = messages.next() else { panic!("hyper sees {message:#?}, too") };
        assert_eq!(message, &sorted(expected), "{number}");
        if !stays(expected) {
            return;
        }
    }
    // One whose body is not complete is no message yet.
    let next = messages.next().filter(|message| message.complete);
    assert!(next.is_none(), "hyper does not see {next:#?}");
}

/// Whether the connection may be used again.
fn stays(message: &Message) -> bool {
    let option = |fields: &[Field], name| lists(fields, "connection", name);
    // hyper looks for what keeps an old client's connection only where all is text.
    let text = |field: &&Field| field.1.iter().all(|byte| byte.is_ascii());
    let read: Vec<Field> = message.fields.iter().filter(text).cloned().collect();
    let kept = !message.old || option(&read, "keep-alive");
    kept && !option(&message.fields, "close")
}

/// A message as hyper gives it: its target as a URL, fields by name, whoever had which first.
fn sorted(message: &Message) -> Message {
    let mut message = message.clone();
    if let Ok(uri) = message.first.1.parse::<Uri>() {
        message.first.1 = uri.to_string();
    }
    message.fields = by_name(message.fields);
    message.trailers = by_name(message.trailers);
    message
}

/// The requests that hyper sees, those that are complete.
fn read(bytes: &[u8]) -> Vec<Message> {
    let seen = Rc::new(RefCell::default());
    let sink = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let seen: Rc<RefCell<Vec<Message>>> = Rc::clone(&sink);
        async move {
            if let Some(message) = message(request).await {
                seen.borrow_mut().push(message);
            }
            // A refusal: no protocol changes.
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        .max_headers(LIMITS.fields)
        .serve_connection(Memory(bytes.to_vec().into()), service);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut connection = pin!(connection);
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(result) = connection.as_mut().poll(&mut Context::from_waker(&waker)) {
            assert!(result.is_ok(), "{result:?}");
        }
    }
    seen.take()
}

async fn message(request: Request<Incoming>) -> Option<Message> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok()?;
    let trailers = body.trailers().map(fields).unwrap_or_default();
    Some(sorted(&Message {
        first: (parts.method.to_string(), parts.uri.to_string()),
        old: parts.version == Version::HTTP_10,
        fields: fields(&parts.headers),
        body: body.to_bytes().to_vec(),
        trailers,
        complete: true,
    }))
}

/// Whoever had which first.
fn by_name(mut fields: Vec<Field>) -> Vec<Field> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn fields(headers: &HeaderMap) -> Vec<Field> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// A stream of bytes after which nothing comes; what is written to it is lost.
struct Memory(Bytes);

impl hyper::rt::Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let fits = self.0.len().min(buffer.remaining());
        if fits == 0 {
            return Poll::Pending;
        }
        buffer.put_slice(&self.0.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether there is more to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
