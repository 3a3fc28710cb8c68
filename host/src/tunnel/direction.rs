//! One direction of a tunnel.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::Pipe;
use super::{Ended, Side};
use crate::socket::Stream;

/// The most that is read at once, and that waits to be written in one direction.
const PIECE_BYTES: usize = 64 << 10;

/// Where so much comes at once, more may be to come: the kernel moves it.
const MUCH_BYTES: usize = 16 << 10;

/// After so much moved by the kernel it is the others' turn.
const TURN_BYTES: usize = 1 << 20;

/// From one stream to the other.
pub(super) struct Direction {
    from: Side,
    /// What was read and could not be written yet.
    waiting: Bytes,
    state: State,
    /// Nothing has been read yet.
    silent: bool,
    /// The sink may keep some of what was written.
    unflushed: bool,
    /// What the kernel moves bytes through, while it does.
    pipe: Option<Pipe>,
    /// The kernel does not move bytes between these two.
    copies: bool,
}

/// Whether the kernel does not move bytes between these two.
fn cannot(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended.
    Ending,
    /// The other side knows.
    Over,
}

thread_local! {
    /// What is read, as long as it takes to write it.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

impl Direction {
    /// Nothing has gone there yet, and this is what was read of the source before.
    pub(super) fn new(from: Side, waiting: Bytes) -> Self {
        let silent = waiting.is_empty();
        Self {
            from,
            waiting,
            state: State::Open,
            silent,
            unflushed: false,
            pipe: None,
            copies: false,
        }
    }

    /// Whether the source has sent nothing so far.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether the source has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state != State::Open
    }

    /// Whether the source has ended, and sent nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.silent && self.has_ended()
    }

    /// Passes on what there is, until the source has ended and the other side knows.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Stream,
        sink: &mut Stream,
        passed: &mut impl FnMut(Side, usize),
    ) -> Poll<Result<(), Ended>> {
        let mut moved = 0;
        loop {
            while !self.waiting.is_empty() {
                let polled = Pin::new(&mut *sink).poll_write(context, &self.waiting);
                let count = ready!(polled).map_err(|error| self.written(&error))?;
                passed(self.from, count);
                self.unflushed = !sink.is_plain();
                let _ = self.waiting.split_to(count.min(self.waiting.len()));
            }
            if self.unflushed {
                let polled = Pin::new(&mut *sink).poll_flush(context);
                ready!(polled).map_err(|error| self.written(&error))?;
                self.unflushed = false;
            }
            if self.pipe.is_some() {
                moved += ready!(self.poll_pipe(context, source, sink, passed))?;
                if moved >= TURN_BYTES {
                    // Others want their turn.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    let polled = Pin::new(&mut *sink).poll_shutdown(context);
                    ready!(polled).map_err(|error| self.written(&error))?;
                    self.state = State::Over;
                }
                State::Open => ready!(PIECE.with_borrow_mut(|piece| {
                    let mut buffer = ReadBuf::new(piece);
                    let polled = Pin::new(&mut *source).poll_read(context, &mut buffer);
                    ready!(polled).map_err(|error| Ended::Broken(self.from, error.kind()))?;
                    self.copies |= !source.is_plain() || !sink.is_plain();
                    Poll::Ready(self.write(context, buffer.filled(), sink, passed))
                }))?,
            }
        }
    }

    /// Has the kernel move what there is, once, until there is nothing left to move or the source has ended.
    /// Gives how much that was.
    fn poll_pipe(
        &mut self,
        context: &mut Context<'_>,
        source: &Stream,
        sink: &Stream,
        passed: &mut impl FnMut(Side, usize),
    ) -> Poll<Result<usize, Ended>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        if pipe.held() == 0 {
            match pipe.poll_fill(context, source) {
                Poll::Pending => {
                    self.pipe = None;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => {
                    (self.pipe, self.state) = (None, State::Ending);
                    return Poll::Ready(Ok(0));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if cannot(&error) => {
                    (self.pipe, self.copies) = (None, true);
                    return Poll::Ready(Ok(0));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Ended::Broken(self.from, error.kind())));
                }
            }
        }
        let drained = ready!(pipe.poll_drain(context, sink));
        let count = drained.map_err(|error| self.written(&error))?;
        passed(self.from, count);
        Poll::Ready(Ok(count))
    }

    /// Passes on what was just read, as much as goes at once.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        sink: &mut Stream,
        passed: &mut impl FnMut(Side, usize),
    ) -> Result<(), Ended> {
        if bytes.is_empty() {
            self.state = State::Ending;
            return Ok(());
        }
        self.silent = false;
        let count = match Pin::new(&mut *sink).poll_write(context, bytes) {
            Poll::Ready(result) => result.map_err(|error| self.written(&error))?,
            Poll::Pending => 0,
        };
        passed(self.from, count);
        self.unflushed = !sink.is_plain();
        self.waiting = Bytes::copy_from_slice(bytes.get(count..).unwrap_or_default());
        if bytes.len() >= MUCH_BYTES && !self.copies {
            self.pipe = Pipe::take();
        }
        Ok(())
    }

    /// What follows from an error of the sink.
    fn written(&self, error: &io::Error) -> Ended {
        let to = match self.from {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        };
        Ended::Broken(to, error.kind())
    }
}
