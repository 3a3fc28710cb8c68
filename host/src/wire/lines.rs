//! The lines of a head, as it comes.

use super::bytes::control;
use super::{Fault, Limits};

/// How far a head has been read. It is looked at once, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no end of it.
    seen: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'b> {
    /// A line, without its end.
    Line(&'b [u8]),
    /// The line is not complete.
    More,
}

impl Lines {
    /// The next line of a head that begins with `bytes`.
    // Called for each line of each head, where a call and its result cost as much as the line.
    #[inline(always)]
    pub(super) fn next<'b>(&mut self, bytes: &'b [u8], limits: &Limits) -> Result<Next<'b>, Fault> {
        loop {
            let found = control(bytes, self.seen);
            // With the end of the line: another byte has to follow what has none yet.
            let least = found.map_or(bytes.len() + 1, |at| at + 2);
            if least > limits.head_bytes {
                return Err(Fault::HeadBytes);
            }
            let Some(at) = found else {
                self.seen = bytes.len();
                return Ok(Next::More);
            };
            match bytes.get(at..at + 2) {
                Some(b"\r\n") => {
                    let line = bytes.get(self.start..at).unwrap_or_default();
                    self.start = at + 2;
                    self.seen = self.start;
                    return Ok(Next::Line(line));
                }
                _ if bytes.get(at) == Some(&b'\t') => self.seen = at + 1,
                None if bytes.get(at) == Some(&b'\r') => {
                    self.seen = at;
                    return Ok(Next::More);
                }
                _ if bytes.get(at) == Some(&b'\n') => return Err(Fault::BareLf),
                _ => return Err(Fault::Control),
            }
        }
    }

    /// Where the line is that was read last, without its end, which has so many bytes.
    pub(super) fn place(&self, bytes: usize) -> (usize, usize) {
        let end = self.start.saturating_sub(2);
        (end.saturating_sub(bytes), end)
    }

    /// Where the lines end that were read.
    pub(super) fn end(&self) -> usize {
        self.start
    }

    /// The part of an incomplete line that is there.
    pub(super) fn rest<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.start..).unwrap_or_default()
    }
}
