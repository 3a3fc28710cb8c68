//! A downstream connection of HTTP/1: heads are read, each request is answered in its turn, and the answer
//! is written.
//!
//! No task but the one that polls it has a part in it, and nothing is passed through channels: a request's
//! future, what its body is read by, and what writes its answer share what owns the stream.
//! Bytes are judged by the gate of [`wire`](crate::wire) when their turn has come, so a head that is
//! refused is answered after all requests before it; the relay asks for the verdict
//! ([`Sole::begin`]). What is wrong within a body is an error of that body.
//!
//! A request that asks for another protocol and gets it ends the connection as far as HTTP is concerned:
//! what follows is [taken over](Connection::into_parts).

mod answer;
mod inflow;
mod line;
mod sole;

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Method, Response, StatusCode, Version, request};
use http_body::Body;

use crate::body::Received;
use crate::headers::has;
use crate::socket::Stream;
use crate::turn;
use answer::Answer;
use inflow::Inflow;
use line::Line;
pub use sole::Sole;

/// A connection, and what answers its requests.
///
/// As a future it is over when no request is to follow: the client has ended its side between two, or
/// the last answer is written, or another protocol follows. It fails when the stream does, when a
/// client is gone within a request or takes nothing, and when the body of an answer does.
#[must_use]
pub struct Connection<S, F, B> {
    line: Owned,
    service: S,
    at: At<F, B>,
    /// The request that is open is the last, or else there is to be none.
    leaving: bool,
    body: PhantomData<B>,
}

/// The stream goes with the connection, whoever reads on in a body of it.
struct Owned(Rc<Line>);

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

impl Deref for Owned {
    type Target = Rc<Line>;

    fn deref(&self) -> &Rc<Line> {
        &self.0
    }
}

/// What is going on.
enum At<F, B> {
    /// The next head is read.
    Head,
    /// A request is being answered.
    Serving(Pin<Box<F>>, Asked),
    /// An answer is being written.
    Writing(Answer<B>),
    /// It is written, and whether another request may follow once all of this one has come.
    Written(bool),
    Over,
}

/// What was asked, as far as writing the answer depends on it.
#[derive(Debug, Clone, Copy)]
struct Asked {
    what: What,
    /// By HTTP/1.0.
    old: bool,
    /// The client would send another request.
    more: bool,
}

/// What the method is about, as far as that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A head alone.
    Head,
    /// A tunnel.
    Tunnel,
    Other,
}

impl Asked {
    fn of(request: &request::Parts) -> Self {
        let old = request.version < Version::HTTP_11;
        let more = if has(&request.headers, &CONNECTION) {
            let values = request.headers.get_all(CONNECTION);
            let says = |option| values.iter().any(|value| says(value, option));
            !says("close") && (!old || says("keep-alive"))
        } else {
            !old
        };
        let what = match request.method {
            Method::HEAD => What::Head,
            Method::CONNECT => What::Tunnel,
            _ => What::Other,
        };
        Self { what, old, more }
    }
}

/// Whether a value of Connection has an option.
fn says(value: &HeaderValue, option: &str) -> bool {
    let mut options = value.as_bytes().split(|byte| *byte == b',');
    options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

impl<S, F, B> Connection<S, F, B>
where
    S: FnMut(Box<request::Parts>, Received) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Has what comes by a stream answered by `service`, which is given the head and the body of each request.
    pub fn new(sole: &Sole, service: S) -> Self {
        let line = Owned(Rc::clone(&sole.0));
        Self { line, service, at: At::Head, leaving: false, body: PhantomData }
    }

    /// Whether a request is being answered.
    pub fn is_serving(&self) -> bool {
        !matches!(self.at, At::Head | At::Over)
    }

    /// The request that is open is to be the last.
    pub fn leave(&mut self) {
        self.leaving = true;
        if matches!(self.at, At::Head) && !self.line.has_input() {
            self.at = At::Over;
        }
    }

    /// Ends it so that the client can read the last answer: what still comes is read and thrown away for some
    /// seconds, if the client may not be done.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn close(&self) -> io::Result<()> {
        poll_fn(|context| self.line.poll_close(context)).await
    }

    /// The stream, and what was read of it and not used; none while somebody reads a body of it.
    pub fn into_parts(self) -> Option<(Stream, Bytes)> {
        let Self { line, at, .. } = self;
        drop(at);
        line.release()
    }

    /// Hands a request over.
    fn begin(&mut self, parts: Box<request::Parts>) -> At<F, B> {
        let asked = Asked::of(&parts);
        let waits = !asked.old
            && has(&parts.headers, &EXPECT)
            && parts.headers.get(EXPECT).is_some_and(is_consent);
        let body = match self.line.expects_body(waits) {
            true => Received::Http1(Box::pin(Inflow::new(&self.line))),
            false => Received::None,
        };
        // Room first: what is large is made where it stays.
        let serving = Box::write(Box::new_uninit(), (self.service)(parts, body));
        At::Serving(Box::into_pin(serving), asked)
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.at {
            At::Head => {
                let head = ready!(self.line.poll_head(context))?;
                self.at = match head {
                    Some(parts) => self.begin(parts),
                    None => At::Over,
                };
            }
            At::Serving(serving, asked) => {
                let (polled, waits) = turn::waits(|| serving.as_mut().poll(context));
                let Poll::Ready(response) = polled else {
                    return if waits { Poll::Pending } else { self.line.poll_gone(context) };
                };
                let answer = Answer::begin(response, *asked, self.leaving)?;
                self.line.begin_answer();
                self.at = At::Writing(answer);
            }
            At::Writing(answer) => {
                let (polled, waits) = turn::waits(|| answer.poll(context, &self.line));
                let Poll::Ready(written) = polled else {
                    return if waits { Poll::Pending } else { self.line.poll_gone(context) };
                };
                self.at = At::Written(written?);
            }
            At::Written(more) => {
                let whole = ready!(self.line.poll_whole(context));
                let more = *more && whole && (!self.leaving || self.line.has_input());
                self.at = if more { At::Head } else { At::Over };
            }
            At::Over => {}
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether the value of Expect is the one that there is (RFC 9110, 10.1.1).
fn is_consent(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

impl<S, F, B> Future for Connection<S, F, B>
where
    S: FnMut(Box<request::Parts>, Received) -> F + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !matches!(this.at, At::Over) {
            if let Err(error) = ready!(this.poll_step(context)) {
                // What is open is given up now, not when the connection is dropped.
                drop(mem::replace(&mut this.at, At::Over));
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, F, B> fmt::Debug for Connection<S, F, B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Whether a status is that of an answer which is not the final one.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests;
