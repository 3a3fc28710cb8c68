//! Two streams joined: what comes from one goes to the other, until both have ended.
//!
//! Nothing is looked at. The end of one direction is passed on and the other goes on; a connection that
//! is reset resets the other, so that nobody takes what is cut off for whole. While nothing waits to be
//! written a tunnel holds no buffer. Where much comes at once, the kernel moves it by itself.

mod direction;
mod pipe;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use self::direction::Direction;
use crate::deadline::Deadline;
use crate::socket::Stream;

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

/// What is expected of a tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The longest that nothing comes from either side.
    pub silence: Duration,
    /// How long the upstream's first byte may take, if there has to be one.
    pub first_byte: Option<Duration>,
    /// Whether the upstream must have sent something before it ends, unless the client has ended before.
    pub must_answer: bool,
}

/// How a tunnel has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides were done.
    Complete,
    /// Nothing came from either side for so long.
    Silent,
    /// The upstream's first byte did not come in time.
    Late {
        /// Whether the client had ended its side by then.
        client_ended: bool,
    },
    /// The upstream ended, and had sent nothing.
    Empty,
    /// The connection of this side broke.
    Broken(Side, io::ErrorKind),
}

/// Joins two streams until they end, and closes them. `passed` is told how many bytes of whom have gone on.
pub async fn join(
    mut downstream: End,
    mut upstream: End,
    silence: Duration,
    passed: impl FnMut(Side, usize),
) -> Ended {
    let terms = Terms { silence, first_byte: None, must_answer: false };
    relay(&mut downstream, &mut upstream, &terms, passed).await
}

/// The same on some terms. What is then closed is reset, unless both sides were done: for their peers it
/// would be an end in order.
pub async fn relay(
    downstream: &mut End,
    upstream: &mut End,
    terms: &Terms,
    mut passed: impl FnMut(Side, usize),
) -> Ended {
    // Whatever else ends it is no end in order, and must not look like one.
    [&downstream.stream, &upstream.stream].iter().for_each(|stream| stream.resets(true));
    let mut up = Direction::new(Side::Downstream, mem::take(&mut downstream.early));
    let mut down = Direction::new(Side::Upstream, mem::take(&mut upstream.early));
    let (one, other) = (&mut downstream.stream, &mut upstream.stream);
    let (mut deadline, mut first) = (Deadline::default(), Deadline::default());
    deadline.set(terms.silence);
    if let Some(time) = terms.first_byte {
        first.set(time);
    }
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
        if terms.must_answer && down.is_empty() && !up.has_ended() {
            return Poll::Ready(Ended::Empty);
        }
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready(Ended::Complete);
        }
        if !down.is_silent() {
            first.clear();
        }
        if moved {
            deadline.set(terms.silence);
        }
        if first.poll(context).is_ready() {
            return Poll::Ready(Ended::Late { client_ended: up.has_ended() });
        }
        deadline.poll(context).map(|()| Ended::Silent)
    })
    .await;
    if ended == Ended::Complete {
        [&downstream.stream, &upstream.stream].iter().for_each(|stream| stream.resets(false));
    }
    ended
}

#[cfg(test)]
mod tests;
