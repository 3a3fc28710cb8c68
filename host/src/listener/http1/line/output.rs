//! What goes out by the stream, and how it ends.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Duration;

use super::super::super::secure::HANDSHAKE;
use super::{HALF_CLOSED, Line};
use crate::socket::Stream;
use crate::wire::Fault;

/// The most of a refused head that is told.
const LINE_BYTES: usize = 1 << 10;

/// How long a client that is not done may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(5);

impl Line {
    /// An answer is about to be written, which nothing comes before any more.
    pub(in super::super) fn begin_answer(&self) {
        self.busy.set(true);
        self.waits.set(false);
        if self.open_ended.take() {
            // From now on every end is a reset, but for the one in order.
            self.resets(true);
        }
    }

    fn resets(&self, resets: bool) {
        if self.resets.replace(resets) != resets
            && let Some(stream) = &*self.stream.borrow()
        {
            stream.resets(resets);
        }
    }

    /// Writes what goes out between answers.
    pub(in super::super) fn poll_interim(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.next().is_empty() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut next = self.interim.next();
            if next.is_empty() {
                break;
            }
            let written = ready!(self.poll_write(context, &[IoSlice::new(&next)]))?;
            next.drain(..written);
        }
        self.poll_flush(context)
    }

    /// Writes some of these, which are not nothing. So much is at least a byte.
    pub(in super::super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match (&mut *self.stream.borrow_mut(), slices) {
            (Some(stream), [only]) => Pin::new(stream).poll_write(context, only),
            (Some(stream), slices) => Pin::new(stream).poll_write_vectored(context, slices),
            (None, _) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match self.watch(context, polled) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            watched => watched,
        }
    }

    /// Hands on what the stream keeps of what was written.
    pub(in super::super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut *self.stream.borrow_mut() {
            // Others keep nothing.
            Some(Stream::Tls(stream)) => Pin::new(&mut **stream).poll_flush(context),
            _ => return Poll::Ready(Ok(())),
        };
        self.watch(context, polled.map_ok(|()| 0)).map_ok(|_| ())
    }

    /// All that there was to be written is.
    pub(in super::super) fn flushed(&self) {
        if let Some(stream) = &*self.stream.borrow() {
            self.ahead.clear(stream, self.written.bytes());
        }
    }

    /// Counts what was written, and the time in which nothing was.
    fn watch(
        &self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut clocks = self.clocks.borrow_mut();
        match polled {
            Poll::Ready(result) => {
                clocks.stalled.clear();
                if clocks.half_closed.is_set() {
                    clocks.half_closed.set(HALF_CLOSED);
                }
                if let Ok(bytes) = &result {
                    self.written.add(*bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !clocks.stalled.is_set() {
                    clocks.stalled.set(self.write_timeout);
                }
                ready!(clocks.stalled.poll(context));
                self.stalled.set(Some(self.write_timeout));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// The head that is on its way is refused. Nothing is read any more.
    pub(in super::super) fn refuse(&self, fault: Fault) {
        self.refused.set(Some(fault));
        let mut gate = self.gate.borrow_mut();
        let mut input = self.input.borrow_mut();
        gate.refuse(fault);
        let head = mem::replace(&mut input.bytes, BytesMut::new());
        self.speaks_tls.set(gate.begun() == 0 && head.first() == Some(&HANDSHAKE));
        let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = end.unwrap_or(head.len()).min(LINE_BYTES);
        self.refused_line.replace(head.get(..end).unwrap_or_default().into());
    }

    /// Whether the client may have begun what it has not ended.
    fn is_within(&self) -> bool {
        let input = self.input.borrow();
        !input.ended && (self.refused.get().is_some() || !input.content.is_over())
    }

    /// Ends the connection, and throws away what still comes. A client that is not done, or may have sent
    /// more requests, is waited for.
    pub(in super::super) fn poll_close(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.clocks.borrow().linger.is_set() {
            self.resets(false);
            if let Some(stream) = &mut *self.stream.borrow_mut() {
                ready!(Pin::new(stream).poll_shutdown(context))?;
            }
            self.clocks.borrow_mut().linger.set(LINGER);
        }
        let within = self.is_within() || self.last.get();
        let mut waste = [0; 4096];
        while self.clocks.borrow_mut().linger.poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            let Some(stream) = &mut *self.stream.borrow_mut() else { break };
            match Pin::new(stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Pending if within => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The stream, and what was read of it and has not had its turn, for something else.
    pub(in super::super) fn release(&self) -> Option<(Stream, Bytes)> {
        let (stream, bytes) = self.take()?;
        self.ahead.release(&stream);
        Some((stream, bytes))
    }

    /// The stream, and what was read of it and has not had its turn.
    pub(in super::super) fn take(&self) -> Option<(Stream, Bytes)> {
        let stream = self.stream.take()?;
        Some((stream, mem::take(&mut self.input.borrow_mut().bytes).freeze()))
    }
}
