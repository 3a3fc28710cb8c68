//! What the log tells: errors of the store in words.

use crate::bindings::linkspan::plugin::keyvalue::Error;
use std::borrow::Cow;

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
    fn the_words_of_the_store_are_told() {
        let error = Error::Other("out of memory".to_owned());
        assert_eq!(in_words(&error), "its answer is of no use: out of memory");
    }
}
