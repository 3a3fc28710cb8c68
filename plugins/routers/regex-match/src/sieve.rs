//! Which patterns can match at all: most begin with `^` and a text, or end with a text and `$`, and need that at
//! one end of the path. Where there are many, that tells of nearly all of them, without a search.

use regex_syntax::hir::{Class, ClassBytes, Hir, HirKind, Look};

/// What a path has to have at one of its ends, in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To begin with.
    Front(Vec<u8>),
    /// To end with, the last byte first.
    Back(Vec<u8>),
}

/// The most bytes of a need: more of them tell no more.
const LONGEST: usize = 64;

impl Need {
    /// What a pattern needs, if that is plain to see.
    pub(crate) fn of(pattern: &Hir) -> Option<Self> {
        let HirKind::Concat(parts) = pattern.kind() else { return None };
        if let [start, rest @ ..] = parts.as_slice()
            && *start.kind() == HirKind::Look(Look::Start)
        {
            let plain = rest.iter().map_while(plain).flatten();
            let front: Vec<u8> = plain.take(LONGEST).collect();
            if !front.is_empty() {
                return Some(Self::Front(front));
            }
        }
        if let [rest @ .., end] = parts.as_slice()
            && *end.kind() == HirKind::Look(Look::End)
        {
            let plain = rest.iter().rev().map_while(plain);
            let back = plain.flat_map(|part| part.into_iter().rev());
            let back: Vec<u8> = back.take(LONGEST).collect();
            if !back.is_empty() {
                return Some(Self::Back(back));
            }
        }
        None
    }
}

/// The bytes that a part stands for, in lower case, if it is a text, or a letter in both of its cases.
fn plain(part: &Hir) -> Option<Vec<u8>> {
    match part.kind() {
        HirKind::Literal(text) => Some(text.0.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => letter(class).map(|letter| vec![letter]),
        _ => None,
    }
}

fn letter(class: &ClassBytes) -> Option<u8> {
    match class.ranges() {
        [upper, lower]
            if (upper.start(), lower.start()) == (upper.end(), lower.end())
                && upper.start().to_ascii_lowercase() == lower.start() =>
        {
            Some(lower.start())
        }
        _ => None,
    }
}

/// The needs of chunks of patterns.
#[derive(Default)]
pub(crate) struct Sieve {
    front: End,
    back: End,
}

impl Sieve {
    /// Notes what one of a chunk's patterns needs.
    pub(crate) fn add(&mut self, need: &Need, chunk: usize) {
        match need {
            Need::Front(bytes) => self.front.add(bytes, chunk),
            Need::Back(bytes) => self.back.add(bytes, chunk),
        }
    }

    /// Makes it ready to be asked.
    pub(crate) fn finish(mut self) -> Self {
        for end in [&mut self.front, &mut self.back] {
            end.lengths.sort_unstable();
            end.lengths.dedup();
            end.chunks.sort_unstable();
            end.chunks.dedup();
        }
        self
    }

    /// Marks the chunks of which a pattern may match; perhaps one too many, never one too few.
    pub(crate) fn mark(&self, path: &[u8], marks: &mut [bool]) {
        marks.fill(false);
        self.front.mark(path.iter(), marks);
        self.back.mark(path.iter().rev(), marks);
    }
}

/// What is needed at one end.
#[derive(Default)]
struct End {
    /// How many bytes are needed, ascending.
    lengths: Vec<usize>,
    /// The hashes of these, ascending, each with a chunk of which a pattern needs them.
    chunks: Vec<(u64, usize)>,
}

/// FNV-1a, byte by byte.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl End {
    fn add(&mut self, bytes: &[u8], chunk: usize) {
        self.lengths.push(bytes.len());
        let hash = bytes.iter().fold(BASIS, |hash, byte| step(hash, *byte));
        self.chunks.push((hash, chunk));
    }

    fn mark<'p>(&self, path: impl Iterator<Item = &'p u8>, marks: &mut [bool]) {
        let (mut path, mut hash, mut done) = (path, BASIS, 0);
        for length in &self.lengths {
            for byte in path.by_ref().take(length - done) {
                hash = step(hash, byte.to_ascii_lowercase());
                done += 1;
            }
            if done < *length {
                return;
            }
            let start = self.chunks.partition_point(|(known, _)| *known < hash);
            let found = self.chunks.iter().skip(start).take_while(|(known, _)| *known == hash);
            for (_, chunk) in found {
                if let Some(mark) = marks.get_mut(*chunk) {
                    *mark = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::parsed;

    #[test]
    fn what_a_pattern_needs_is_plain_to_see_or_not_told() {
        let need = |text: &str| Need::of(&parsed(text).unwrap());
        let front = |text: &str| Some(Need::Front(text.as_bytes().to_vec()));
        let back = |text: &str| Some(Need::Back(text.bytes().rev().collect()));
        for (pattern, expected) in [
            ("^/App1/.*\\.PHP$", front("/app1/")),
            ("^/[Aa]b", front("/ab")),
            ("\\.Php$", back(".php")),
            ("^a$", front("a")),
            ("^/a{2,3}", front("/")),
            ("^/(ab)", front("/")),
            ("^[ab].*b$", back("b")),
        ] {
            assert_eq!(need(pattern), expected, "{pattern}");
        }
        for pattern in
            ["", "^", "$", "/a", "^a|^b", "(?m)^a", "(?m:a$)", "^[ab]", "^.a", "^(/a)", "(^/a)"]
        {
            assert_eq!(need(pattern), None, "{pattern}");
        }
    }
}
