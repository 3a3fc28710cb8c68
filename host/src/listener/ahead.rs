//! How much is read ahead for a client.
//!
//! What a client does not take is kept as long as it takes nothing, here and in the buffer that it was
//! read into. So it is read in small pieces, and the next only when the last is written. A client that
//! takes what it gets gets more at a time: whatever is beyond what the kernel keeps for it
//! (`UNSENT_BYTES`) can only have been taken. In the end it is a piece of `MOST_BYTES` that waits to be
//! written. Where many streams share a connection they share a limit as well.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use crate::socket::Stream;

/// The most at a time for a client of which nothing is known.
pub const LEAST_BYTES: usize = (8 << 10) - 1;

/// The most at a time for any.
pub const MOST_BYTES: usize = 64 << 10;

/// What all streams of a connection may have given that is not written.
const SHARED_BYTES: usize = 256 << 10;

/// How much the kernel may keep of what it cannot send yet to a client of which nothing is known.
const UNSENT_BYTES: u32 = 16 << 10;

/// The same for others: enough not to fall dry until there is more.
const MOST_UNSENT_BYTES: u32 = 256 << 10;

/// What was given to be written, and how much that may be.
#[derive(Debug)]
pub struct Ahead {
    /// What it has not written.
    bytes: Cell<usize>,
    /// How much it may be given at a time.
    most: Cell<usize>,
    /// What may be there when the next is given, once a client has taken much.
    limit: usize,
    /// Who has more for it.
    held_up: RefCell<SmallVec<[Waker; 1]>>,
}

impl Ahead {
    /// For a new connection.
    #[must_use]
    pub fn new(stream: &Stream) -> Self {
        Self::limited(stream, usize::MAX)
    }

    /// For a new connection that many streams share.
    #[must_use]
    pub fn shared(stream: &Stream) -> Self {
        Self::limited(stream, SHARED_BYTES)
    }

    fn limited(stream: &Stream, limit: usize) -> Self {
        stream.limit_unsent(UNSENT_BYTES);
        let (bytes, most, held_up) = (Cell::default(), Cell::new(LEAST_BYTES), RefCell::default());
        Self { bytes, most, limit, held_up }
    }

    /// How much it may be given at a time.
    pub fn most(&self) -> usize {
        self.most.get()
    }

    /// It is given so many bytes.
    pub fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// All that it had is written: to a stream that has taken so many bytes since it was opened.
    pub fn clear(&self, stream: &Stream, written: u64) {
        let bytes = self.bytes.take();
        let most = self.most.get();
        if bytes > most / 2 && most < MOST_BYTES {
            let taken = written.saturating_sub(UNSENT_BYTES.into());
            let grown = usize::try_from(taken / 2).unwrap_or(MOST_BYTES).min(MOST_BYTES);
            self.most.set(most.max(grown));
            if grown == MOST_BYTES {
                stream.limit_unsent(MOST_UNSENT_BYTES);
            }
        }
        self.held_up.take().into_iter().for_each(Waker::wake);
    }

    /// The connection serves for something else from now on.
    pub fn release(&self, stream: &Stream) {
        stream.limit_unsent(MOST_UNSENT_BYTES);
    }

    /// Waits until it can be given more, and how much then.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<usize> {
        let most = self.most.get();
        // A piece that is small leaves room for another. Who has taken much costs fewer writes if there is
        // always more.
        if self.bytes.get() <= if most == MOST_BYTES { self.limit } else { most / 2 } {
            return Poll::Ready(most);
        }
        let mut held_up = self.held_up.borrow_mut();
        if !held_up.iter().any(|waker| waker.will_wake(context.waker())) {
            held_up.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use tokio::net::UnixStream;

    use super::*;

    struct Woken;

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {}
    }

    /// What it may be given, if any.
    fn room(ahead: &Ahead, woken: &Arc<Woken>) -> Option<usize> {
        let waker = Waker::from(Arc::clone(woken));
        match ahead.poll_room(&mut Context::from_waker(&waker)) {
            Poll::Ready(most) => Some(most),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn no_more_is_read_until_all_is_written() {
        let stream = Stream::Unix(UnixStream::pair().unwrap().0);
        let (ahead, woken) = (Ahead::new(&stream), Arc::new(Woken));
        assert_eq!(room(&ahead, &woken), Some(LEAST_BYTES));
        ahead.add(100);
        assert_eq!(room(&ahead, &woken), Some(LEAST_BYTES));
        assert_eq!(Arc::strong_count(&woken), 1);
        ahead.add(LEAST_BYTES / 2);
        assert_eq!(room(&ahead, &woken), None);
        assert_eq!(Arc::strong_count(&woken), 2);
        ahead.clear(&stream, 5_000);
        assert_eq!((room(&ahead, &woken), Arc::strong_count(&woken)), (Some(LEAST_BYTES), 1));
    }

    #[tokio::test]
    async fn who_takes_more_than_the_kernel_keeps_gets_more_at_a_time() {
        let stream = Stream::Unix(UnixStream::pair().unwrap().0);
        let ahead = Ahead::new(&stream);
        let after = |given: usize, written: u64| {
            ahead.add(given);
            ahead.clear(&stream, written);
            ahead.most()
        };
        assert_eq!(after(LEAST_BYTES, 30_000), LEAST_BYTES);
        assert_eq!(after(LEAST_BYTES, 56_384), 20_000);
        // However much a client has taken: who gets little at a time needs no more.
        assert_eq!(after(1_000, 1_000_000), 20_000);
        assert_eq!(after(20_000, 1_000_000), MOST_BYTES);
        assert_eq!(after(MOST_BYTES, 2_000_000), MOST_BYTES);
        ahead.add(2 * MOST_BYTES);
        assert_eq!(room(&ahead, &Arc::new(Woken)), Some(MOST_BYTES));
    }
}
