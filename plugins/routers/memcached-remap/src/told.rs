//! What the log tells: values of the store in quotes, and its errors in words.

use crate::bindings::linkspan::plugin::keyvalue::Error;
use std::borrow::Cow;

/// The most of a value that is told.
const MOST: usize = 100;

/// A value, or its beginning and how long it is, without what a terminal could take for more than
/// text.
pub(crate) fn quoted(value: &[u8]) -> String {
    match value.split_at_checked(MOST) {
        Some((beginning, [_, ..])) => {
            format!("\"{}\"... ({} bytes)", beginning.escape_ascii(), value.len())
        }
        _ => format!("\"{}\"", value.escape_ascii()),
    }
}

/// What went wrong with a store.
pub(crate) fn in_words(error: &Error) -> Cow<'static, str> {
    Cow::Borrowed(match error {
        Error::NoSuchStore => "it is not granted",
        Error::Unavailable => "it is down or out of reach",
        Error::Timeout => "it took longer than its `timeout`",
        Error::InvalidKey => "that cannot be a key",
        Error::TooLarge => "the value is larger than its `max-value`",
        Error::NotANumber => "the value is no number",
        Error::Other(words) => return format!("its answer is of no use: {words}").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_of_bounded_length() {
        assert_eq!(quoted(b""), "\"\"");
        assert_eq!(quoted(b"a \"b\"\r\n\x1b[31m\xff"), r#""a \"b\"\r\n\x1b[31m\xff""#);
        assert_eq!(quoted(&[b'a'; 100]), format!("\"{}\"", "a".repeat(100)));
        assert_eq!(quoted(&[b'a'; 101]), format!("\"{}\"... (101 bytes)", "a".repeat(100)));
        assert!(quoted(&[0; 1 << 20]).len() < 450);
    }

    #[test]
    fn the_words_of_the_store_are_told() {
        let error = Error::Other("out of memory".to_owned());
        assert_eq!(in_words(&error), "its answer is of no use: out of memory");
    }
}
