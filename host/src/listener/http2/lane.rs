//! A stream of HTTP/2: one request and its answer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Duration;

use super::Line;
use crate::listener::ahead::LEAST_BYTES;
use crate::wire::Fault;

/// The most bytes of interim responses to one request.
const INTERIM_BYTES: usize = 64 << 10;

/// A stream that has brought a request.
pub struct Lane {
    line: Rc<Line>,
    respond: RefCell<SendResponse<Bytes>>,
    /// Why its head is refused.
    fault: Option<Fault>,
    /// It asks for a tunnel.
    tunnel: bool,
    /// What the client has room for.
    room: Cell<usize>,
    interim_bytes: Cell<usize>,
    stalled: Cell<Option<Duration>>,
}

impl Lane {
    /// A stream of a connection, and what is wrong with the head that it has brought. `tunnel`: it asks
    /// for another protocol, so that no other answer will do.
    #[must_use]
    pub fn new(
        line: Rc<Line>,
        respond: SendResponse<Bytes>,
        fault: Option<Fault>,
        tunnel: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            line,
            respond: RefCell::new(respond),
            fault,
            tunnel,
            room: Cell::default(),
            interim_bytes: Cell::default(),
            stalled: Cell::default(),
        })
    }

    /// Its connection.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Why its head is refused.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether its request asks for a tunnel.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Ready when the client has taken its request back, or its connection has ended. To be asked until
    /// there is a response.
    pub fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(context).map(|_how| ())
    }

    /// Tells the client that its body is wanted.
    pub fn consent(&self) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::CONTINUE;
        // A stream that is over wants nothing any more.
        let _ = self.respond.borrow_mut().send_informational(response);
    }

    /// Sends an interim response, unless there were too many.
    pub(in crate::listener) fn interim(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + 32
        };
        let bytes = self.interim_bytes.get() + headers.iter().map(field).sum::<usize>() + 32;
        if bytes > INTERIM_BYTES {
            return false;
        }
        self.interim_bytes.set(bytes);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers.clone();
        self.respond.borrow_mut().send_informational(response).is_ok()
    }

    /// Sends the head of the response, and whether that is all of it.
    ///
    /// # Errors
    ///
    /// If the stream is over.
    pub fn respond(
        &self,
        response: Response<()>,
        whole: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        self.respond.borrow_mut().send_response(response, whole)
    }

    /// Ends it as nothing that has an end.
    pub fn reset(&self, reason: Reason) {
        self.respond.borrow_mut().send_reset(reason);
    }

    /// The client has room for so much.
    pub fn has_room(&self, bytes: usize) {
        self.room.set(bytes);
    }

    /// Waits until more of a response can be read, and how much then: what the client has room for, but
    /// not so little that reading would cost more than it gives.
    pub(in crate::listener) fn poll_room(&self, context: &mut Context<'_>) -> Poll<usize> {
        let room = self.line.ahead().poll_room(context);
        room.map(|most| most.min(self.room.get().max(LEAST_BYTES)))
    }

    /// The client has taken nothing for so long that it was given up.
    pub fn stall(&self, time: Duration) {
        self.stalled.set(Some(time));
    }

    /// How long the client has taken nothing, if it was given up for that.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        self.stalled.get().or_else(|| self.line.stalled())
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lane").field("line", &self.line).finish_non_exhaustive()
    }
}
