//! Hashes of names, the same functions that the host has for parts of a request; and numbers by
//! chance.

use crate::host::Host;

/// CRC-32 as zlib computes it. For names, which are hashed once; hence without a table.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 }
        })
    })
}

/// The URL hash of the Cache Array Routing Protocol.
#[must_use]
pub fn carp(bytes: &[u8]) -> u32 {
    let step =
        |hash: u32, byte: &u8| hash.wrapping_add(hash.rotate_left(19)).wrapping_add((*byte).into());
    bytes.iter().fold(0, step)
}

/// The hash of a member of a CARP array.
#[must_use]
pub fn carp_member(name: &[u8]) -> u32 {
    spread(carp(name))
}

/// A member's score for a URL, both hashed, before its load factor.
#[must_use]
pub fn carp_score(url: u32, member: u32) -> u32 {
    spread(url ^ member)
}

fn spread(hash: u32) -> u32 {
    hash.wrapping_add(hash.wrapping_mul(0x6253_1965)).rotate_left(21)
}

/// FNV-1a, mixed by the finaliser of SplitMix64.
#[must_use]
pub fn fnv1a64_mixed(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The finaliser of SplitMix64: any change of a bit changes half of them.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A generator of random numbers that begins where the host's does, and then saves asking it.
#[derive(Debug, Default)]
pub struct Generator(Option<u64>);

impl Generator {
    /// The next number.
    pub fn next(&mut self, host: &impl Host) -> u64 {
        let state = match self.0 {
            Some(state) => state.wrapping_add(0x9e37_79b9_7f4a_7c15),
            None => host.random(),
        };
        self.0 = Some(state);
        mix(state)
    }
}

/// A number below `limit`, 0 if that is 0, from one that is evenly spread over all of its range.
#[must_use]
pub fn below(spread: u64, limit: u64) -> u64 {
    let scaled = (u128::from(spread) * u128::from(limit)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(carp(b"/a"), 0x0178_0090);
        let members = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"];
        let hashes = members.map(|name| carp_member(name.as_bytes()));
        assert_eq!(hashes, [0x4b4b_3904, 0x7817_8367, 0xa4c3_cdca]);
    }

    #[test]
    fn numbers_below_a_limit() {
        assert_eq!(below(u64::MAX, 3), 2);
        assert_eq!(below(0, 3), 0);
        assert_eq!(below(u64::MAX / 2, 4), 1);
        assert_eq!(below(u64::MAX, 0), 0);
    }
}
