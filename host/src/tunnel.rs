//! Two streams joined: what comes from one goes to the other, until both have ended.
//!
//! Nothing is looked at. The end of one direction is passed on and the other goes on; a connection that
//! is reset resets the other, so that nobody takes what is cut off for whole. While nothing waits to be
//! written a tunnel holds no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::deadline::Deadline;
use crate::socket::Stream;

/// The most that is read at once, and that waits to be written in one direction.
const PIECE_BYTES: usize = 64 << 10;

/// One end of a tunnel.
#[derive(Debug)]
pub struct End {
    /// The stream.
    pub stream: Stream,
    /// What was read of it already.
    pub early: Bytes,
}

/// Whose end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
}

/// How a tunnel has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides were done.
    Complete,
    /// Nothing came from either side for so long.
    Silent,
    /// The connection of this side broke.
    Broken(Side, io::ErrorKind),
}

/// Joins two streams until they end. `passed` is told how many bytes of whom have gone on.
pub async fn join(
    mut downstream: End,
    mut upstream: End,
    silence: Duration,
    mut passed: impl FnMut(Side, usize),
) -> Ended {
    // Whatever else ends it is no end in order, and must not look like one.
    [&downstream.stream, &upstream.stream].iter().for_each(|stream| stream.resets(true));
    let mut up = Direction::new(Side::Downstream, std::mem::take(&mut downstream.early));
    let mut down = Direction::new(Side::Upstream, std::mem::take(&mut upstream.early));
    let (one, other) = (&mut downstream.stream, &mut upstream.stream);
    let mut deadline = Deadline::default();
    deadline.set(silence);
    let ended = poll_fn(|context| {
        let mut moved = false;
        let mut count = |side, bytes| {
            moved = true;
            passed(side, bytes);
        };
        let sent = up.poll(context, one, other, &mut count);
        let received = down.poll(context, other, one, &mut count);
        for polled in [&sent, &received] {
            if let Poll::Ready(Err(broken)) = polled {
                return Poll::Ready(*broken);
            }
        }
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready(Ended::Complete);
        }
        if moved {
            deadline.set(silence);
        }
        deadline.poll(context).map(|()| Ended::Silent)
    })
    .await;
    if ended == Ended::Complete {
        [&downstream.stream, &upstream.stream].iter().for_each(|stream| stream.resets(false));
    }
    ended
}

/// From one stream to the other.
struct Direction {
    from: Side,
    /// What was read and could not be written yet.
    waiting: Bytes,
    state: State,
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
    fn new(from: Side, waiting: Bytes) -> Self {
        Self { from, waiting, state: State::Open }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Stream,
        sink: &mut Stream,
        passed: &mut impl FnMut(Side, usize),
    ) -> Poll<Result<(), Ended>> {
        loop {
            while !self.waiting.is_empty() {
                let polled = Pin::new(&mut *sink).poll_write(context, &self.waiting);
                let count = ready!(polled).map_err(|error| self.written(&error))?;
                passed(self.from, count);
                let _ = self.waiting.split_to(count.min(self.waiting.len()));
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
                    Poll::Ready(self.write(context, buffer.filled(), sink, passed))
                }))?,
            }
        }
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
        let count = match Pin::new(sink).poll_write(context, bytes) {
            Poll::Ready(result) => result.map_err(|error| self.written(&error))?,
            Poll::Pending => 0,
        };
        passed(self.from, count);
        self.waiting = Bytes::copy_from_slice(bytes.get(count..).unwrap_or_default());
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

#[cfg(test)]
mod tests;
