//! The one body type of each direction.
//!
//! [`Body`] goes downstream: nothing, bytes of our own, what an upstream sends, a file, or what is
//! made of another body on its way. [`RequestBody`] goes upstream. Data passes through both as
//! [`Bytes`], without a copy and with back-pressure: a chunk is asked for only when the other side
//! has room for it. An error after the head surfaces as an error of the body, upon which the connection
//! or the stream ends without ending the message, so that the reader can tell.

mod file;
mod patience;
mod received;
mod upload;
mod upstream;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Duration;

use crate::wire::Fault;

pub use self::file::{Chunks, FileBody};
pub use self::patience::{LeastRate, UploadLimits};
pub use self::received::{Inflow, Lost, Received};
pub use self::upload::{RequestBody, Upload, UploadError};
pub use self::upstream::{Channel, DownloadLimits, Transport, UpstreamBody};

/// What is removed from trailers before they pass.
pub type TrailerFilter = fn(&mut HeaderMap);

/// Why a response body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream connection broke, or what came was not HTTP.
    #[error("the upstream broke off its response")]
    Broken(#[source] io::Error),
    /// The upstream reset the stream, or the connection that it shares broke.
    #[error("the upstream broke off its response")]
    Stream(#[source] Box<h2::Error>),
    /// What came through the stream is not HTTP.
    #[error("the upstream's response is malformed")]
    Malformed(Fault),
    /// The upstream sent nothing for as long as the body timeout.
    #[error("the upstream fell silent within its response")]
    Silent(Duration),
    /// The file that is sent could not be read to the end that it had.
    #[error("the file could not be read to its end")]
    File(#[source] io::Error),
    /// A plugin failed to transform it, as whoever called it has written down.
    #[error("a plugin broke off the response")]
    Transformed,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it was handed over.
    Complete,
    /// Its source failed.
    Broken(Break),
    /// Its reader went away.
    Abandoned,
}

/// How the source of a body failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection was closed.
    Closed,
    /// The stream was reset, for such a reason.
    Reset(Reason),
    /// What came through the stream is not HTTP.
    MalformedStream(Fault),
    /// The stream, or its connection, was given up: what came is not HTTP/2.
    Protocol(Reason),
    /// Nothing came for so long.
    Silent(Duration),
    /// What came is not HTTP.
    Malformed(Fault),
    /// The file could not be read on; it has become shorter if this is the end of a file.
    File(io::ErrorKind),
    /// A plugin failed to transform it.
    Transformed,
}

impl BodyError {
    fn how(&self) -> Break {
        match self {
            Self::Silent(timeout) => Break::Silent(*timeout),
            Self::File(error) => Break::File(error.kind()),
            Self::Transformed => Break::Transformed,
            Self::Broken(error) => Fault::of(error).map_or(Break::Closed, Break::Malformed),
            Self::Malformed(fault) => Break::MalformedStream(*fault),
            Self::Stream(error) => match error.reason() {
                Some(reason) if error.is_library() => Break::Protocol(reason),
                Some(reason) => Break::Reset(reason),
                None => Break::Closed,
            },
        }
    }
}

/// Watches one body: for byte counts, in-flight counts and the access log.
pub trait Observer {
    /// `bytes` more have been handed over.
    fn data(&mut self, bytes: usize);
    /// Waits until more may be handed over, and how much at a time.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<usize>;
    /// Whether it is to hear of a complete body only when the reader says so, who may not have passed all
    /// of it on.
    fn waits(&self) -> bool {
        false
    }
    /// The body is over. Called exactly once, nothing is called after it.
    fn ended(&mut self, how: Ended);
}

/// The body of a response to a client.
#[must_use]
pub struct Body {
    content: Content,
    observer: Option<Box<dyn Observer>>,
    /// How it ended early, until its reader is told.
    broken: Option<BodyError>,
}

enum Content {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody),
    File(FileBody),
    Made(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::of(Content::Empty)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let content = if bytes.is_empty() { Content::Empty } else { Content::Full(bytes) };
        Self::of(content)
    }

    /// What an upstream sends.
    pub fn upstream(body: UpstreamBody) -> Self {
        Self::of(Content::Upstream(body))
    }

    /// What is in a file.
    pub fn file(body: FileBody) -> Self {
        Self::of(Content::File(body))
    }

    /// What something makes of another body while it is read.
    pub fn made(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::of(Content::Made(Box::pin(body)))
    }

    /// The same body, watched. A body that is empty from the start ends when it is dropped.
    ///
    /// Nobody asks for the body of an answer to HEAD: it has to be [`Body::empty`], or the
    /// observer hears of an abandoned body.
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// All of it has gone on, to whom its observer [waits](Observer::waits) for.
    pub fn complete(&mut self) {
        if let Some(mut observer) = self.observer.take() {
            observer.ended(Ended::Complete);
        }
    }

    fn of(content: Content) -> Self {
        Self { content, observer: None, broken: None }
    }

    fn end(&mut self, how: Ended) {
        let waits = |observer: &mut Box<dyn Observer>| how != Ended::Complete || !observer.waits();
        if let Some(mut observer) = self.observer.take_if(waits) {
            observer.ended(how);
        }
    }

    fn poll_content(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Upstream(body) => Pin::new(body).poll_frame(context),
            Content::File(body) => Pin::new(body).poll_frame(context),
            Content::Made(body) => body.as_mut().poll_frame(context),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(observer) = &mut self.observer {
            let room = ready!(observer.poll_room(context));
            match &mut self.content {
                Content::Upstream(body) => body.limit(room),
                Content::File(body) => body.limit(room),
                Content::Empty | Content::Full(_) | Content::Made(_) => {}
            }
        }
        let frame = ready!(self.poll_content(context));
        match frame {
            None => {
                self.end(Ended::Complete);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                self.end(Ended::Broken(error.how()));
                // On an error what is not written yet goes, perhaps even the head. There is a turn to
                // write that.
                self.broken = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => {
                if let (Some(observer), Some(data)) = (&mut self.observer, frame.data_ref()) {
                    observer.data(data.len());
                }
                // Nobody asks any more once the end is in sight, or for anything after trailers.
                if frame.is_trailers() || self.is_end_stream() {
                    self.end(Ended::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(_) => false,
            Content::Upstream(body) => self.broken.is_none() && body.is_end_stream(),
            Content::File(body) => self.broken.is_none() && body.is_end_stream(),
            Content::Made(body) => self.broken.is_none() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Content::Upstream(body) => body.size_hint(),
            Content::File(body) => body.size_hint(),
            Content::Made(body) => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if http_body::Body::is_end_stream(self) {
            self.end(Ended::Complete);
        }
        // Unless it has ended by now.
        self.end(Ended::Abandoned);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match &self.content {
            Content::Empty => "Empty",
            Content::Full(_) => "Full",
            Content::Upstream(_) => "Upstream",
            Content::File(_) => "File",
            Content::Made(_) => "Made",
        };
        formatter.debug_tuple("Body").field(&content).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use http_body_util::BodyExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<String>>>);

    struct Waits(Log);

    impl Observer for Waits {
        fn data(&mut self, bytes: usize) {
            self.0.data(bytes);
        }
        fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<usize> {
            self.0.poll_room(context)
        }
        fn waits(&self) -> bool {
            true
        }
        fn ended(&mut self, how: Ended) {
            self.0.ended(how);
        }
    }

    impl Observer for Log {
        fn data(&mut self, bytes: usize) {
            self.0.borrow_mut().push(format!("data {bytes}"));
        }
        fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<usize> {
            Poll::Ready(usize::MAX)
        }
        fn ended(&mut self, how: Ended) {
            self.0.borrow_mut().push(format!("{how:?}"));
        }
    }

    #[tokio::test]
    async fn observers_hear_the_end_once() {
        let log = Log::default();
        let body = Body::full("hello").observed(Box::new(log.clone()));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        assert_eq!(*log.0.borrow(), ["data 5", "Complete"]);

        let log = Log::default();
        drop(Body::full("hello").observed(Box::new(log.clone())));
        assert_eq!(*log.0.borrow(), ["Abandoned"]);

        let log = Log::default();
        drop(Body::full("").observed(Box::new(log.clone())));
        assert_eq!(*log.0.borrow(), ["Complete"]);
    }

    #[tokio::test]
    async fn a_reader_may_say_when_a_body_is_complete() {
        for (says, end) in [(true, "Complete"), (false, "Abandoned")] {
            let log = Log::default();
            let mut body = Body::full("hello").observed(Box::new(Waits(log.clone())));
            assert!(body.frame().await.unwrap().is_ok() && body.frame().await.is_none());
            assert_eq!(*log.0.borrow(), ["data 5"]);
            if says {
                body.complete();
            }
            drop(body);
            assert_eq!(*log.0.borrow(), ["data 5", end]);
        }
    }
}
