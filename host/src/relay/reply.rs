//! The answers that Linkspan gives itself: the only place where an error becomes a response.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode, request};
use http_body::Body as _;

use crate::body::{Body, Received};
use crate::config::Listener;
use crate::relay::error::Error;
use crate::status;
use crate::worker::Worker;

/// Who answers.
const NAME: HeaderValue = HeaderValue::from_static("linkspan");

/// What is relayed, as far as it is registered: any other method is as well, but CONNECT and TRACE.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// A short text with the error's status, and no detail about the inside.
pub(super) fn error(error: &Error) -> Response<Body> {
    let status = error.status();
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut response = Response::new(Body::full(format!("{} {reason}\n", status.as_u16())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(SERVER, NAME);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if matches!(error, Error::Method) {
        headers.insert(ALLOW, METHODS);
    }
    if error.closes() {
        close(&mut response);
    }
    response
}

/// The answer to what is asked of the proxy itself, if that is so: a proof that a name is ours, for the
/// authority that is to issue a certificate for it, or the status page.
pub(super) fn ours(
    worker: &Worker,
    settings: &Listener,
    head: &request::Parts,
) -> Option<Response<Body>> {
    let path = head.uri.path();
    if let Some(proof) = settings.proofs.as_ref().and_then(|issued| issued.answer(path)) {
        let mut response = given(Response::new(Bytes::copy_from_slice(proof.as_bytes())));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        return Some(response);
    }
    let own = settings.status_path.as_ref()?;
    status::is_at(path, own).then(|| given(worker.status(&head.method, &head.uri)))
}

/// What an OPTIONS gets that may go no further.
pub(super) fn options() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(SERVER, NAME);
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// Reads a body that has come with its head, as small ones do, and answers whether that was all of it.
/// A client whose body is on its way still is not waited for.
pub(super) async fn came_along(mut incoming: Received) -> bool {
    poll_fn(|context| {
        loop {
            match Pin::new(&mut incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(end) => return Poll::Ready(end.is_none()),
                Poll::Pending => return Poll::Ready(false),
            }
        }
    })
    .await
}

/// The response is the last of its connection. One that changes the protocol is that anyway.
pub(super) fn close(response: &mut Response<Body>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What a router answers.
pub(super) fn given(response: Response<Bytes>) -> Response<Body> {
    let bodyless = matches!(response.status().as_u16(), 204 | 304);
    let mut response = response.map(|body| if bodyless { Body::empty() } else { Body::full(body) });
    response.headers_mut().entry(SERVER).or_insert(NAME);
    response
}
