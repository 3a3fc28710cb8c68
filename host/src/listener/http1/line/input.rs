//! Reading what comes out of its turn, or is wanted by nobody.

use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};

use super::{HALF_CLOSED, Input, Line, SCRATCH_BYTES};
use crate::wire::Part;

/// What is read at a time of a client that fills that.
const MUCH_BYTES: usize = 64 << 10;

/// How much is read ahead of its turn.
const AHEAD_BYTES: usize = 16 << 10;

/// The most of a body that nobody wants and that is thrown away so that another request can follow.
const WASTE_BYTES: usize = 64 << 10;

impl Line {
    /// Waits until nobody reads on in the body. Whether another head follows.
    pub(in super::super) fn poll_whole(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut input = self.input.borrow_mut();
        if self.broken.get() || self.refused.get().is_some() {
            return Poll::Ready(false);
        }
        let mut wasted = 0;
        loop {
            if input.content.is_over() {
                return Poll::Ready(true);
            }
            if self.read_on.get() {
                self.waiter.replace(Some(context.waker().clone()));
                return Poll::Pending;
            }
            // One that has come along is no hindrance.
            let Input { bytes, content, .. } = &mut *input;
            match content.take(bytes) {
                Ok(Part::Data(data)) => wasted += data.len(),
                Ok(Part::Trailers(_) | Part::End) => {}
                Ok(Part::More) if input.ended || wasted > WASTE_BYTES => return Poll::Ready(false),
                Ok(Part::More) => match self.poll_fill(context, &mut input) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) | Poll::Pending => return Poll::Ready(false),
                },
                Err(_) => return Poll::Ready(false),
            }
            input.unseen = true;
        }
    }

    /// Never ready but with an error: the client is gone, or so is its connection. Meanwhile what is to go
    /// out before the answer does, and what comes ahead of its turn is read.
    pub(in super::super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_interim(context) {
            return Poll::Ready(Err(error));
        }
        let mut input = self.input.borrow_mut();
        if !input.content.is_over() || self.broken.get() || self.refused.get().is_some() {
            return Poll::Pending;
        }
        while !input.ended && input.bytes.len() < AHEAD_BYTES {
            ready!(self.poll_fill(context, &mut input))?;
            input.unseen = true;
        }
        // Whether it goes on in HTTP is not decided.
        if !input.ended || self.gate.borrow().asks_upgrade() {
            return Poll::Pending;
        }
        let mut clocks = self.clocks.borrow_mut();
        // Whether it takes what is there has a time of its own.
        if !clocks.half_closed.is_set() || clocks.stalled.is_set() {
            clocks.half_closed.set(HALF_CLOSED);
        }
        ready!(clocks.half_closed.poll(context));
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Reads more behind what has not had its turn. More or the end is there when it is ready.
    pub(super) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        input: &mut Input,
    ) -> Poll<io::Result<()>> {
        if input.much {
            return self.poll_much(context, input);
        }
        let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        ready!(self.poll_read(context, &mut buffer))?;
        let fresh = buffer.filled();
        input.ended = fresh.is_empty();
        input.much = fresh.len() == SCRATCH_BYTES;
        input.bytes.extend_from_slice(fresh);
        Poll::Ready(Ok(()))
    }

    /// The same of a client that sends much: without a copy.
    fn poll_much(&self, context: &mut Context<'_>, input: &mut Input) -> Poll<io::Result<()>> {
        input.bytes.reserve(MUCH_BYTES);
        let polled = match &mut *self.stream.borrow_mut() {
            Some(stream) => pin!(stream.read_buf(&mut input.bytes)).poll(context),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if polled.is_pending() && input.bytes.is_empty() {
            input.bytes = BytesMut::new();
        }
        let count = ready!(polled)?;
        self.read.add(count);
        input.ended = count == 0;
        input.much = count >= SCRATCH_BYTES;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(stream) = &mut *self.stream.borrow_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        self.read.add(buffer.filled().len());
        Poll::Ready(Ok(()))
    }
}
