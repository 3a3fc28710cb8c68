//! The body of an upstream's response, and the connection that it comes through.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Duration;

use super::{BodyError, TrailerFilter};
use crate::deadline::Deadline;
use crate::tunnel::End;

/// What bounds and filters a response body.
#[derive(Debug, Clone, Copy)]
pub struct DownloadLimits {
    /// The longest silence of the upstream within the body, while we wait for it.
    pub body_timeout: Duration,
    /// What trailers lose.
    pub filter_trailers: TrailerFilter,
    /// How much is read at a time, until the body is told otherwise.
    pub read_bytes: usize,
}

/// The connection that a body comes through, as far as the body is concerned.
///
/// The body drives it, whenever it is asked for data. Dropping it closes the connection.
pub trait Transport {
    /// Drives the connection; what comes next of the body.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether nothing of the body comes any more.
    fn is_over(&self) -> bool;

    /// How many bytes of it are still to come, if that was known from the start.
    fn left_bytes(&self) -> Option<u64>;

    /// Reads so much at a time from now on.
    fn limit(&mut self, bytes: usize);

    /// The body came to its end: the connection may serve the next request.
    fn release(self: Box<Self>);

    /// The connection itself, if another protocol goes on from here.
    fn switch(self: Box<Self>) -> Option<End>;
}

/// A body that comes through a stream of its own, over a connection that others share.
///
/// Dropping it before its end resets the stream.
pub trait Channel {
    /// What comes next.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether nothing comes any more.
    fn is_over(&self) -> bool;

    /// How many bytes are still to come, if that is known.
    fn left_bytes(&self) -> Option<u64>;

    /// Hands on so much at a time from now on.
    fn limit(&mut self, bytes: usize);

    /// Nothing has come for too long, and it is about to be dropped.
    fn give_up(&mut self);
}

/// The body of an upstream's response.
#[must_use]
pub struct UpstreamBody {
    source: Source,
    limits: DownloadLimits,
    silence: Deadline,
}

/// Where it comes from.
enum Source {
    /// A connection of HTTP/1.
    Connection(Box<dyn Transport>),
    /// A stream of HTTP/2.
    Channel(Box<dyn Channel>),
    /// It is here: it came with the head.
    Whole {
        data: Bytes,
        /// Whether its length was known from the start.
        sized: bool,
    },
    /// It is over.
    Over,
    /// It has failed.
    Gone,
}

impl UpstreamBody {
    /// A body that comes through a connection of its own, or another protocol that follows the head.
    pub fn connection(transport: Box<dyn Transport>, limits: DownloadLimits) -> Self {
        Self::of(Source::Connection(transport), limits)
    }

    /// A body that comes through a stream.
    pub fn channel(channel: Box<dyn Channel>, limits: DownloadLimits) -> Self {
        Self::of(Source::Channel(channel), limits)
    }

    /// A body that has come, and tells its length unless it did not say so at first.
    pub fn whole(data: Bytes, sized: bool, limits: DownloadLimits) -> Self {
        let none = sized && data.is_empty();
        Self::of(if none { Source::Over } else { Source::Whole { data, sized } }, limits)
    }

    fn of(source: Source, limits: DownloadLimits) -> Self {
        Self { source, limits, silence: Deadline::default() }
    }

    /// The connection, if another protocol goes on from here.
    pub fn switch(&mut self) -> Option<End> {
        match mem::replace(&mut self.source, Source::Over) {
            Source::Connection(transport) => transport.switch(),
            Source::Channel(_) | Source::Whole { .. } | Source::Over | Source::Gone => None,
        }
    }

    /// So much may be read at a time from now on.
    pub fn limit(&mut self, bytes: usize) {
        match &mut self.source {
            Source::Connection(transport) => transport.limit(bytes),
            Source::Channel(channel) => channel.limit(bytes),
            Source::Whole { .. } | Source::Over | Source::Gone => {}
        }
    }

    /// Nothing of it comes any more: a connection of its own may serve others.
    fn release(&mut self) {
        if let Source::Connection(_) = &self.source
            && let Source::Connection(transport) = mem::replace(&mut self.source, Source::Over)
        {
            transport.release();
        }
    }

    fn poll_source(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Connection(transport) => transport.poll_frame(context),
            Source::Channel(channel) => channel.poll_frame(context),
            Source::Whole { data, .. } => {
                let data = mem::take(data);
                self.source = Source::Over;
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
            Source::Over | Source::Gone => Poll::Ready(None),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Poll::Ready(polled) = this.poll_source(context) else {
            // The clock runs only while we wait: a slow reader is not the upstream's silence.
            if !this.silence.is_set() {
                this.silence.set(this.limits.body_timeout);
            }
            ready!(this.silence.poll(context));
            if let Source::Channel(channel) = &mut this.source {
                channel.give_up();
            }
            this.source = Source::Gone;
            return Poll::Ready(Some(Err(BodyError::Silent(this.limits.body_timeout))));
        };
        this.silence.clear();
        match polled {
            None => {
                this.release();
                Poll::Ready(None)
            }
            Some(Ok(mut frame)) => {
                // Nothing follows trailers, and nobody asks for anything after them.
                let last = frame.is_trailers();
                if let Some(trailers) = frame.trailers_mut() {
                    (this.limits.filter_trailers)(trailers);
                }
                if last || Body::is_end_stream(this) {
                    this.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // Whatever it came through is of no use any more.
                this.source = Source::Gone;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Connection(transport) => transport.is_over(),
            Source::Channel(channel) => channel.is_over(),
            Source::Over => true,
            Source::Whole { .. } | Source::Gone => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.source {
            Source::Connection(transport) => transport.left_bytes(),
            Source::Channel(channel) if channel.is_over() => Some(0),
            Source::Channel(channel) => channel.left_bytes(),
            Source::Whole { data, sized } => u64::try_from(data.len()).ok().filter(|_bytes| *sized),
            Source::Over => Some(0),
            Source::Gone => None,
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Connection(_) => "Connection",
            Source::Channel(_) => "Channel",
            Source::Whole { .. } => "Whole",
            Source::Over => "Over",
            Source::Gone => "Gone",
        };
        formatter.debug_struct("UpstreamBody").field("source", &source).finish()
    }
}
