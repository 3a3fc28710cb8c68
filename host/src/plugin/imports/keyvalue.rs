//! `keyvalue`: the stores that a plugin is granted. The one import that waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::metrics::Denied;
use crate::plugin::bindings::keyvalue::{self, Error};
use crate::plugin::guest::Guest;
use crate::store::{self, Reader, Store};

/// A handle to a store: its number is the store's place among those granted, so that it needs no
/// table and is valid as long as the instance lives.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Bucket;

impl Guest {
    fn store(&self, bucket: &Resource<Bucket>) -> Result<Arc<Store>> {
        let place = usize::try_from(bucket.rep())?;
        match self.identity.given.stores.get(place) {
            Some((_, store)) => Ok(Arc::clone(store)),
            None => Err(wasmtime::Error::msg("no such bucket")),
        }
    }

    /// The same, to write to it.
    fn writable(&self, bucket: &Resource<Bucket>) -> Result<Result<Arc<Store>, Error>> {
        let store = self.store(bucket)?;
        if self.identity.given.writes {
            return Ok(Ok(store));
        }
        Ok(Err(Error::Other("a shadow writes to no store".to_owned())))
    }

    /// Waits for an operation, if it has no answer at once.
    async fn wait<T>(
        &mut self,
        operation: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<Result<T, Error>> {
        let mut operation = pin!(operation);
        let at_once = poll_fn(|context| Poll::Ready(operation.as_mut().poll(context)));
        let answer = match at_once.await {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let answer = operation.await;
                // The ticker may have gone to sleep meanwhile, and the guest goes on computing.
                self.identity.given.ticker.touch();
                self.clock.waited();
                answer
            }
        };
        Ok(answer.map_err(Error::from))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable => Self::Unavailable,
            store::Error::Timeout => Self::Timeout,
            store::Error::InvalidKey => Self::InvalidKey,
            store::Error::TooLarge => Self::TooLarge,
            store::Error::NotANumber => Self::NotANumber,
            store::Error::Other(words) => Self::Other(words),
        }
    }
}

impl keyvalue::Host for Guest {
    fn open(&mut self, name: String) -> Result<Result<Resource<Bucket>, Error>> {
        let mut stores = self.identity.given.stores.iter();
        let Some(place) = stores.position(|(granted, _)| **granted == *name) else {
            self.identity.given.metrics.denied(Denied::Store);
            return Ok(Err(Error::NoSuchStore));
        };
        Ok(Ok(Resource::new_own(u32::try_from(place)?)))
    }
}

impl keyvalue::HostBucket for Guest {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let store = self.store(&bucket)?;
        self.wait(store.get(&key)).await
    }

    async fn get_recent(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        max_age: u64,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let store = self.store(&bucket)?;
        let reader = if self.identity.given.writes { Reader::Deciding } else { Reader::Beside };
        self.wait(store.get_recent(&key, Duration::from_millis(max_age), reader)).await
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        expiry: Option<u64>,
    ) -> Result<Result<(), Error>> {
        let store = match self.writable(&bucket)? {
            Ok(store) => store,
            Err(denied) => return Ok(Err(denied)),
        };
        self.wait(store.set(&key, value, expiry)).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Result<(), Error>> {
        let store = match self.writable(&bucket)? {
            Ok(store) => store,
            Err(denied) => return Ok(Err(denied)),
        };
        self.wait(store.delete(&key)).await
    }

    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        amount: u64,
    ) -> Result<Result<u64, Error>> {
        let store = match self.writable(&bucket)? {
            Ok(store) => store,
            Err(denied) => return Ok(Err(denied)),
        };
        self.wait(store.increment(&key, amount)).await
    }

    fn drop(&mut self, _bucket: Resource<Bucket>) -> Result<()> {
        Ok(())
    }
}
