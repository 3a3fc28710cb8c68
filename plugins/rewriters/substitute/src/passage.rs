//! One body on its way: decoded if it has to be, replaced in, and given in pieces.

use crate::decode::{Coding, Decoder};
use crate::replacer::Replacer;
use crate::rules::Rules;

/// What is enough for one call to give.
const ENOUGH: usize = 128 << 10;

/// The most that one call may give.
const OUTPUT: usize = 256 << 10;

/// The calls in a row that may give nothing and promise more: the host takes one more for a failure.
const IDLE: usize = 16;

/// A body on its way.
pub(crate) struct Passage {
    decoder: Option<Decoder>,
    replacer: Replacer,
    /// What was made and not given yet.
    ready: Vec<u8>,
    /// Whether the replacer has more to do with what it has.
    full: bool,
    /// What is wrong with the coding, from where on nothing is decoded.
    broken: Option<String>,
    /// Calls in a row that have given nothing and promised more.
    idle: usize,
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
        let decoder = coding.map(Decoder::new);
        Self { decoder, replacer, ready: Vec::new(), full: false, broken: None, idle: 0 }
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
        rules.rest();
        let more = loop {
            let drained = self.decode(rules, last);
            let ended = drained && (last || self.broken.is_some());
            self.full = self.replacer.pump(rules, ended, ENOUGH, &mut self.ready);
            if self.replacer.is_out_of_proportion() {
                return Err("the rules take too long for its length".to_owned());
            }
            let more = self.full || !drained;
            if !more || !self.ready.is_empty() || rules.effort().is_spent() {
                break more;
            }
        };
        if !more
            && self.ready.is_empty()
            && let Some(fault) = self.broken.take()
        {
            return Err(fault);
        }
        let given = self.ready.len().min(OUTPUT);
        let bytes: Vec<_> = self.ready.drain(..given).collect();
        let more = more || !self.ready.is_empty() || self.broken.is_some();
        self.idle = if more && bytes.is_empty() { self.idle + 1 } else { 0 };
        if self.idle > IDLE {
            return Err("the rules take too long, and give nothing".to_owned());
        }
        Ok(Output { bytes, more })
    }

    /// Decodes the next piece, if the last one has been dealt with, and says whether there is no
    /// further one.
    fn decode(&mut self, rules: &mut Rules, last: bool) -> bool {
        let Some(decoder) = &mut self.decoder else { return true };
        if self.broken.is_none() && !self.full {
            let mut piece = Vec::new();
            let mut step = decoder.step(last, &mut piece);
            if last && step.is_ok() && decoder.is_drained() {
                step = decoder.finish();
            }
            // What was decoded before is passed on first.
            self.broken = step.err();
            rules.effort().spend(piece.len());
            self.replacer.push(&piece);
        }
        self.broken.is_some() || decoder.is_drained()
    }
}

#[cfg(test)]
mod tests;
