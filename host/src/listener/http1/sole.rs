//! What else can be done with a connection that is being served.

use std::fmt;
use std::rc::Rc;

use http::Version;
use tokio::time::Duration;

use super::line::Line;
use crate::listener::ahead::Ahead;
use crate::listener::interim::Interim;
use crate::socket::Stream;
use crate::wire::{Fault, Limits};

/// A [`Connection`](super::Connection), as those see it who answer its requests. Clones share it.
#[derive(Clone)]
pub struct Sole(pub(super) Rc<Line>);

impl Sole {
    /// For what comes by a stream, after bytes that were read of it before. Writing fails once the client has
    /// taken nothing for `write_timeout`.
    #[must_use]
    pub fn new((stream, early): (Stream, &[u8]), limits: Limits, write_timeout: Duration) -> Self {
        Self(Line::new(stream, early, limits, write_timeout))
    }

    /// A request was handed over.
    ///
    /// # Errors
    ///
    /// Why the client's head was refused, in whose place one of ours was handed over.
    pub fn begin(&self) -> Result<(), Fault> {
        self.0.refused.get().map_or(Ok(()), Err)
    }

    /// The first line of a head that was refused, as much as there is of it, without its end. It is
    /// there once.
    pub fn refused_line(&self) -> Box<[u8]> {
        self.0.refused_line.take()
    }

    /// Whether the client has begun with a TLS handshake, which ends the connection.
    pub fn speaks_tls(&self) -> bool {
        self.0.speaks_tls.get()
    }

    /// A request is open from now on, until that is [taken back](Self::close_request).
    pub fn open_request(&self) {
        self.0.open.set(self.0.open.get() + 1);
    }

    /// One request less is open.
    pub fn close_request(&self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }

    /// Whether a request is open.
    pub fn has_request(&self) -> bool {
        self.0.open.get() > 0
    }

    /// Whether a part of a head has come, if no request is open.
    pub fn is_within_head(&self) -> bool {
        self.0.refused.get().is_none() && self.0.has_input()
    }

    /// The head that is on its way is refused. The connection is to be polled then.
    pub fn refuse(&self, fault: Fault) {
        self.0.refuse(fault);
    }

    /// The response that is about to be written is the last, which is not the client's wish.
    pub fn last(&self) {
        self.0.last.set(true);
    }

    /// Whether the response that is about to be written has no end but that of the connection. Then
    /// what breaks it off must not look like that.
    pub fn open_ended(&self, open_ended: bool) {
        self.0.open_ended.set(open_ended);
    }

    /// The protocol stays what it is, whatever the client has asked for in the request that is being
    /// answered.
    pub fn stay(&self) {
        self.0.stay();
    }

    /// How far it is read ahead for the client.
    pub fn ahead(&self) -> &Ahead {
        &self.0.ahead
    }

    /// Bytes that the client has sent.
    pub fn read_bytes(&self) -> u64 {
        self.0.read.bytes()
    }

    /// Bytes that were sent to the client.
    pub fn written_bytes(&self) -> u64 {
        self.0.written.bytes()
    }

    /// How long the client has taken nothing, if it was given up for that.
    pub fn stalled(&self) -> Option<Duration> {
        self.0.stalled.get()
    }

    /// Whether bytes for the client wait to be written.
    pub fn is_busy(&self) -> bool {
        self.0.busy.get()
    }

    /// For the interim responses to a request of this version: HTTP/1.0 knows none.
    pub fn interim(&self, version: Version) -> Interim {
        Interim::new(Rc::clone(&self.0.interim), version > Version::HTTP_10)
    }
}

impl fmt::Debug for Sole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sole")
            .field("read_bytes", &self.read_bytes())
            .field("written_bytes", &self.written_bytes())
            .finish()
    }
}
