//! A downstream connection of HTTP/2, and the streams of it.
//!
//! The library that speaks HTTP/2 reads and writes a [`Below`]. What it reads passes [`Frames`], which
//! knows where a head has begun and not ended, and what frames do nothing; those are counted, and so are
//! resets, and who sends too many of them is to be told to go ([`Line::verdict`]). What it writes is
//! gathered, so that many answers go out together: whoever drives the connection sends it when the
//! library has nothing more to say ([`Line::poll_send`]).

mod budget;
mod lane;
mod sent;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use super::ahead::Ahead;
use crate::deadline::Deadline;
use crate::socket::{Stream, Tally};
use crate::wire::{Frames, Told};
use budget::Budget;
pub use lane::Lane;
use sent::Sent;

/// The most that is gathered before it is sent.
const GATHERED_BYTES: usize = 64 << 10;

/// What is kept of the room for that while nothing is to be sent.
const KEPT_BYTES: usize = 4 << 10;

/// How long a client may go on sending after the last frame, so that it can read that.
const LINGER: Duration = Duration::from_millis(500);

/// A connection that streams share.
pub struct Line {
    stream: RefCell<Stream>,
    /// What was read of it before this.
    early: RefCell<Bytes>,
    frames: RefCell<Frames>,
    budget: RefCell<Budget>,
    /// What is to be sent, and how much of that was.
    gathered: RefCell<Vec<u8>>,
    gone: Cell<usize>,
    sent: RefCell<Sent>,
    read: Tally,
    written: Tally,
    /// Requests that have not ended, and those that were answered.
    open: Cell<usize>,
    answered: Cell<u64>,
    /// Who drives the connection.
    driver: RefCell<Option<Waker>>,
    verdict: Cell<Option<Reason>>,
    ahead: Ahead,
    write_timeout: Duration,
    waiting: RefCell<Deadline>,
    stalled: Cell<Option<Duration>>,
    linger: RefCell<Deadline>,
}

impl Line {
    /// A connection of which `early` was read already. Sending fails once the client has taken nothing
    /// for `write_timeout`.
    #[must_use]
    pub fn new(stream: Stream, early: Bytes, write_timeout: Duration) -> (Rc<Self>, Below) {
        let ahead = Ahead::shared(&stream);
        let line = Rc::new(Self {
            stream: RefCell::new(stream),
            early: RefCell::new(early),
            frames: RefCell::default(),
            budget: RefCell::new(Budget::new(Instant::now())),
            gathered: RefCell::default(),
            gone: Cell::default(),
            sent: RefCell::default(),
            read: Tally::default(),
            written: Tally::default(),
            open: Cell::default(),
            answered: Cell::default(),
            driver: RefCell::default(),
            verdict: Cell::default(),
            ahead,
            write_timeout,
            waiting: RefCell::default(),
            stalled: Cell::default(),
            linger: RefCell::default(),
        });
        let below = Below(Rc::clone(&line));
        (line, below)
    }

    /// Why the client is to be told to go, if it is. Nothing more is read of it then.
    #[must_use]
    pub fn verdict(&self) -> Option<Reason> {
        self.verdict.get()
    }

    /// How many requests the library has refused by itself since the last time.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.sent.borrow_mut().refused()
    }

    /// Whether a part of a head has come, or of the preface.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.frames.borrow().is_within_head()
    }

    /// A request is open from now on.
    pub fn open_request(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// One request less is open.
    pub fn close_request(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() == 0
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    /// A request has got all of its answer.
    pub fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// Whether no request is open. If one is, `context` is woken when that changes.
    pub fn is_idle(&self, context: &Context<'_>) -> bool {
        if self.open.get() > 0 {
            self.driver.replace(Some(context.waker().clone()));
        }
        self.open.get() == 0
    }

    /// What its streams were given to write.
    pub fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// How long the client has taken nothing, if it was given up for that.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        self.stalled.get()
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    ///
    /// The system's, and that the client takes nothing.
    pub fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.gathered.borrow_mut();
        let mut stream = self.stream.borrow_mut();
        loop {
            let rest = gathered.get(self.gone.get()..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let polled = Pin::new(&mut *stream).poll_write(context, rest);
            let sent = ready!(self.watch(context, polled))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone.set(self.gone.get() + sent);
        }
        self.gone.set(0);
        gathered.clear();
        if gathered.capacity() > KEPT_BYTES {
            *gathered = Vec::new();
        }
        if !stream.is_plain() {
            let polled = Pin::new(&mut *stream).poll_flush(context).map_ok(|()| 0);
            ready!(self.watch(context, polled))?;
        }
        self.ahead.clear(&stream, self.written.bytes());
        Poll::Ready(Ok(()))
    }

    /// Counts what was written, and the time in which nothing was.
    fn watch(
        &self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.waiting.borrow_mut();
        if let Poll::Ready(result) = polled {
            waiting.clear();
            self.written.add(*result.as_ref().unwrap_or(&0));
            return Poll::Ready(result);
        }
        if !waiting.is_set() {
            waiting.set(self.write_timeout);
        }
        ready!(waiting.poll(context));
        self.stalled.set(Some(self.write_timeout));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Keeps bytes for the next [`poll_send`](Self::poll_send): how many of them.
    fn poll_gather(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.borrow().len() >= GATHERED_BYTES {
            ready!(self.poll_send(context))?;
        }
        let mut gathered = self.gathered.borrow_mut();
        let room = GATHERED_BYTES.saturating_sub(gathered.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        gathered.extend_from_slice(taken);
        self.sent.borrow_mut().pass(taken);
        Poll::Ready(Ok(taken.len()))
    }

    /// Sends what was gathered and closes, so that the client can read it.
    ///
    /// # Errors
    ///
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_shut(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut linger = self.linger.borrow_mut();
        if !linger.is_set() {
            ready!(self.poll_send(context))?;
            ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context))?;
            linger.set(LINGER);
        }
        // What is unread when a connection is closed has the kernel reset it, and the client may never
        // see the last frame.
        let mut waste = [mem::MaybeUninit::uninit(); 4096];
        while linger.poll(context).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut waste);
            let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, &mut buffer);
            match polled {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Judges bytes that have come.
    fn judge(&self, bytes: &[u8]) {
        self.read.add(bytes.len());
        let mut frames = self.frames.borrow_mut();
        let mut budget = self.budget.borrow_mut();
        frames.pass(bytes, |told| {
            let within = match told {
                Told::Idle => budget.nothing(|| (Instant::now(), self.written.bytes())),
                Told::Reset => budget.reset(|| (Instant::now(), self.answered.get())),
                Told::Malformed => {
                    self.verdict.set(Some(Reason::PROTOCOL_ERROR));
                    true
                }
            };
            if !within {
                self.verdict.set(Some(Reason::ENHANCE_YOUR_CALM));
            }
            self.verdict.get().is_none()
        });
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Line")
            .field("read_bytes", &self.read.bytes())
            .field("written_bytes", &self.written.bytes())
            .field("open", &self.open.get())
            .finish_non_exhaustive()
    }
}

/// What the library reads and writes.
#[derive(Debug)]
pub struct Below(Rc<Line>);

impl AsyncRead for Below {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &*self.0;
        if line.verdict.get().is_some() {
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        let mut early = line.early.borrow_mut();
        if early.is_empty() {
            let mut stream = line.stream.borrow_mut();
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
        } else {
            let most = early.len().min(buffer.remaining());
            buffer.put_slice(&early.split_to(most));
        }
        line.judge(buffer.filled().get(start..).unwrap_or_default());
        if line.verdict.get().is_some() {
            buffer.set_filled(start);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Below {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_gather(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.0.poll_gather(context, slice) {
                Poll::Ready(Ok(some)) => {
                    taken += some;
                    if some < slice.len() {
                        // What follows is not to come before the rest of it.
                        break;
                    }
                }
                _ if taken > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: see [`Line::poll_send`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shut(context)
    }
}
