//! Paths of request targets.

/// The longest target that the proxy can give a request: the library that holds it counts in 16
/// bits.
pub const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Whether a byte may stand in a path as it is (RFC 3986: a `pchar`, or a slash). A percent sign
/// may not: it begins an escape.
#[must_use]
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// Appends a byte, percent-encoded.
pub fn push_encoded(text: &mut String, byte: u8) {
    let digit =
        |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
    text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// Appends a text with its escapes resolved once. A percent sign that begins no escape stays.
pub fn push_decoded(bytes: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'%', [high, low, after @ ..]) if escaped(*high, *low).is_some() => {
                (after, bytes.extend(escaped(*high, *low)))
            }
            _ => (after, bytes.push(*first)),
        };
    }
}

/// The byte that two hexadecimal digits are.
#[must_use]
pub fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_once() {
        for (text, expected) in [
            ("/a%20b", &b"/a b"[..]),
            ("%2e%2E%25%32e", b"..%2e"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
            ("%ff\u{e9}", b"\xff\xc3\xa9"),
            ("", b""),
        ] {
            let mut bytes = Vec::new();
            push_decoded(&mut bytes, text);
            assert_eq!(bytes, expected, "{text}");
        }
    }

    #[test]
    fn bytes_are_encoded_in_capitals() {
        let mut text = String::new();
        [0, 0x2f, 0xfa].into_iter().for_each(|byte| push_encoded(&mut text, byte));
        assert_eq!(text, "%00%2F%FA");
        assert!(is_plain(b'/') && is_plain(b'~') && !is_plain(b'%') && !is_plain(b' '));
    }
}
