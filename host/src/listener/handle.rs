//! What the relay does with the stream that a request has come by, whichever version of HTTP it speaks.
//!
//! With HTTP/1 that is the whole connection, which requests follow each other on. With
//! HTTP/2 each request has a stream to itself, and most of what matters to HTTP/1 is nothing to it.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Version;
use tokio::time::Duration;

use super::http1::Sole;
use super::http2::Lane;
use super::interim::Interim;
use crate::wire::Fault;

/// A stream by which requests come. Clones share it.
#[derive(Debug, Clone)]
pub enum Handle {
    /// A connection of HTTP/1.
    Http1(Sole),
    /// A stream of HTTP/2, for one request.
    Http2(Rc<Lane>),
}

impl Handle {
    /// A request was handed over: to be told once for each.
    ///
    /// # Errors
    ///
    /// Why its head is refused.
    pub fn begin(&self) -> Result<(), Fault> {
        match self {
            Self::Http1(sole) => sole.begin(),
            Self::Http2(lane) => lane.fault().map_or(Ok(()), Err),
        }
    }

    /// The first line of a head that was refused, if it was not understood and another was read in its
    /// place.
    pub fn refused_line(&self) -> Option<Box<[u8]>> {
        match self {
            Self::Http1(sole) => Some(sole.refused_line()),
            Self::Http2(_) => None,
        }
    }

    /// A request is open from now on, until that is [taken back](Self::close_request).
    pub fn open_request(&self) {
        match self {
            Self::Http1(sole) => sole.open_request(),
            Self::Http2(lane) => lane.line().open_request(),
        }
    }

    /// One request less is open.
    pub fn close_request(&self) {
        match self {
            Self::Http1(sole) => sole.close_request(),
            Self::Http2(lane) => lane.line().close_request(),
        }
    }

    /// The response that is about to be written is the last, which is not the client's wish. Streams of
    /// HTTP/2 have one anyway.
    pub fn last(&self) {
        if let Self::Http1(sole) = self {
            sole.last();
        }
    }

    /// Whether the response that is about to be written has no end but that of the connection.
    pub fn open_ended(&self, open_ended: bool) {
        if let Self::Http1(sole) = self {
            sole.open_ended(open_ended);
        }
    }

    /// The protocol stays what it is, whatever the client has asked for.
    pub fn stay(&self) {
        if let Self::Http1(sole) = self {
            sole.stay();
        }
    }

    /// Whether the requests of a connection follow each other on it.
    pub fn is_sole(&self) -> bool {
        matches!(self, Self::Http1(_))
    }

    /// Whether its request asks for a tunnel and nothing else.
    pub fn is_tunnel(&self) -> bool {
        matches!(self, Self::Http2(lane) if lane.is_tunnel())
    }

    /// How much of a response may be given at a time.
    pub fn most(&self) -> usize {
        match self {
            Self::Http1(sole) => sole.ahead().most(),
            Self::Http2(lane) => lane.line().ahead().most(),
        }
    }

    /// So many bytes of a response are on their way.
    pub fn given(&self, bytes: usize) {
        match self {
            Self::Http1(sole) => sole.ahead().add(bytes),
            // It is counted when the window has room for it.
            Self::Http2(_) => {}
        }
    }

    /// Waits until more of a response can be given, and how much then.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<usize> {
        match self {
            Self::Http1(sole) => sole.ahead().poll_room(context),
            Self::Http2(lane) => lane.poll_room(context),
        }
    }

    /// How long the client has taken nothing, if it was given up for that.
    pub fn stalled(&self) -> Option<Duration> {
        match self {
            Self::Http1(sole) => sole.stalled(),
            Self::Http2(lane) => lane.stalled(),
        }
    }

    /// For the interim responses to a request of this version: HTTP/1.0 knows none.
    pub fn interim(&self, version: Version) -> Interim {
        match self {
            Self::Http1(sole) => sole.interim(version),
            Self::Http2(lane) => Interim::own(Rc::clone(lane)),
        }
    }
}
