//! Request ids: unique without asking anybody, cheap to make.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Names one request in logs and towards upstreams: 32 hexadecimal digits.
///
/// Not a secret: the next one can be told from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    issuer: u64,
    number: u64,
}

impl RequestId {
    /// The digits.
    #[must_use]
    pub fn digits(self) -> [u8; 32] {
        let value = u128::from(self.issuer) << 64 | u128::from(self.number);
        let mut digits = [0; 32];
        let bytes = value.to_be_bytes();
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.issuer, self.number)
    }
}

/// Makes the ids of one worker.
#[derive(Debug)]
pub struct RequestIds {
    next: RequestId,
}

impl RequestIds {
    /// Starts at a random number of a random issuer.
    #[must_use]
    pub fn new() -> Self {
        // The keys of a hasher are random; that is all the randomness this needs.
        let random = || RandomState::new().hash_one(0);
        Self { next: RequestId { issuer: random(), number: random() } }
    }

    /// A new id.
    pub fn issue(&mut self) -> RequestId {
        let id = self.next;
        self.next.number = id.number.wrapping_add(1);
        id
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

    #[test]
    fn ids_differ_and_look_the_same_either_way() {
        let (mut one, mut other) = (RequestIds::new(), RequestIds::new());
        let ids = [one.issue(), one.issue(), other.issue()];
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ids[0].issuer, ids[2].issuer);
        for id in ids {
            assert_eq!(id.to_string().as_bytes(), id.digits());
        }
        let id = RequestId { issuer: 1, number: 0xabc };
        assert_eq!(id.to_string(), "00000000000000010000000000000abc");
    }
}
