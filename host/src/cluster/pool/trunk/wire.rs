//! The stream beneath an HTTP/2 connection: counts what is read, ends floods, and keeps from h2 that the upstream takes
//! nothing any more.
//!
//! An upstream may answer and close without having taken all that it is sent. Writing then fails, but the
//! answer is there to be read; h2 would give it up. So what cannot be written counts as written, and what can
//! still be read, or its end, decides.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Life;
use crate::socket::Stream;

/// The stream of a connection, for h2.
pub(super) struct Wire {
    stream: Stream,
    life: Rc<Life>,
    /// The upstream takes nothing any more.
    deaf: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream, life: &Rc<Life>) -> Self {
        Self { stream, life: Rc::clone(life), deaf: false }
    }

    fn written(
        &mut self,
        polled: Poll<io::Result<usize>>,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(error)) if closed(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Ok(written)) => {
                if written > 0 {
                    self.life.flood.borrow_mut().wrote();
                }
                Poll::Ready(Ok(written))
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
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.life.read.add(read.len());
        self.life.flood.borrow_mut().read(read).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(bytes));
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(polled, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| 0);
        self.written(polled, 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
