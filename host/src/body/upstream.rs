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

/// The body of an upstream's response.
#[must_use]
pub struct UpstreamBody {
    incoming: Incoming,
    carrier: Carrier,
    limits: DownloadLimits,
    silence: Deadline,
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
        let mut body = Self {
            incoming,
            carrier: Carrier::Lent(transport),
            limits,
            silence: Deadline::default(),
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// No body: what follows the head is of another protocol.
    pub fn switched(
        incoming: Incoming,
        transport: Box<dyn Transport>,
        limits: DownloadLimits,
    ) -> Self {
        Self { incoming, carrier: Carrier::Lent(transport), limits, silence: Deadline::default() }
    }

    /// The connection of a body that is [`switched`](Self::switched).
    pub fn switch(&mut self) -> Option<End> {
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Lent(transport) => transport.switch(),
            Carrier::Task { .. } | Carrier::Gone => None,
        }
    }

    /// A body whose connection is driven by a task, for as long as it likes but at least while
    /// `reader` has other owners.
    pub fn detached(incoming: Incoming, reader: Rc<()>, limits: DownloadLimits) -> Self {
        let carrier = Carrier::Task { _reader: reader };
        Self { incoming, carrier, limits, silence: Deadline::default() }
    }

    /// So much may be read at a time from now on. Where a task drives the connection, what held when
    /// it began goes on.
    pub fn limit(&mut self, bytes: usize) {
        if let Carrier::Lent(transport) = &mut self.carrier {
            transport.limit(bytes);
        }
    }

    fn release(&mut self) {
        if let Carrier::Lent(transport) = std::mem::replace(&mut self.carrier, Carrier::Gone) {
            transport.release();
        }
    }

    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.carrier {
            Carrier::Lent(transport) => transport.poll_frame(context, &mut self.incoming),
            Carrier::Task { .. } => Pin::new(&mut self.incoming).poll_frame(context),
            Carrier::Gone => Poll::Ready(None),
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
        let Poll::Ready(polled) = this.poll_incoming(context) else {
            // The clock runs only while we wait: a slow reader is not the upstream's silence.
            if !this.silence.is_set() {
                this.silence.set(this.limits.body_timeout);
            }
            ready!(this.silence.poll(context));
            this.carrier = Carrier::Gone;
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
                if last || this.incoming.is_end_stream() {
                    this.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.carrier = Carrier::Gone;
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UpstreamBody").field("incoming", &self.incoming).finish()
    }
}
