//! A connection that is held for one request, and the sending of that.

use std::fmt;

use http::{HeaderMap, Response, StatusCode};

use super::link::Link;
use super::trunk::Lease;
use super::{Outgoing, SendError, SendLimits};
use crate::body::UpstreamBody;

/// The right to send one request over a connection. Dropped unused, it closes the connection, unless others
/// share that.
#[must_use]
pub struct Slot(pub(super) Line);

pub(super) enum Line {
    /// A connection.
    Link { link: Box<Link>, reused: bool },
    /// A stream of one.
    Stream(Box<Lease>),
}

impl Slot {
    /// Whether the connection has served a request before, so that the upstream may just have
    /// closed it.
    pub fn reused(&self) -> bool {
        match &self.0 {
            Line::Link { reused, .. } => *reused,
            Line::Stream(lease) => lease.reused,
        }
    }

    /// The version of HTTP that is spoken over it.
    pub fn version(&self) -> http::Version {
        match &self.0 {
            Line::Link { .. } => http::Version::HTTP_11,
            Line::Stream(_) => http::Version::HTTP_2,
        }
    }

    /// Sends `request` and waits for the head of its response. `interim` gets the informational
    /// responses before it, all but 100 and 101; a 100 releases a [held](crate::body::Upload::hold)
    /// request body.
    ///
    /// The request is written as it is, whatever its version says: its target has the form that the
    /// upstream is to get. HTTP/2 gets it in its own form. Dropping the future closes the
    /// connection, or resets the stream.
    // Not an `async fn`, whose future would keep the room of the request.
    pub fn send<'s>(
        self,
        request: impl Into<Outgoing<'s>>,
        limits: &'s SendLimits,
        interim: impl FnMut(StatusCode, HeaderMap) + 's,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, SendError>> + 's {
        let (request, download) = (request.into(), limits.download);
        let begun = match self.0 {
            Line::Link { mut link, reused } => {
                let begun = link.begin(request, limits.response_timeout, download.read_bytes);
                Ok((link, reused, begun, interim))
            }
            // By itself: HTTP/1 would pay for the room.
            Line::Stream(lease) => {
                let reused = lease.reused;
                Err((reused, Box::pin(lease.send(request.into_request(), limits, interim))))
            }
        };
        async move {
            let (mut link, reused, begun, interim) = match begun {
                Ok(begun) => begun,
                Err((reused, sent)) => {
                    return sent.await.map_err(|(failure, answered)| {
                        SendError::of_stream(failure, reused, answered)
                    });
                }
            };
            let before = link.read_bytes();
            match link.exchange(begun, interim).await {
                Ok(head) => Ok(Response::from_parts(head, link.into_body(download))),
                Err(failure) => {
                    let answered = link.read_bytes().wrapping_sub(before);
                    Err(SendError::new(failure, reused, answered))
                }
            }
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").field("reused", &self.reused()).finish_non_exhaustive()
    }
}
