//! Key-value services that plugins may be granted. Knows nothing of Wasm.
//!
//! A store answers from any worker. Its operations may wait, each at most for the store's timeout.

mod memcached;
mod memory;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, StoreKind, valid_key};
use crate::dns::Inquiries;
use crate::metrics::{Metrics, Operation, Outcome, StoreMetrics};

use memcached::{Memcached, Watch};
use memory::Memory;

/// The answer of an operation.
type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What serves a store. Keys are valid.
trait Service: Send + Sync {
    /// The value of a key, or `None`.
    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>>;

    /// What this worker has learnt of a key at most that long ago, or else what `get` gives. A service
    /// that answers out of this process has no need to remember anything.
    fn get_recent(&self, key: &str, _max_age: Duration, _reader: Reader) -> Answer<Found> {
        let value = self.get(key);
        Box::pin(async { value.await.map(|value| Found { value, remembered: false }) })
    }

    /// Sets a value, for that many milliseconds or until it is removed.
    fn set(&self, key: &str, value: Vec<u8>, expiry: Option<u64>) -> Answer<()>;

    /// Removes a key, if it is there.
    fn delete(&self, key: &str) -> Answer<()>;

    /// Adds to a decimal number, 0 if it is not there, and gives the sum.
    fn increment(&self, key: &str, amount: u64) -> Answer<u64>;
}

/// A key-value service.
pub struct Store {
    service: Box<dyn Service>,
    metrics: Arc<StoreMetrics>,
}

/// For whom keys are remembered: what one has asked for is never told the other without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Those that decide.
    Deciding,
    /// Those that are called beside them, and are to change nothing.
    Beside,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// Its value, or `None`.
    value: Option<Vec<u8>>,
    /// Whether it was told without asking the server for it.
    remembered: bool,
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
    /// Nothing that may be asked for.
    #[error("the key is not 1 to 250 bytes without blanks and control characters")]
    InvalidKey,
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

impl Store {
    /// Opens a configured store. Names of servers are asked for through `names`.
    #[must_use]
    pub fn open(settings: &config::Store, names: &Inquiries, metrics: &Metrics) -> Self {
        let metrics = metrics.store(&settings.name);
        let bounds = Bounds { timeout: settings.timeout, max_value: settings.max_value_bytes };
        let service: Box<dyn Service> = match &settings.kind {
            StoreKind::Memory { entries, max_bytes, latency } => {
                Box::new(Memory::new(entries, *max_bytes, *latency, bounds))
            }
            StoreKind::Memcached(of) => {
                let watch = |address: &_| Watch::new(&settings.name, address, &metrics);
                Box::new(Memcached::new(of, bounds, names, watch))
            }
        };
        Self { service, metrics }
    }

    /// One that holds nothing, and that nobody else has.
    #[must_use]
    pub fn scratch() -> Self {
        let bounds = Bounds { timeout: Duration::from_secs(1), max_value: 1 << 20 };
        let service = Memory::new(&BTreeMap::new(), 1 << 20, Duration::ZERO, bounds);
        Self { service: Box::new(service), metrics: Arc::default() }
    }

    /// The value of a key, or `None`.
    ///
    /// # Errors
    ///
    /// If that cannot be told.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let found = match valid_key(key) {
            true => self.service.get(key).await,
            false => Err(Error::InvalidKey),
        };
        let outcome = |found: &Option<_>| found.as_ref().map_or(Outcome::Miss, |_| Outcome::Hit);
        self.count(Operation::Get, &found, outcome);
        found
    }

    /// The value of a key, or `None`, as this worker has learnt it for such readers at most `max_age` ago;
    /// else as [`get`](Self::get) gives it, which is then remembered. Look-ups of a key at the same time
    /// are one.
    ///
    /// # Errors
    ///
    /// If that cannot be told. No error is remembered.
    pub async fn get_recent(
        &self,
        key: &str,
        max_age: Duration,
        reader: Reader,
    ) -> Result<Option<Vec<u8>>, Error> {
        let found = match valid_key(key) {
            true => self.service.get_recent(key, max_age, reader).await,
            false => Err(Error::InvalidKey),
        };
        let outcome = |found: &Found| match found {
            Found { remembered: true, .. } => Outcome::Remembered,
            Found { value: Some(_), .. } => Outcome::Hit,
            Found { value: None, .. } => Outcome::Miss,
        };
        self.count(Operation::Get, &found, outcome);
        found.map(|found| found.value)
    }

    /// Sets a value, for that many milliseconds or until it is removed.
    ///
    /// # Errors
    ///
    /// If that is not certain to have been done.
    pub async fn set(&self, key: &str, value: Vec<u8>, expiry: Option<u64>) -> Result<(), Error> {
        let done = match valid_key(key) {
            true => self.service.set(key, value, expiry).await,
            false => Err(Error::InvalidKey),
        };
        self.count(Operation::Set, &done, |()| Outcome::Done);
        done
    }

    /// Removes a key, if it is there.
    ///
    /// # Errors
    ///
    /// If that is not certain to have been done.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let done = match valid_key(key) {
            true => self.service.delete(key).await,
            false => Err(Error::InvalidKey),
        };
        self.count(Operation::Delete, &done, |()| Outcome::Done);
        done
    }

    /// Adds to a decimal number, 0 if it is not there, and gives the sum.
    ///
    /// # Errors
    ///
    /// If that is not certain to have been done.
    pub async fn increment(&self, key: &str, amount: u64) -> Result<u64, Error> {
        let sum = match valid_key(key) {
            true => self.service.increment(key, amount).await,
            false => Err(Error::InvalidKey),
        };
        self.count(Operation::Increment, &sum, |_| Outcome::Done);
        sum
    }

    fn count<T>(
        &self,
        operation: Operation,
        answer: &Result<T, Error>,
        outcome: impl Fn(&T) -> Outcome,
    ) {
        let outcome = match answer {
            Ok(value) => outcome(value),
            Err(Error::Unavailable) => Outcome::Unavailable,
            Err(Error::Timeout) => Outcome::Timeout,
            Err(Error::InvalidKey) => Outcome::InvalidKey,
            Err(Error::TooLarge) => Outcome::TooLarge,
            Err(Error::NotANumber) => Outcome::NotANumber,
            Err(Error::Other(_)) => Outcome::Other,
        };
        self.metrics.operation(operation, outcome);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What bounds each operation of a store.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The longest that it takes.
    timeout: Duration,
    /// The most bytes of a value.
    max_value: usize,
}
