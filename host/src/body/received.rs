//! The body of a client's request as it comes in, by whichever version of HTTP.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

/// Why a client's body breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Its connection did, by HTTP/1.
    #[error("{0}")]
    Http1(#[source] io::Error),
    /// Its stream or connection did, by HTTP/2.
    #[error(transparent)]
    Http2(h2::Error),
}

/// What a client sends after the head of a request.
pub enum Received {
    /// By HTTP/1, off the connection.
    Http1(Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>),
    /// By HTTP/2.
    Http2(Inflow),
    /// Nothing.
    None,
}

/// What comes by a stream of HTTP/2.
///
/// The client may send on as soon as what it has sent is taken, and not before: whoever takes nothing
/// holds it back.
pub struct Inflow {
    stream: RecvStream,
    /// What is left of an announced length.
    left: Option<u64>,
    /// Nothing but trailers can follow.
    data_over: bool,
    /// Nothing follows.
    over: bool,
    /// Asks the client for it, if it waits for that.
    consent: Option<Box<dyn FnOnce()>>,
}

impl Inflow {
    /// A stream whose client has announced so much. `consent` is called when the body is first asked for.
    #[must_use]
    pub fn new(
        stream: RecvStream,
        length: Option<u64>,
        consent: Option<Box<dyn FnOnce()>>,
    ) -> Self {
        Self { stream, left: length, data_over: false, over: false, consent }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(consent) = self.consent.take() {
            consent();
        }
        while !self.data_over {
            match ready!(self.stream.poll_data(context)) {
                // Empty ones say nothing; how many of them come is limited elsewhere.
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    // A stream that is over has no window any more.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_over = true,
            }
        }
        if self.over {
            return Poll::Ready(None);
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        self.over = true;
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        match self.get_mut() {
            Self::Http1(incoming) => {
                let polled = incoming.as_mut().poll_frame(context);
                polled.map(|frame| frame.map(|frame| frame.map_err(Lost::Http1)))
            }
            Self::Http2(inflow) => {
                let polled = inflow.poll_frame(context);
                polled.map(|frame| frame.map(|frame| frame.map_err(Lost::Http2)))
            }
            Self::None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(inflow) => inflow.over || inflow.stream.is_end_stream(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(Inflow { left: Some(left), .. }) => SizeHint::with_exact(*left),
            Self::Http2(_) | Self::None if self.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2(_) | Self::None => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http1(_) => "Http1",
            Self::Http2(_) => "Http2",
            Self::None => "None",
        })
    }
}
