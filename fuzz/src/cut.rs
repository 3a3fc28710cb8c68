//! Bytes that come in pieces, shown to a gate.

use linkspan::wire::{Fault, Gate, Limits, Step};

/// Small enough for fuzzers to come to them.
pub(crate) const LIMITS: Limits = Limits { head_bytes: 1_024, fields: 16, target_bytes: 256 };
/// What bounds bodies is larger than this: the host has tests of its own for that.
const MOST: usize = 8 << 10;

/// Sizes of pieces, and whatever else there is to choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts(u64);

impl Cuts {
    /// The first choice there is, of two.
    pub(crate) fn flag(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Iterator for Cuts {
    type Item = usize;

    /// Mostly a few bytes, seldom many: xorshift.
    fn next(&mut self) -> Option<usize> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let size = self.0 >> 8;
        let size = if self.0.is_multiple_of(4) { size % 300 } else { size % 7 };
        usize::try_from(1 + size).ok()
    }
}

/// How an input is cut, and what of it there is to cut.
pub(crate) fn split(input: &[u8]) -> (Cuts, &[u8]) {
    let (seed, bytes) = input.split_first_chunk().map_or(([0; 2], input), |(s, rest)| (*s, rest));
    // The generator stays where it is at nought; the lowest bit is the fuzzer's.
    let seed = 0x9e37_79b9_0000_0000 | u64::from(u16::from_le_bytes(seed));
    (Cuts(seed), &bytes[..bytes.len().min(MOST)])
}

/// What a gate has made of bytes.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// What went on.
    pub(crate) passed: Vec<u8>,
    /// What was an informational response.
    pub(crate) interim: Vec<u8>,
    /// How many bytes all this was, with those that are nobody's business.
    pub(crate) seen: usize,
    pub(crate) fault: Option<Fault>,
}

impl Judged {
    /// The same bytes come to the same, however they are cut. Which fault is named may differ.
    pub(crate) fn same_as(&self, cut: &Self) {
        assert_eq!(self.passed, cut.passed, "however it is cut");
        assert_eq!(self.interim, cut.interim, "however it is cut");
        let (one, other) = (&self.fault, &cut.fault);
        assert_eq!(one.is_some(), other.is_some(), "{one:?}, cut {other:?}");
    }
}

/// Shows a gate bytes, in pieces of these sizes. `turn` has its turn before each step, is told whether
/// the last one has left bytes to be decided on, and says whether to go on.
pub(crate) fn judge<G: Gate>(
    gate: &mut G,
    bytes: &[u8],
    sizes: impl Iterator<Item = usize>,
    mut turn: impl FnMut(&mut G, bool) -> bool,
) -> Judged {
    let mut judged = Judged::default();
    let (mut kept, mut rest) = (Vec::new(), bytes);
    for size in sizes {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        kept.extend_from_slice(piece);
        let mut held = false;
        while !kept.is_empty() {
            if !turn(gate, held) {
                return judged;
            }
            held = false;
            match gate.step(&kept) {
                Step::Pass(count) => {
                    let bytes = judged.take(&mut kept, count);
                    judged.passed.extend(bytes);
                }
                Step::Interim(count) => {
                    let bytes = judged.take(&mut kept, count);
                    judged.interim.extend(bytes);
                }
                Step::Skip(count) => drop(judged.take(&mut kept, count)),
                Step::More => break,
                Step::Held => held = true,
                Step::Fault(fault) => {
                    let proper = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
                    assert_eq!(gate.step(proper), Step::Fault(fault), "nothing follows a fault");
                    judged.fault = Some(fault);
                    return judged;
                }
            }
        }
    }
    judged
}

impl Judged {
    fn take(&mut self, kept: &mut Vec<u8>, count: usize) -> Vec<u8> {
        assert!(count > 0 && count <= kept.len(), "{count} of {}", kept.len());
        self.seen += count;
        kept.drain(..count).collect()
    }
}
