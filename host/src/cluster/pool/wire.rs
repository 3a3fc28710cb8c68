//! The stream beneath an upstream connection: counts bytes, reads informational responses along,
//! and passes everything on.
//!
//! An upstream may answer and close without having taken the whole request. Writing then fails, but
//! the answer is there to be read; hyper would give it up. So such a failure is kept from hyper:
//! writing waits for ever, and what can still be read, or its end, decides.
//!
//! This is where responses will be judged byte by byte before hyper sees them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::interim::Interims;
use crate::socket::{Stream, Tally};

/// What went through a connection.
#[derive(Debug, Default)]
pub(super) struct Meter {
    read: Tally,
    written: Tally,
    pub(super) interims: Interims,
}

impl Meter {
    /// Bytes from the upstream.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read.bytes()
    }

    /// Bytes in both directions.
    pub(super) fn total_bytes(&self) -> u64 {
        self.read.bytes().wrapping_add(self.written.bytes())
    }
}

/// A stream that keeps a [`Meter`].
pub(super) struct Wire {
    stream: Stream,
    meter: Rc<Meter>,
    /// The upstream takes nothing any more.
    deaf: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> (Self, Rc<Meter>) {
        let meter = Rc::<Meter>::default();
        (Self { stream, meter: Rc::clone(&meter), deaf: false }, meter)
    }

    /// Counts what was written, and keeps from hyper that nothing more can be.
    fn watch(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(error)) if closed(&error) => {
                self.deaf = true;
                Poll::Pending
            }
            Poll::Ready(Ok(bytes)) => {
                self.meter.written.add(bytes);
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

fn closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        self.meter.read.add(bytes.len());
        self.meter.interims.read(bytes);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
