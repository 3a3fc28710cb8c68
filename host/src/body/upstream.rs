//! The body of an upstream's response, and the connection that it comes through.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
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
/// No task drives it: the body does, whenever it is asked for data. Dropping it closes the
/// connection.
pub trait Transport {
    /// Drives the connection, then polls the body.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>>;

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
    Connection { incoming: Incoming, carrier: Carrier },
    /// A stream of HTTP/2.
    Channel(Box<dyn Channel>),
    /// Nowhere any more.
    Gone,
}

/// Who drives the connection.
enum Carrier {
    /// This body.
    Lent(Box<dyn Transport>),
    /// A task, which looks at the count of this to know whether the body is still read.
    Task { _reader: Rc<()> },
    /// Nobody: the body is over.
    Gone,
}

impl UpstreamBody {
    /// A body that drives its own connection.
    pub fn lent(incoming: Incoming, transport: Box<dyn Transport>, limits: DownloadLimits) -> Self {
        let ended = incoming.is_end_stream();
        let mut body = Self::connection(incoming, Carrier::Lent(transport), limits);
        if ended {
            body.release();
        }
        body
    }

    /// A body that comes through a stream.
    pub fn channel(channel: Box<dyn Channel>, limits: DownloadLimits) -> Self {
        Self { source: Source::Channel(channel), limits, silence: Deadline::default() }
    }

    fn connection(incoming: Incoming, carrier: Carrier, limits: DownloadLimits) -> Self {
        let source = Source::Connection { incoming, carrier };
        Self { source, limits, silence: Deadline::default() }
    }

    /// No body: what follows the head is of another protocol.
    pub fn switched(
        incoming: Incoming,
        transport: Box<dyn Transport>,
        limits: DownloadLimits,
    ) -> Self {
        Self::connection(incoming, Carrier::Lent(transport), limits)
    }

    /// The connection of a body that is [`switched`](Self::switched).
    pub fn switch(&mut self) -> Option<End> {
        let Source::Connection { carrier, .. } = &mut self.source else { return None };
        match std::mem::replace(carrier, Carrier::Gone) {
            Carrier::Lent(transport) => transport.switch(),
            Carrier::Task { .. } | Carrier::Gone => None,
        }
    }

    /// A body whose connection is driven by a task, for as long as it likes but at least while
    /// `reader` has other owners.
    pub fn detached(incoming: Incoming, reader: Rc<()>, limits: DownloadLimits) -> Self {
        Self::connection(incoming, Carrier::Task { _reader: reader }, limits)
    }

    /// So much may be read at a time from now on. Where a task drives the connection, what held when
    /// it began goes on.
    pub fn limit(&mut self, bytes: usize) {
        match &mut self.source {
            Source::Connection { carrier: Carrier::Lent(transport), .. } => transport.limit(bytes),
            Source::Channel(channel) => channel.limit(bytes),
            Source::Connection { .. } | Source::Gone => {}
        }
    }

    fn release(&mut self) {
        if let Source::Connection { carrier, .. } = &mut self.source
            && let Carrier::Lent(transport) = std::mem::replace(carrier, Carrier::Gone)
        {
            transport.release();
        }
    }

    fn poll_source(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (incoming, carrier) = match &mut self.source {
            Source::Connection { incoming, carrier } => (incoming, carrier),
            Source::Channel(channel) => return channel.poll_frame(context),
            Source::Gone => return Poll::Ready(None),
        };
        let polled = match carrier {
            Carrier::Lent(transport) => transport.poll_frame(context, incoming),
            Carrier::Task { .. } => Pin::new(incoming).poll_frame(context),
            Carrier::Gone => return Poll::Ready(None),
        };
        polled.map_err(BodyError::Broken)
    }

    /// It has failed: whatever it comes through is of no use any more.
    fn cut(&mut self) {
        match &mut self.source {
            Source::Connection { carrier, .. } => *carrier = Carrier::Gone,
            Source::Channel(_) | Source::Gone => self.source = Source::Gone,
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
            this.cut();
            return Poll::Ready(Some(Err(BodyError::Silent(this.limits.body_timeout))));
        };
        this.silence.clear();
        match polled {
            None => {
                this.release();
                Poll::Ready(None)
            }
            Some(Ok(mut frame)) => {
                // Nothing follows trailers, and hyper asks for nothing after them.
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
                this.cut();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Connection { incoming, .. } => incoming.is_end_stream(),
            Source::Channel(channel) => channel.is_over(),
            Source::Gone => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Connection { incoming, .. } => incoming.size_hint(),
            Source::Channel(channel) if channel.is_over() => SizeHint::with_exact(0),
            Source::Channel(channel) => {
                channel.left_bytes().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Source::Gone => SizeHint::default(),
        }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Connection { .. } => "Connection",
            Source::Channel(_) => "Channel",
            Source::Gone => "Gone",
        };
        formatter.debug_struct("UpstreamBody").field("source", &source).finish()
    }
}
