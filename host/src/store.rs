//! Key-value services that plugins may be granted. Knows nothing of Wasm.
//!
//! A store answers from any worker. Its operations may wait, each at most for the store's timeout.

mod memcached;
mod memory;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, StoreKind};
use crate::dns::Inquiries;

pub use crate::config::valid_key;

use memcached::Memcached;
use memory::Memory;

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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The store refused, or answered what makes no sense.
    #[error("{0}")]
    Other(String),
}

/// What bounds each operation of a store.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The longest that it takes.
    timeout: Duration,
    /// The most bytes of a value.
    max_value: usize,
}

impl Bounds {
    fn of(settings: &config::Store) -> Self {
        Self { timeout: settings.timeout, max_value: settings.max_value_bytes }
    }
}

/// Opens a configured store. Names of servers are asked for through `names`.
#[must_use]
pub fn open(settings: &config::Store, names: &Inquiries) -> Arc<dyn Store> {
    match &settings.kind {
        StoreKind::Memory { entries, max_bytes, latency } => {
            Arc::new(Memory::new(entries, *max_bytes, *latency, Bounds::of(settings)))
        }
        StoreKind::Memcached(memcached) => {
            Arc::new(Memcached::new(memcached, Bounds::of(settings), names))
        }
    }
}
