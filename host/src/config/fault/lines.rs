//! A text with its lines, so that many places are told in it without counting through all of it
//! each time: a file can be as large as its faults are many.

use std::cell::OnceCell;

/// The bytes that are counted together.
const PIECE_BYTES: usize = 4_096;

/// A text, and how many lines end before each of its pieces, once somebody has asked.
pub(in crate::config) struct Lines<'t> {
    text: &'t str,
    breaks: OnceCell<Vec<usize>>,
}

impl<'t> Lines<'t> {
    /// The lines of a text.
    pub(in crate::config) fn of(text: &'t str) -> Self {
        Self { text, breaks: OnceCell::new() }
    }

    /// The text.
    pub(in crate::config) fn text(&self) -> &'t str {
        self.text
    }

    /// The number of the line, from 1, in which a byte stands.
    pub(super) fn number(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let breaks = self.breaks.get_or_init(|| {
            let mut sum = 0;
            let sums = bytes.chunks(PIECE_BYTES).map(|piece| {
                sum += newlines(piece);
                sum
            });
            std::iter::once(0).chain(sums).collect()
        });
        let piece = at / PIECE_BYTES;
        let before = breaks.get(piece).copied().unwrap_or_default();
        let rest = bytes.get(piece * PIECE_BYTES..at).unwrap_or_default();
        before + newlines(rest) + 1
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_any_piece() {
        let whole = "a\n".repeat(PIECE_BYTES);
        for text in [&whole[..], &whole[1..], &whole[..PIECE_BYTES], "\n", ""] {
            let lines = Lines::of(text);
            for at in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, text.len()] {
                let Some(before) = text.get(..at) else { continue };
                assert_eq!(lines.number(at), before.matches('\n').count() + 1, "{at}");
            }
        }
    }
}
