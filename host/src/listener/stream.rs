//! The stream beneath a downstream connection.
//!
//! Judges what comes before hyper sees it, counts bytes, gives up on a client that takes nothing,
//! writes interim responses ([`interim`](super::interim)), and ends connections so that the client can
//! read the last answer.
//!
//! A head that is refused is replaced by one of ours, which hyper hands to the relay when the answers
//! to all requests before it are written; the relay asks for the verdict ([`Sole::begin`]). What is
//! wrong within a body is an error of that body.
//!
//! A connection that is closed while bytes of the client are unread is reset by the kernel, and the
//! client may never see what it was sent. So after the last answer whatever still comes is read and
//! thrown away: what is there already, or all that comes within some seconds if the client is known
//! not to be done.
//!
//! A client may end its side when it has sent its request, and still read the answer. hyper takes that
//! for the end of everything, so it does not hear of it while a request is open. But clients that are
//! gone look the same until something is sent to them; so they have a second between any two writes.
//!
//! hyper flushes the stream only when it has no bytes left to write. From the first attempt to
//! write until that flush the stream counts as busy: an interim response that comes then waits
//! for the flush, and is dropped if the final response comes first. Otherwise it goes out before
//! anything else that hyper writes. This holds unless hyper is told to flush pipelined responses
//! together (`pipeline_flush`).

mod handle;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Duration;

use super::ahead::Ahead;
use super::interim::Queue;
use super::secure::HANDSHAKE;
use crate::deadline::Deadline;
use crate::socket::{Stream, Tally};
use crate::wire::{Fault, Limits, Reading, Requests, Sluice, Source};
pub use handle::Sole;

/// What hyper reads in place of a head that is refused.
const REFUSED: &[u8] = b"- * HTTP/1.1\r\nconnection: close\r\n\r\n";

/// The most of a refused head that is told.
const LINE_BYTES: usize = 1 << 10;

/// How long a client that is not done may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(5);

/// How long a client that has ended its side is believed to be there without being written to.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// A downstream connection's stream, to be given to hyper.
pub struct Downstream {
    stream: Stream,
    shared: Rc<Shared>,
    write_timeout: Duration,
    stalled: Deadline,
    /// Set while what still comes is thrown away.
    linger: Deadline,
    /// Set once the client has ended its side within a request.
    half_closed: Deadline,
}

struct Shared {
    gate: RefCell<Requests>,
    sluice: RefCell<Sluice>,
    /// Requests that hyper has handed over.
    begun: Cell<u64>,
    /// Those of them that have not ended.
    open: Cell<usize>,
    /// Whoever has not been told that the client has ended its side.
    untold: RefCell<Option<Waker>>,
    /// Why a head was refused.
    refused: Cell<Option<Fault>>,
    /// What there is of the first line of that.
    refused_line: RefCell<Box<[u8]>>,
    /// The client has begun with a TLS handshake.
    speaks_tls: Cell<bool>,
    read: Tally,
    written: Tally,
    /// What is being answered is the last request, which the client may not know.
    last: Cell<bool>,
    /// A response has begun that ends where the connection does.
    open_ended: Cell<bool>,
    /// Set once the client has taken nothing for so long that it was given up.
    stalled: Cell<Option<Duration>>,
    interim: Rc<Queue>,
    ahead: Ahead,
}

impl Downstream {
    /// Wraps `stream`. Writing fails once the client has taken nothing for `write_timeout`.
    pub fn new(stream: Stream, limits: Limits, write_timeout: Duration) -> (Self, Sole) {
        let shared = Rc::new(Shared {
            gate: RefCell::new(Requests::new(limits)),
            sluice: RefCell::default(),
            begun: Cell::default(),
            open: Cell::default(),
            untold: RefCell::default(),
            refused: Cell::default(),
            refused_line: RefCell::default(),
            speaks_tls: Cell::default(),
            read: Tally::default(),
            written: Tally::default(),
            last: Cell::default(),
            open_ended: Cell::default(),
            stalled: Cell::default(),
            interim: Rc::default(),
            ahead: Ahead::new(&stream),
        });
        let handle = Sole(Rc::clone(&shared));
        let (stalled, linger, half_closed) = Default::default();
        (Self { stream, shared, write_timeout, stalled, linger, half_closed }, handle)
    }

    /// These bytes of the client were read before, and come first.
    pub fn resume(&self, early: &[u8]) {
        self.shared.read.add(early.len());
        self.shared.sluice.borrow_mut().put(early);
    }

    /// The stream, and what was read of it and not handed on.
    #[must_use]
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        self.shared.ahead.release(&self.stream);
        (self.stream, self.shared.sluice.take().into_kept())
    }

    /// Whether it was shut down.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.linger.is_set()
    }

    /// Writes what goes out before anything else.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = Rc::clone(&self.shared);
        if shared.open_ended.take() {
            // From now on every end is a reset, but for the one in order.
            self.stream.resets(true);
        }
        let mut next = shared.interim.next();
        while !next.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(context, &next);
            let written = ready!(self.watch(context, polled))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            next.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what still comes. A client that is not done, or may have sent more requests, is
    /// waited for.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 4096];
        while self.linger.poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Pending if self.shared.is_within() || self.shared.last.get() => {
                    return Poll::Pending;
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }

    /// Waits until it matters that the client has ended its side.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.shared.is_answering() {
            return Poll::Ready(());
        }
        // Whether it takes what is there has a time of its own.
        if !self.half_closed.is_set() || self.stalled.is_set() {
            self.half_closed.set(HALF_CLOSED);
        }
        let polled = self.half_closed.poll(context);
        if polled.is_pending() {
            self.shared.untold.replace(Some(context.waker().clone()));
        }
        polled
    }

    /// Counts what was written, and the time in which nothing was.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(result) => {
                self.stalled.clear();
                if self.half_closed.is_set() {
                    self.half_closed.set(HALF_CLOSED);
                }
                if let Ok(bytes) = &result {
                    self.shared.written.add(*bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.stalled.is_set() {
                    self.stalled.set(self.write_timeout);
                }
                ready!(self.stalled.poll(context));
                self.shared.stalled.set(Some(self.write_timeout));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, shared, .. } = &mut *self;
        let mut source =
            Source { stream, read: &mut |bytes| shared.read.add(bytes), interim: &mut |_| () };
        let (mut gate, mut sluice) = (shared.gate.borrow_mut(), shared.sluice.borrow_mut());
        let before = buffer.filled().len();
        loop {
            match sluice.read(&mut source, &mut *gate, context, buffer)? {
                Reading::Ready if buffer.filled().len() == before && sluice.ended() => break,
                Reading::Ready => return Poll::Ready(Ok(())),
                Reading::Pending => return Poll::Pending,
                // It has been told, and the connection ends when that is answered.
                Reading::Fault(_) if shared.refused.get().is_some() => return Poll::Pending,
                Reading::Fault(fault) if gate.is_within() => {
                    return Poll::Ready(Err(fault.into()));
                }
                Reading::Fault(fault) => {
                    shared.refuse(fault, &mut gate, &mut sluice);
                    if shared.speaks_tls.get() {
                        // An answer in HTTP would say nothing to it.
                        return Poll::Ready(Err(fault.into()));
                    }
                }
            }
        }
        drop((gate, sluice));
        self.poll_end(context).map(Ok)
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.interim.set_busy(true);
        ready!(self.poll_next(context))?;
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.interim.set_busy(true);
        ready!(self.poll_next(context))?;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.interim.release();
        ready!(self.poll_next(context))?;
        let polled = Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| 0);
        ready!(self.watch(context, polled))?;
        self.shared.interim.set_busy(false);
        self.shared.tell_end();
        self.shared.ahead.clear(&self.stream, self.shared.written.bytes());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.linger.is_set() {
            self.stream.resets(false);
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.linger.set(LINGER);
        }
        self.poll_rest(context).map(Ok)
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Downstream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether the client may have begun what it has not ended.
    fn is_within(&self) -> bool {
        !self.sluice.borrow().ended()
            && (self.refused.get().is_some() || self.gate.borrow().is_within())
    }

    /// Whether the client has sent a whole request and not got the whole answer.
    fn is_answering(&self) -> bool {
        let gate = self.gate.borrow();
        // hyper has those requests that are not begun, and nobody else knows of them.
        let open = self.open.get() > 0 || gate.begun() > self.begun.get();
        !gate.is_within() && (open || self.interim.is_busy())
    }

    /// Tells whoever has not been told that the client has ended its side, once it has all it may get.
    fn tell_end(&self) {
        if self.open.get() == 0
            && !self.interim.is_busy()
            && let Some(waker) = self.untold.take()
        {
            waker.wake();
        }
    }

    /// The next head that hyper gets is one of ours.
    fn refuse(&self, fault: Fault, gate: &mut Requests, sluice: &mut Sluice) {
        self.refused.set(Some(fault));
        gate.refuse(fault);
        let mut head = sluice.replace(REFUSED, fault);
        self.speaks_tls.set(gate.begun() == 0 && head.first() == Some(&HANDSHAKE));
        let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        head.truncate(end.unwrap_or(head.len()).min(LINE_BYTES));
        self.refused_line.replace(head.into());
    }
}

#[cfg(test)]
mod tests;
