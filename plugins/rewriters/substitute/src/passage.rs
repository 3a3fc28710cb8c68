//! One body on its way: decoded if it has to be, replaced in, and given in pieces.

use crate::decode::{Coding, Decoder};
use crate::replacer::Replacer;
use crate::rules::Rules;

/// What is enough for one call to give.
const ENOUGH: usize = 128 << 10;

/// The most that one call may give.
const OUTPUT: usize = 256 << 10;

/// A body on its way.
pub(crate) struct Passage {
    decoder: Option<Decoder>,
    replacer: Replacer,
    /// What was made and not given yet.
    ready: Vec<u8>,
    /// Whether the replacer has more to do with what it has.
    full: bool,
}

/// What a call gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    /// Whether there is more to give.
    pub(crate) more: bool,
}

impl Passage {
    /// A body in that coding.
    pub(crate) fn new(coding: Option<Coding>, replacer: Replacer) -> Self {
        Self { decoder: coding.map(Decoder::new), replacer, ready: Vec::new(), full: false }
    }

    /// Takes more of it, or nothing, and gives what comes of it. `last` is whether this was all.
    pub(crate) fn step(
        &mut self,
        rules: &mut Rules,
        chunk: &[u8],
        last: bool,
    ) -> Result<Output, String> {
        match &mut self.decoder {
            Some(decoder) => decoder.push(chunk),
            None => self.replacer.push(chunk),
        }
        loop {
            let mut drained = true;
            if let Some(decoder) = &mut self.decoder {
                if !self.full {
                    let mut piece = Vec::new();
                    decoder.step(last, &mut piece)?;
                    self.replacer.push(&piece);
                }
                drained = decoder.is_drained();
                if last && drained {
                    decoder.finish()?;
                }
            }
            self.full = self.replacer.pump(rules, last && drained, ENOUGH, &mut self.ready);
            let more = self.full || !drained;
            if more && self.ready.is_empty() {
                continue;
            }
            let given = self.ready.len().min(OUTPUT);
            let bytes = self.ready.drain(..given).collect();
            return Ok(Output { bytes, more: more || !self.ready.is_empty() });
        }
    }
}

#[cfg(test)]
mod tests;
