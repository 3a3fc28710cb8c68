//! Key-value services that plugins may be granted. Knows nothing of Wasm.
//!
//! A store answers from any worker. Its operations may wait, each at most for the store's timeout.

mod memory;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::config::{self, StoreKind};

pub use memory::Memory;

/// The answer of an operation.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A key-value service.
pub trait Store: Send + Sync {
    /// The value of a key, or `None`.
    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>>;

    /// Sets a value, for that many milliseconds or until it is removed.
    fn set(&self, key: &str, value: Vec<u8>, expiry: Option<u64>) -> Answer<()>;

    /// Removes a key, if it is there.
    fn delete(&self, key: &str) -> Answer<()>;

    /// Adds to a decimal number, 0 if it is not there, and gives the sum.
    fn increment(&self, key: &str, amount: u64) -> Answer<u64>;
}

/// What goes wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached.
    #[error("the store cannot be reached")]
    Unavailable,
    /// The server did not answer in time.
    #[error("the store did not answer in time")]
    Timeout,
    /// The value, or all that the store holds, would be too large.
    #[error("the value is larger than the store takes")]
    TooLarge,
    /// Not a decimal number.
    #[error("the value is no decimal number")]
    NotANumber,
}

/// The longest key, as memcached has it.
const KEY_BYTES: usize = 250;

/// Whether a store may be asked for a key: 1 to 250 bytes without blanks and control characters,
/// which is memcached's rule and keeps keys from speaking its protocol.
#[must_use]
pub fn valid_key(key: &str) -> bool {
    let byte = |b: u8| b > b' ' && b != 0x7f;
    (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(byte)
}

/// Opens a configured store.
#[must_use]
pub fn open(settings: &config::Store) -> Arc<dyn Store> {
    match &settings.kind {
        StoreKind::Memory { entries, max_bytes, latency } => {
            Arc::new(Memory::new(entries, *max_bytes, *latency, settings.timeout))
        }
    }
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
