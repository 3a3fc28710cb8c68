//! `[stores.*]`: key-value services that plugins can be granted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Address, Name};

/// The longest key, as memcached has it.
const KEY_BYTES: usize = 250;

/// What an entry of a store in memory costs besides its key and value.
pub const ENTRY_BYTES: usize = 128;

/// A key-value service offered to plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// NAME of `[stores.NAME]`.
    pub name: Name,
    /// What serves it.
    pub kind: StoreKind,
    /// The longest an operation may take. Default 50 ms.
    pub timeout: Duration,
    /// The largest value. Default 1 MiB.
    pub max_value_bytes: usize,
}

/// What serves a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// This process's memory.
    Memory {
        /// What it holds at first, without expiry. The keys are valid.
        entries: BTreeMap<String, String>,
        /// The most bytes of keys and values, with [`ENTRY_BYTES`] for each. Default 64 MiB.
        max_bytes: usize,
        /// Added to each operation, to see how a slow store behaves. Default none.
        latency: Duration,
    },
    /// memcached servers.
    Memcached(Memcached),
}

/// The servers of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memcached {
    /// At least one, each once; a key belongs to one of them.
    pub servers: Vec<Address>,
    /// The most connections of a worker to a server, 1 to 65,535. Default 256.
    pub max_connections: usize,
    /// How long an unused connection is kept. Default 60 s.
    pub idle_timeout: Duration,
}

/// Whether a store may be asked for a key: 1 to 250 bytes without blanks and control characters,
/// which is memcached's rule and keeps keys from speaking its protocol.
#[must_use]
pub fn valid_key(key: &str) -> bool {
    let byte = |b: u8| b > b' ' && b != 0x7f;
    (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_speak_the_protocol_are_refused() {
        for key in ["", "a b", "a\r\nflush_all", "a\0", "\u{7f}", &"k".repeat(251)] {
            assert!(!valid_key(key), "{key:?}");
        }
        for key in ["http://a.test:80/", "ä", &"k".repeat(250)] {
            assert!(valid_key(key), "{key:?}");
        }
    }
}
