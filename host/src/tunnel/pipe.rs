//! Pipes, through which the kernel moves bytes from one socket to another without showing them to us.
//!
//! A pipe is held only while there is something to move. Each thread has so many at most, and keeps few of
//! those that are not in use.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use crate::socket::Stream;

/// The most that a pipe holds, where the system lets it hold as much.
const PIPE_BYTES: usize = 256 << 10;

/// The most pipes that a thread has, and the most that it keeps unused.
const MOST: usize = 64;
/// See [`MOST`].
const KEPT: usize = 8;

thread_local! {
    static UNUSED: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static ALL: Cell<usize> = const { Cell::new(0) };
}

/// Both ends of a pipe.
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Drop for Ends {
    fn drop(&mut self) {
        // A thread that ends has none to count.
        let _ = ALL.try_with(|all| all.set(all.get().saturating_sub(1)));
    }
}

/// A pipe in use, and how much is in it.
pub(super) struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// One that is empty; none if there are too many, or the system gives none.
    pub(super) fn take() -> Option<Self> {
        let ends = UNUSED.with_borrow_mut(Vec::pop).or_else(open)?;
        Some(Self { ends: Some(ends), held: 0 })
    }

    /// How much is in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Fills it, which is empty, with what a stream has; nothing at that one's end.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        source: &Stream,
    ) -> Poll<io::Result<usize>> {
        let Some(Ends { write, .. }) = &self.ends else { return Poll::Ready(Ok(0)) };
        let filled = ready!(poll_io(context, source, Interest::READABLE, || {
            moved(source, write, PIPE_BYTES)
        }));
        if let Ok(count) = filled {
            self.held += count;
        }
        Poll::Ready(filled)
    }

    /// Writes what is in it to a stream, as much as goes.
    pub(super) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        sink: &Stream,
    ) -> Poll<io::Result<usize>> {
        let (Some(Ends { read, .. }), held) = (&self.ends, self.held) else {
            return Poll::Ready(Ok(0));
        };
        let drained =
            ready!(poll_io(context, sink, Interest::WRITABLE, || moved(read, sink, held)));
        match drained {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                self.held = self.held.saturating_sub(count);
                Poll::Ready(Ok(count))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // What is in it is nobody else's.
        let Some(ends) = self.ends.take().filter(|_| self.held == 0) else { return };
        let _ = UNUSED.try_with(|unused| {
            let mut unused = unused.borrow_mut();
            if unused.len() < KEPT {
                unused.push(ends);
            }
        });
    }
}

fn open() -> Option<Ends> {
    if ALL.get() >= MOST {
        return None;
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    // Who may not have as much has less.
    let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
    ALL.set(ALL.get() + 1);
    Some(Ends { read, write })
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

/// Tries something as soon as a stream may be ready for it, until it was.
fn poll_io<T>(
    context: &mut Context<'_>,
    stream: &Stream,
    interest: Interest,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(stream.poll_ready(context, interest))?;
        match stream.try_io(interest, &mut attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
