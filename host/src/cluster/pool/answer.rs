//! What an upstream answers, as it comes: the head, then the body.
//!
//! Little is read at a time, to the stack, and what has come is kept in a piece of just its size: head and
//! small body together, of which header values and data are parts. Only where much comes at once is it
//! read to where it stays. An idle connection keeps nothing.

use std::future::Future as _;
use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, response};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};

use super::link::Failure;
use crate::headers::has;
use crate::socket::Stream;
use crate::wire::{Asked, Content, Fault, Gate as _, Limits, Part, Responses, Step};

/// The most that is read to the stack.
const SOME: usize = 16 << 10;

/// The most that is read at once.
const MUCH: usize = 64 << 10;

/// One answer after the other, over one connection.
pub(super) struct Answer {
    gate: Responses,
    /// What was read and not handed on.
    kept: BytesMut,
    content: Content,
    /// Whether the length of the body was known from the start.
    sized: bool,
    /// Data that was taken and not handed on.
    first: Option<Bytes>,
    /// What follows the data that was taken last, if that has come as well: whoever gets the last data is
    /// to know that it is.
    next: Option<Result<Part, Fault>>,
    /// How much is read at a time.
    most: usize,
    /// The last time there was as much as was to be read.
    much: bool,
    ended: bool,
    read: u64,
}

/// A body that has come with its head.
pub(super) struct Whole {
    pub(super) data: Bytes,
    /// Its length was known from the start.
    pub(super) sized: bool,
}

impl Answer {
    /// For a connection on which nothing was asked for yet.
    pub(super) fn new(heads: Limits) -> Self {
        Self {
            gate: Responses::new(heads),
            kept: BytesMut::new(),
            content: Content::sized(0),
            sized: true,
            first: None,
            next: None,
            most: usize::MAX,
            much: false,
            ended: false,
            read: 0,
        }
    }

    /// A request is about to be sent.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.gate.ask(asked);
        self.much = false;
        // That the body before has come to its end was seen without having been asked for.
        (self.first, self.next) = (None, None);
    }

    /// So much is read at a time from now on.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.most = bytes;
    }

    /// How many bytes have come, in all.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read
    }

    /// Whether the upstream says nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether another protocol has begun.
    pub(super) fn has_switched(&self) -> bool {
        self.gate.has_switched()
    }

    /// Whether there is more than was asked for, once that has been handed on.
    pub(super) fn keeps(&self) -> bool {
        !self.kept.is_empty()
    }

    /// What was read and not handed on.
    pub(super) fn take_kept(&mut self) -> Bytes {
        mem::take(&mut self.kept).freeze()
    }

    /// The connection is idle: nothing is kept.
    pub(super) fn rest(&mut self) {
        self.kept = BytesMut::new();
    }

    /// The next head, and whether it is that of an informational response: others may come then.
    pub(super) fn poll_head(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, bool), Failure>> {
        loop {
            if !self.kept.is_empty()
                && let Some(head) = self.head().map_err(Failure::Fault)?
            {
                return Poll::Ready(Ok(head));
            }
            if ready!(self.poll_fill(stream, context)).map_err(Failure::Broken)? == 0 {
                return Poll::Ready(Err(Failure::Closed));
            }
        }
    }

    fn head(&mut self) -> Result<Option<(response::Parts, bool)>, Fault> {
        let (bytes, interim) = match self.gate.step(&self.kept) {
            Step::Pass(bytes) => (bytes, false),
            Step::Interim(bytes) => (bytes, true),
            Step::Fault(fault) => return Err(fault),
            Step::More | Step::Held | Step::Skip(_) => return Ok(None),
        };
        let head = self.kept.split_to(bytes.min(self.kept.len())).freeze();
        let parts = self.gate.parts(&head)?;
        if !interim {
            self.content = self.gate.content();
            self.sized = self.content.left_bytes().is_some();
        }
        Ok(Some((parts, interim)))
    }

    /// All of the body, if it has come with the head. Nothing of it may have been asked for before.
    pub(super) fn whole(&mut self) -> Option<Whole> {
        if let Some(left) = self.content.left_bytes() {
            let left = usize::try_from(left).ok().filter(|left| *left <= self.kept.len())?;
            let data = match left == self.kept.len() {
                true => mem::take(&mut self.kept),
                false => self.kept.split_to(left),
            };
            self.content = Content::sized(0);
            return Some(Whole { data: data.freeze(), sized: true });
        }
        if self.kept.is_empty() || self.content.is_until_closed() {
            return None;
        }
        match self.take() {
            Ok(Part::Data(data)) if self.is_over() => Some(Whole { data, sized: false }),
            Ok(Part::Data(data)) => {
                self.first = Some(data);
                None
            }
            Ok(Part::End) => Some(Whole { data: Bytes::new(), sized: false }),
            Ok(Part::More) => None,
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    /// What comes next of the body.
    pub(super) fn poll_part(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Part>> {
        loop {
            match self.take()? {
                Part::More => {}
                part => return Poll::Ready(Ok(part)),
            }
            if ready!(self.poll_fill(stream, context))? == 0 {
                return Poll::Ready(match self.content.closed() {
                    true => Ok(Part::End),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }

    fn take(&mut self) -> Result<Part, Fault> {
        if let Some(data) = self.first.take() {
            return Ok(Part::Data(data));
        }
        let part = match self.next.take() {
            Some(next) => next?,
            None => self.content.take(&mut self.kept)?,
        };
        let is_data = matches!(part, Part::Data(_));
        if is_data && !self.kept.is_empty() && !self.content.is_over() {
            let next = self.content.take(&mut self.kept);
            self.next = Some(next).filter(|next| !matches!(next, Ok(Part::More)));
        }
        Ok(part)
    }

    /// Whether nothing of the body is to be handed on any more.
    pub(super) fn is_over(&self) -> bool {
        self.content.is_over()
            && self.first.is_none()
            && matches!(self.next, None | Some(Ok(Part::End)))
    }

    /// How many bytes of the body are to come, if that was known from the start.
    pub(super) fn left_bytes(&self) -> Option<u64> {
        self.content.left_bytes().filter(|_| self.sized)
    }

    /// Reads once. Nothing is the end.
    pub(super) fn poll_fill(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = match self.room() {
            Some(room) => ready!(self.poll_much(stream, context, room))?,
            None => ready!(self.poll_some(stream, context))?,
        };
        self.much = read >= SOME.min(self.most);
        self.read = self.read.wrapping_add(u64::try_from(read).unwrap_or(0));
        self.ended |= read == 0;
        Poll::Ready(Ok(read))
    }

    /// How much there may be to be read, if that is much.
    fn room(&self) -> Option<usize> {
        if !self.much {
            return None;
        }
        let left = self.content.left_bytes().and_then(|left| usize::try_from(left).ok());
        // One more than that: what fills its room has to be asked for the rest.
        let most = left.map_or(MUCH, |left| left.saturating_add(1));
        Some(most.min(MUCH).min(self.most)).filter(|room| *room > SOME)
    }

    fn poll_some(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; SOME];
        let most = self.most.clamp(1, SOME);
        let mut buffer = ReadBuf::uninit(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        if self.kept.is_empty() {
            self.kept = BytesMut::from(read);
        } else {
            self.kept.extend_from_slice(read);
        }
        Poll::Ready(Ok(read.len()))
    }

    fn poll_much(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = BytesMut::with_capacity(room);
        let mut limited = (&mut buffer).limit(room);
        let read = ready!(pin!(stream.read_buf(&mut limited)).poll(context))?;
        // What is little is not to keep room for much.
        if self.kept.is_empty() && read > room / 4 {
            self.kept = buffer;
        } else {
            self.kept.extend_from_slice(&buffer);
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether a response says that its connection ends with it.
pub(super) fn says_close(fields: &HeaderMap) -> bool {
    if !has(fields, &CONNECTION) {
        return false;
    }
    let lines = fields.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let mut options = lines.flat_map(|line| line.split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}
