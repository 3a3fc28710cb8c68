//! Which bytes may stand where, and finding those that may not.

/// Eight times the same byte.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = all(0x80);

/// The place of the first control character at or after `from`: a byte below a blank, or DEL.
/// Eight bytes at a time: a head has a few hundred.
#[inline]
pub(super) fn control(bytes: &[u8], from: usize) -> Option<usize> {
    const BELOW: u64 = all(0x20);
    const DEL: u64 = all(0x7f);
    const ONES: u64 = all(1);
    let rest = bytes.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let dels = word ^ DEL;
        // The lowest bit that is set is right in both; a borrow can only spoil those above it.
        let found = (word.wrapping_sub(BELOW) & !word | dels.wrapping_sub(ONES) & !dels) & HIGH;
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|byte| is_control(*byte)).map(|place| at + place)
}

/// How many bytes a token at the beginning has.
///
/// Names are letters and hyphens, of which eight are looked at together; what is neither, or the end,
/// is looked at by itself.
#[inline]
pub(super) fn token_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // Without their high bits no byte carries into the next.
        let lower = (word | all(0x20)) & !HIGH;
        let letters = (lower + all(0x80 - b'a')) & !(lower + all(0x7f - b'z'));
        let hyphens = !((word ^ all(b'-')) & !HIGH).wrapping_add(all(0x7f));
        let others = !(letters | hyphens) & HIGH | word & HIGH;
        if others != 0 {
            at += (others.trailing_zeros() / 8) as usize;
            break;
        }
        at += 8;
    }
    // A colon is what nearly all end with.
    while bytes.get(at).is_some_and(|byte| *byte != b':' && is_token(*byte)) {
        at += 1;
    }
    at
}

/// Whether it is a control character.
pub(super) fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Whether it may be part of a token (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether it may be part of a target. More than RFC 3986 has: browsers send `|`, braces and more as
/// they are.
pub(super) fn is_target(byte: u8) -> bool {
    TARGET.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether it may be part of a target, wherever: one mark is valid in queries alone, one in paths.
pub(super) fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The bytes without blanks around them.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[expect(clippy::indexing_slicing, reason = "while compiling")]
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        let mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        table[byte as usize] = mark || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "while compiling")]
const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        table[byte as usize] = !matches!(byte, b'#' | b'<' | b'>');
        byte += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "while compiling")]
const PLAIN: [bool; 256] = {
    let mut table = TARGET;
    table[b'`' as usize] = false;
    table[b'"' as usize] = false;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_control_is_found_wherever_it_is(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            visible in proptest::collection::vec(0x20_u8..0x7f, 0..40),
            from in 0_usize..90,
        ) {
            let all = [&visible[..], &bytes].concat();
            let plain = all.iter().enumerate().skip(from).find(|(_, byte)| is_control(**byte));
            prop_assert_eq!(control(&all, from), plain.map(|(place, _)| place));
        }
    }

    proptest! {
        #[test]
        fn a_token_ends_where_its_bytes_say(
            name in "[A-Za-z0-9_!#-]{0,30}",
            rest in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let all = [name.as_bytes(), &rest].concat();
            let plain = all.iter().position(|byte| !is_token(*byte)).unwrap_or(all.len());
            prop_assert_eq!(token_end(&all), plain);
        }
    }

    #[test]
    fn blanks_are_trimmed_and_nothing_else() {
        for (given, expected) in
            [("", ""), (" \t", ""), ("a", "a"), (" a b\t", "a b"), ("\u{b}a", "\u{b}a")]
        {
            assert_eq!(trim(given.as_bytes()), expected.as_bytes(), "{given:?}");
        }
    }
}
