//! The body of a response, as it comes out of its stream.
//!
//! The upstream is granted room for more as the client's side takes what has come, and not before.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use super::upload::{Bond, Pump};
use super::{Ticket, head};
use crate::body::{BodyError, Channel};
use crate::wire::{Fault, Limits};

/// A body on its way. Dropped before its end, it resets its stream.
pub(super) struct Download {
    pub(super) stream: RecvStream,
    /// The stream counts as open until then.
    pub(super) ticket: Option<Rc<Ticket>>,
    pub(super) bond: Rc<Bond>,
    /// A request body that the client was never asked for.
    pub(super) held: Option<Pump>,
    /// How much is still to come, if that is known.
    pub(super) left: Option<u64>,
    /// What has come and not been handed on.
    pub(super) rest: Bytes,
    /// How much is handed on at a time.
    pub(super) most: usize,
    /// What bounds trailers.
    pub(super) limits: Limits,
    pub(super) stage: Stage,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Data,
    /// The response has none, by its status or its request.
    NoData,
    Trailers,
    Over,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Download {
    /// The stream has come to its end.
    pub(super) fn finish(&mut self) {
        self.stage = Stage::Over;
        self.bond.answered.set(true);
        self.held = None;
        if let Some(ticket) = self.ticket.take() {
            ticket.0.answered();
        }
    }

    fn fail(&self, error: BodyError) -> Polled {
        let malformed = match &error {
            BodyError::Malformed(_) => true,
            BodyError::Stream(error) => error.is_library(),
            _ => false,
        };
        if let Some(ticket) = self.ticket.as_ref().filter(|_| malformed) {
            ticket.0.faulted();
        }
        Poll::Ready(Some(Err(error)))
    }

    fn take_rest(&mut self) -> Frame<Bytes> {
        let part = self.rest.split_to(self.most.max(1).min(self.rest.len()));
        // It is no more than what has come.
        let _ = self.stream.flow_control().release_capacity(part.len());
        let bytes = part.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        self.bond.received.set(self.bond.received.get().wrapping_add(bytes));
        if self.rest.is_empty() && self.stream.is_end_stream() {
            self.finish();
        }
        Frame::data(part)
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match ready!(self.stream.poll_data(context)) {
            Some(Ok(data)) if !data.is_empty() && self.stage == Stage::NoData => {
                return Poll::Ready(Err(BodyError::Malformed(Fault::Unasked)));
            }
            Some(Ok(data)) => self.rest = data,
            Some(Err(error)) => return Poll::Ready(Err(BodyError::Stream(error.into()))),
            None => self.stage = Stage::Trailers,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Polled {
        let trailers = match ready!(self.stream.poll_trailers(context)) {
            Ok(trailers) => trailers,
            Err(error) => return self.fail(BodyError::Stream(error.into())),
        };
        if let Some(trailers) = &trailers
            && let Err(fault) = head::judge_trailers(trailers, &self.limits)
        {
            return self.fail(BodyError::Malformed(fault));
        }
        self.finish();
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl Channel for Download {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Polled {
        loop {
            if !self.rest.is_empty() {
                return Poll::Ready(Some(Ok(self.take_rest())));
            }
            match self.stage {
                Stage::Data | Stage::NoData => {
                    if let Err(error) = ready!(self.poll_data(context)) {
                        return self.fail(error);
                    }
                }
                Stage::Trailers => return self.poll_trailers(context),
                Stage::Over => return Poll::Ready(None),
            }
        }
    }

    fn is_over(&self) -> bool {
        // What is no body has come to its end before its stream has.
        matches!(self.stage, Stage::Over | Stage::NoData)
    }

    fn left_bytes(&self) -> Option<u64> {
        self.left
    }

    fn limit(&mut self, bytes: usize) {
        self.most = bytes;
    }

    fn give_up(&mut self) {
        if let Some(ticket) = &self.ticket {
            ticket.0.fell_silent();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.bond.forsake();
        }
    }
}
