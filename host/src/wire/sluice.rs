//! Reading a stream through a gate.
//!
//! Bytes are read where hyper wants them and judged there; as a rule all of them stay. Only what may
//! not go on yet is kept aside, as much as has come of it.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::{Fault, Gate, Step};

/// How much is read ahead of a decision on whether it is HTTP.
const AHEAD_BYTES: usize = 16 << 10;

/// What was read and may not go on yet.
#[derive(Debug, Default)]
pub struct Sluice {
    /// What was read and not handed on.
    kept: Vec<u8>,
    /// How much of that may go on.
    judged: usize,
    /// What the gate has said of the rest.
    rest: Rest,
    /// The stream is at its end.
    ended: bool,
    /// Who waits for a decision.
    waiting: Option<Waker>,
    /// How much is read at a time, unless it is all that there is room for.
    most: Option<usize>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing, as there is none or it is not complete.
    #[default]
    Open,
    /// It is to be shown to the gate.
    Unseen,
    /// It waits for a decision.
    Held,
    Fault(Fault),
}

/// What reading has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// There are bytes, or there is the end of the stream.
    Ready,
    /// Nothing, until more comes or something is decided.
    Pending,
    /// What comes next is not what it should be. All before it has gone on.
    Fault(Fault),
}

/// Where bytes come from and what is told of them.
pub struct Source<'s, S> {
    /// The stream.
    pub stream: &'s mut S,
    /// Is told how many bytes were read.
    pub read: &'s mut dyn FnMut(usize),
    /// Is given informational responses.
    pub interim: &'s mut dyn FnMut(&[u8]),
}

impl Sluice {
    /// Bytes that were read by others come before those of the stream.
    pub fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept.extend_from_slice(bytes);
            self.rest = Rest::Unseen;
        }
    }

    /// Reads, and leaves in `buffer` what may go on.
    ///
    /// # Errors
    ///
    /// What reading fails with.
    pub fn read<S: AsyncRead + Unpin>(
        &mut self,
        source: &mut Source<'_, S>,
        gate: &mut impl Gate,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> io::Result<Reading> {
        loop {
            if self.judged > 0 {
                self.give(buffer);
                return Ok(Reading::Ready);
            }
            match self.rest {
                Rest::Fault(fault) => return Ok(Reading::Fault(fault)),
                Rest::Unseen => {
                    self.look(gate, &mut *source.interim);
                    continue;
                }
                Rest::Held if self.kept.len() >= AHEAD_BYTES || self.ended => {
                    self.waiting = Some(context.waker().clone());
                    return Ok(Reading::Pending);
                }
                Rest::Held => self.waiting = Some(context.waker().clone()),
                Rest::Open if self.ended => return Ok(Reading::Ready),
                Rest::Open => {}
            }
            let start = buffer.filled().len();
            let polled = match self.most.and_then(|most| u64::try_from(most).ok()) {
                Some(most) => {
                    Pin::new(&mut (&mut *source.stream).take(most)).poll_read(context, buffer)
                }
                None => Pin::new(&mut *source.stream).poll_read(context, buffer),
            };
            match polled {
                Poll::Pending => return Ok(Reading::Pending),
                Poll::Ready(result) => result?,
            }
            let fresh = buffer.filled_mut().get_mut(start..).unwrap_or_default();
            (source.read)(fresh.len());
            if fresh.is_empty() {
                self.ended = true;
                continue;
            }
            if !self.kept.is_empty() {
                self.kept.extend_from_slice(fresh);
                buffer.set_filled(start);
                if self.rest == Rest::Open {
                    self.rest = Rest::Unseen;
                }
                continue;
            }
            let walk = Walk::of(fresh, gate, &mut *source.interim);
            self.rest = walk.rest;
            self.kept.extend_from_slice(fresh.get(walk.from..).unwrap_or_default());
            buffer.set_filled(start + walk.passed);
            if walk.passed > 0 {
                return Ok(Reading::Ready);
            }
        }
    }

    /// From now on so much is read at a time, which is not nothing.
    pub fn limit(&mut self, bytes: usize) {
        self.most = Some(bytes.max(1));
    }

    /// The gate was told what the bytes are that it has held.
    pub fn decided(&mut self) {
        if self.rest == Rest::Held {
            self.rest = Rest::Unseen;
        }
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// These bytes go on in place of all that was kept, which is returned, and nothing after them.
    pub fn replace(&mut self, bytes: &[u8], fault: Fault) -> Vec<u8> {
        self.judged = bytes.len();
        self.rest = Rest::Fault(fault);
        mem::replace(&mut self.kept, bytes.to_vec())
    }

    /// What was read and not handed on.
    #[must_use]
    pub fn into_kept(self) -> Vec<u8> {
        self.kept
    }

    /// Whether something was read that may not go on yet, but may later.
    #[must_use]
    pub fn keeps(&self) -> bool {
        !self.kept.is_empty() && !matches!(self.rest, Rest::Fault(_))
    }

    /// Whether the stream has come to its end.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Shows the gate what was kept.
    fn look(&mut self, gate: &mut impl Gate, interim: &mut dyn FnMut(&[u8])) {
        let walk = Walk::of(&mut self.kept, gate, interim);
        self.kept.drain(walk.passed..walk.from.max(walk.passed));
        self.judged = walk.passed;
        self.rest = walk.rest;
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }

    /// Hands on as much as there is room for.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let fits = self.judged.min(buffer.remaining());
        buffer.put_slice(self.kept.get(..fits).unwrap_or_default());
        self.kept.drain(..fits.min(self.kept.len()));
        self.judged -= fits;
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }
}

/// What a gate has said of some bytes: those that may go on are now the first, the rest begins where
/// it did.
struct Walk {
    passed: usize,
    from: usize,
    rest: Rest,
}

impl Walk {
    fn of(bytes: &mut [u8], gate: &mut impl Gate, interim: &mut dyn FnMut(&[u8])) -> Self {
        let mut walk = Self { passed: 0, from: 0, rest: Rest::Open };
        while let Some(rest) = bytes.get(walk.from..).filter(|rest| !rest.is_empty()) {
            match gate.step(rest) {
                Step::Pass(count) => {
                    let end = bytes.len().min(walk.from + count);
                    if walk.from != walk.passed {
                        bytes.copy_within(walk.from..end, walk.passed);
                    }
                    walk.passed += end - walk.from;
                    walk.from = end;
                }
                Step::Skip(count) => walk.from += count,
                Step::Interim(count) => {
                    interim(rest.get(..count).unwrap_or_default());
                    walk.from += count;
                }
                Step::More => break,
                Step::Held => {
                    walk.rest = Rest::Held;
                    break;
                }
                Step::Fault(fault) => {
                    walk.rest = Rest::Fault(fault);
                    break;
                }
            }
        }
        walk
    }
}

#[cfg(test)]
mod tests;
