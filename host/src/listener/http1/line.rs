//! The stream of a connection, and what all that use it have to know of each other.
//!
//! A connection that is closed while bytes of the client are unread is reset by the kernel, and the
//! client may never see what it was sent. So after the last answer whatever still comes is read and
//! thrown away: what is there already, or all that comes within some seconds if the client is known
//! not to be done.
//!
//! A client may end its side when it has sent its request, and still read the answer. But clients that are
//! gone look the same until something is sent to them; so they have a second between any two writes.

mod input;
mod output;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{self, MaybeUninit};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Uri, request};
use tokio::io::ReadBuf;
use tokio::time::Duration;

use super::super::ahead::Ahead;
use super::super::interim::Queue;
use crate::deadline::Deadline;
use crate::socket::{Stream, Tally};
use crate::wire::{Content, Fault, Gate as _, Limits, Part, Requests, Step};

/// What is read at a time of a client of which little comes: on the stack, and what has come is kept in
/// as much room as it takes.
const SCRATCH_BYTES: usize = 16 << 10;

/// How long a client that has ended its side is believed to be there without being written to.
const HALF_CLOSED: Duration = Duration::from_secs(1);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// See the module.
pub(in crate::listener) struct Line {
    /// Absent once it goes on as something else.
    stream: RefCell<Option<Stream>>,
    input: RefCell<Input>,
    gate: RefCell<Requests>,
    write_timeout: Duration,
    clocks: RefCell<Clocks>,
    /// Requests that were handed over and have not ended.
    pub(super) open: Cell<usize>,
    /// Who waits for the end of a body.
    waiter: RefCell<Option<Waker>>,
    /// Somebody may read on in the body.
    read_on: Cell<bool>,
    /// What the body is after which nothing can follow: it has broken off.
    broken: Cell<bool>,
    /// The client waits for consent to send its body.
    waits: Cell<bool>,
    /// Why a head was refused.
    pub(super) refused: Cell<Option<Fault>>,
    /// What there is of the first line of that.
    pub(super) refused_line: RefCell<Box<[u8]>>,
    /// The client has begun with a TLS handshake.
    pub(super) speaks_tls: Cell<bool>,
    pub(super) read: Tally,
    pub(super) written: Tally,
    /// What is being answered is the last request, which the client may not know.
    pub(super) last: Cell<bool>,
    /// A response has begun that ends where the connection does.
    pub(super) open_ended: Cell<bool>,
    /// Whether each end of the stream is a reset now.
    resets: Cell<bool>,
    /// Whether an answer is not written whole.
    pub(super) busy: Cell<bool>,
    /// Set once the client has taken nothing for so long that it was given up.
    pub(super) stalled: Cell<Option<Duration>>,
    pub(super) interim: Rc<Queue>,
    pub(super) ahead: Ahead,
}

/// What has come, and not had its turn.
struct Input {
    bytes: BytesMut,
    /// There is more of it than the gate was shown.
    unseen: bool,
    ended: bool,
    /// So much comes at a time that it is read where it stays.
    much: bool,
    /// The body of the request that is open.
    content: Content,
}

/// A head, or why it is refused.
type Judged = Result<Box<request::Parts>, Fault>;

#[derive(Default)]
struct Clocks {
    stalled: Deadline,
    /// Set while what still comes is thrown away.
    linger: Deadline,
    /// Set once the client has ended its side within a request.
    half_closed: Deadline,
}

impl Line {
    pub(super) fn new(
        stream: Stream,
        early: &[u8],
        limits: Limits,
        write_timeout: Duration,
    ) -> Rc<Self> {
        let read = Tally::default();
        read.add(early.len());
        let ahead = Ahead::new(&stream);
        let input = Input {
            bytes: BytesMut::from(early),
            unseen: true,
            ended: false,
            much: false,
            content: Content::sized(0),
        };
        Rc::new(Self {
            stream: RefCell::new(Some(stream)),
            input: RefCell::new(input),
            gate: RefCell::new(Requests::new(limits)),
            write_timeout,
            clocks: RefCell::default(),
            open: Cell::default(),
            waiter: RefCell::default(),
            read_on: Cell::default(),
            broken: Cell::default(),
            waits: Cell::default(),
            refused: Cell::default(),
            refused_line: RefCell::default(),
            speaks_tls: Cell::default(),
            read,
            written: Tally::default(),
            last: Cell::default(),
            open_ended: Cell::default(),
            resets: Cell::default(),
            busy: Cell::default(),
            stalled: Cell::default(),
            interim: Rc::default(),
            ahead,
        })
    }

    /// The protocol stays what it is.
    pub(super) fn stay(&self) {
        self.gate.borrow_mut().resume();
    }

    /// Whether something has come that has not had its turn.
    pub(super) fn has_input(&self) -> bool {
        !self.input.borrow().bytes.is_empty()
    }

    /// The head of the next request; none if the client has ended its side. A refused one is replaced.
    pub(super) fn poll_head(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Box<request::Parts>>>> {
        let mut input = self.input.borrow_mut();
        let judged = match input.unseen && !input.bytes.is_empty() {
            true => self.judge_kept(&mut input),
            false => None,
        };
        let judged = match judged {
            Some(judged) => judged,
            None => loop {
                // By whoever watches the time.
                if self.refused.get().is_some() {
                    return Poll::Ready(Ok(Some(in_place_of_refused())));
                }
                if input.ended {
                    let partial = !input.bytes.is_empty();
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(if partial { Err(error) } else { Ok(None) });
                }
                let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
                let mut buffer = ReadBuf::uninit(&mut scratch);
                ready!(self.poll_read(context, &mut buffer))?;
                let fresh = buffer.filled();
                input.ended = fresh.is_empty();
                let judged = match input.bytes.is_empty() {
                    true => {
                        let (judged, used) = self.judge(fresh, &mut input);
                        input.bytes = BytesMut::from(fresh.get(used..).unwrap_or_default());
                        judged
                    }
                    // A head that comes byte by byte is not copied with each of them.
                    false => {
                        input.bytes.extend_from_slice(fresh);
                        self.judge_kept(&mut input)
                    }
                };
                if let Some(judged) = judged {
                    break judged;
                }
            },
        };
        match judged {
            Ok(parts) => Poll::Ready(Ok(Some(parts))),
            Err(fault) => {
                drop(input);
                self.refuse(fault);
                if self.speaks_tls.get() {
                    // An answer in HTTP would say nothing to it.
                    return Poll::Ready(Err(fault.into()));
                }
                Poll::Ready(Ok(Some(in_place_of_refused())))
            }
        }
    }

    /// Shows the gate what was kept. What goes on having no turn stays.
    fn judge_kept(&self, input: &mut Input) -> Option<Judged> {
        let mut bytes = mem::take(&mut input.bytes);
        let (judged, used) = self.judge(&bytes, input);
        bytes.advance(used.min(bytes.len()));
        if !bytes.is_empty() {
            input.bytes = bytes;
        }
        judged
    }

    /// Shows the gate bytes that have their turn now. How many of them have had it.
    fn judge(&self, all: &[u8], input: &mut Input) -> (Option<Judged>, usize) {
        let mut gate = self.gate.borrow_mut();
        let mut bytes = all;
        let judged = loop {
            if bytes.is_empty() {
                break None;
            }
            match gate.step(bytes) {
                Step::Pass(end) => {
                    let (head, rest) = bytes.split_at(end.min(bytes.len()));
                    bytes = rest;
                    // A copy: what it was read into is larger by far, or holds what follows as well.
                    let parts = gate.parts(&Bytes::copy_from_slice(head));
                    input.content = gate.content();
                    break Some(parts);
                }
                Step::Skip(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Step::More | Step::Held | Step::Interim(_) => break None,
                Step::Fault(fault) => break Some(Err(fault)),
            }
        };
        input.unseen = judged.is_some();
        (judged, all.len() - bytes.len())
    }

    /// A request has begun. Whether a body is to come with it, for which the client perhaps waits for
    /// consent.
    pub(super) fn expects_body(&self, waits: bool) -> bool {
        self.broken.set(false);
        let expects = self.refused.get().is_none() && !self.input.borrow().content.is_over();
        self.read_on.set(expects);
        self.waits.set(expects && waits);
        expects
    }

    /// What comes next of the body.
    pub(super) fn poll_body(&self, context: &mut Context<'_>) -> Poll<Result<Part, io::Error>> {
        if self.waits.take() {
            self.interim.put(CONTINUE);
            // What cannot be written now is when the connection is polled.
            if let Poll::Ready(Err(error)) = self.poll_interim(context) {
                return Poll::Ready(Err(error));
            }
        }
        let mut input = self.input.borrow_mut();
        let part = loop {
            let Input { bytes, content, .. } = &mut *input;
            match content.take(bytes) {
                Ok(Part::More) => {}
                Ok(part) => break Ok(part),
                Err(fault) => break Err(fault.into()),
            }
            if input.ended {
                break Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = ready!(self.poll_fill(context, &mut input)) {
                break Err(error);
            }
        };
        if input.bytes.is_empty() {
            input.bytes = BytesMut::new();
        }
        input.unseen = true;
        self.broken.set(part.is_err());
        if part.is_err() || input.content.is_over() {
            self.wake();
        }
        Poll::Ready(part)
    }

    /// How many bytes of the body are to come, if that is known, and whether none is.
    pub(super) fn body_left(&self) -> (Option<u64>, bool) {
        let input = self.input.borrow();
        (input.content.left_bytes(), input.content.is_over())
    }

    /// Nobody reads on in the body.
    pub(super) fn abandon(&self) {
        self.read_on.set(false);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
    }
}

/// What is handed over in place of a head that is refused.
fn in_place_of_refused() -> Box<request::Parts> {
    let mut parts = Box::new(Request::new(()).into_parts().0);
    // A token that is no method.
    parts.method = Method::from_bytes(b"-").unwrap_or_default();
    parts.uri = Uri::from_static("*");
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    parts
}
