//! Request ids: unique without asking anybody, cheap to make; or as a client gave them that is
//! trusted to.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use http::HeaderValue;

/// The longest id that is taken from a client.
const MAX_GIVEN_BYTES: usize = 128;

/// Names one request in logs and towards upstreams: 32 hexadecimal digits, or what a client gave.
///
/// Not a secret: the next one can be told from this one. Cloning allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Form);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    Made { issuer: u64, number: u64 },
    Given(HeaderValue),
}

impl RequestId {
    /// The id that a client gives: 1 to 128 visible ASCII characters, of which none is a quote or
    /// a backslash, so that it looks the same wherever it is written. `None` for any other value.
    #[must_use]
    pub fn given(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
        let fits = (1..=MAX_GIVEN_BYTES).contains(&bytes.len()) && bytes.iter().all(plain);
        fits.then(|| Self(Form::Given(value.clone())))
    }

    /// Appends it.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Made { issuer, number } => out.extend_from_slice(&digits(*issuer, *number)),
            Form::Given(value) => out.extend_from_slice(value.as_bytes()),
        }
    }

    /// It as X-Request-Id.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        match &self.0 {
            Form::Made { issuer, number } => HeaderValue::from_bytes(&digits(*issuer, *number))
                .unwrap_or_else(|_digits_are_fine| HeaderValue::from_static("unknown")),
            Form::Given(value) => value.clone(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Made { issuer, number } => write!(formatter, "{issuer:016x}{number:016x}"),
            Form::Given(value) => formatter.write_str(value.to_str().unwrap_or_default()),
        }
    }
}

fn digits(issuer: u64, number: u64) -> [u8; 32] {
    let value = u128::from(issuer) << 64 | u128::from(number);
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
    digits
}

/// Makes the ids of one worker.
#[derive(Debug)]
pub struct RequestIds {
    issuer: u64,
    number: u64,
}

impl RequestIds {
    /// Starts at a random number of a random issuer.
    #[must_use]
    pub fn new() -> Self {
        // The keys of a hasher are random; that is all the randomness this needs.
        let random = || RandomState::new().hash_one(0);
        Self { issuer: random(), number: random() }
    }

    /// A new id.
    pub fn issue(&mut self) -> RequestId {
        let number = self.number;
        self.number = number.wrapping_add(1);
        RequestId(Form::Made { issuer: self.issuer, number })
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: &RequestId) -> String {
        let mut out = Vec::new();
        id.append_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ids_differ_and_look_the_same_everywhere() {
        let (mut one, mut other) = (RequestIds::new(), RequestIds::new());
        let ids = [one.issue(), one.issue(), other.issue()];
        assert_ne!(ids[0], ids[1]);
        assert_ne!(written(&ids[0])[..16], written(&ids[2])[..16]);
        let given = RequestId::given(&HeaderValue::from_static("a-b:C/7")).unwrap();
        for id in ids.iter().chain([&given]) {
            assert_eq!(id.to_string(), written(id));
            assert_eq!(id.header(), written(id).as_str());
        }
        let id = RequestId(Form::Made { issuer: 1, number: 0xabc });
        assert_eq!(id.to_string(), "00000000000000010000000000000abc");
    }

    #[test]
    fn what_could_be_mistaken_is_not_taken_for_an_id() {
        let given =
            |text: &str| RequestId::given(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
        assert!(given(&"x".repeat(128)).is_some());
        for text in ["", "a b", "a\"b", "a'b", "a\\b", "é", "a\tb", &"x".repeat(129)] {
            assert_eq!(given(text), None, "{text:?}");
        }
    }
}
