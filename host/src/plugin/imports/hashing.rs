//! `hashing`: named hashes over parts of the running request.

use std::net::IpAddr;

use smallvec::SmallVec;
use wasmtime::Result;

use crate::plugin::bindings::hashing::{self, Key};
use crate::plugin::convert;
use crate::plugin::exchange::Hashed;
use crate::plugin::guest::Guest;

impl Guest {
    /// Hashes a part of the request, if it has it. Where that is traced, the call's trail has it.
    fn hash<T>(&mut self, key: &Key, hash: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>
    where
        T: Copy + Into<u64>,
    {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return self.hash_of(key, hash);
        }
        let hash = self.hash_of(key, hash)?;
        if let Some(exchange) = &mut self.exchange {
            exchange.trail.hashed =
                Some(Hashed { key: described(key), hash: hash.map(Into::into) });
        }
        Ok(hash)
    }

    fn hash_of<T>(&self, key: &Key, hash: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let exchange = self.exchange()?;
        let headers = &exchange.request.headers;
        Ok(match key {
            // A TCP connection has neither.
            Key::Path | Key::Authority if exchange.stream.is_some() => None,
            Key::Path => Some(hash(&convert::decoded(exchange.request.uri.path()))),
            Key::Authority => {
                let mut authority: SmallVec<[u8; 64]> = exchange.authority.as_bytes().into();
                authority.make_ascii_lowercase();
                Some(hash(&authority))
            }
            Key::ClientAddress => {
                match exchange.connection.client.map(|client| client.ip().to_canonical()) {
                    Some(IpAddr::V4(address)) => Some(hash(&address.octets())),
                    Some(IpAddr::V6(address)) => Some(hash(&address.octets())),
                    None => None,
                }
            }
            Key::Header(name) => headers.get(name).map(|value| hash(value.as_bytes())),
            Key::Cookie(name) => convert::cookie(headers, name).map(hash),
        })
    }
}

/// What is hashed, in words.
fn described(key: &Key) -> String {
    match key {
        Key::Path => "path".to_owned(),
        Key::Authority => "authority".to_owned(),
        Key::ClientAddress => "client-address".to_owned(),
        Key::Header(name) => format!("header {}", shortened(name)),
        Key::Cookie(name) => format!("cookie {}", shortened(name)),
    }
}

/// As much of a guest's word as a line bears.
fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(100)).unwrap_or_default()
}

impl hashing::Host for Guest {
    fn crc32(&mut self, key: Key) -> Result<Option<u32>> {
        self.hash(&key, crc32)
    }

    fn carp(&mut self, key: Key) -> Result<Option<u32>> {
        self.hash(&key, carp)
    }

    fn fnv1a64_mixed(&mut self, key: Key) -> Result<Option<u64>> {
        self.hash(&key, fnv1a64_mixed)
    }
}

/// The reflected CRC-32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    const fn table() -> [u32; 256] {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "less than 256")]
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                table[at] = value;
            }
            at += 1;
        }
        table
    }
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// The URL hash of draft-vinod-carp-v1-03.
fn carp(bytes: &[u8]) -> u32 {
    let step =
        |hash: u32, byte: &u8| hash.wrapping_add(hash.rotate_left(19)).wrapping_add((*byte).into());
    bytes.iter().fold(0, step)
}

/// FNV-1a, then SplitMix64's finaliser.
fn fnv1a64_mixed(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_give_their_published_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(carp(b"/a"), 0x0178_0090);
        assert_eq!(carp(b""), 0);
        assert_ne!(fnv1a64_mixed(b"a") >> 32, fnv1a64_mixed(b"b") >> 32);
    }
}
