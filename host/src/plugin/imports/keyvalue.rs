//! `keyvalue`: the stores that a plugin is granted. The one import that waits.

use std::future::poll_fn;
use std::task::Poll;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::plugin::bindings::keyvalue::{self, Error};
use crate::plugin::guest::Guest;
use crate::store::{self, Answer, Store, valid_key};

/// A handle to a store: its number is the store's place among those granted, so that it needs no
/// table and is valid as long as the instance lives.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Bucket;

impl Guest {
    fn store(&self, bucket: &Resource<Bucket>) -> Result<&dyn Store> {
        let place = usize::try_from(bucket.rep())?;
        match self.identity.stores.get(place) {
            Some((_, store)) => Ok(store.as_ref()),
            None => Err(wasmtime::Error::msg("no such bucket")),
        }
    }

    /// Asks a store about a key.
    async fn ask<T>(
        &mut self,
        bucket: Resource<Bucket>,
        key: &str,
        operation: impl FnOnce(&dyn Store) -> Answer<T> + Send,
    ) -> Result<Result<T, Error>> {
        if !valid_key(key) {
            return Ok(Err(Error::InvalidKey));
        }
        let mut answer = operation(self.store(&bucket)?);
        let answer = match at_once(&mut answer).await {
            Some(answer) => answer,
            None => {
                let answer = answer.await;
                // The ticker may have gone to sleep meanwhile, and the guest goes on computing.
                self.identity.ticker.touch();
                self.clock.waited();
                answer
            }
        };
        Ok(answer.map_err(Error::from))
    }
}

/// The answer of a future that has one at once.
async fn at_once<T>(answer: &mut Answer<T>) -> Option<Result<T, store::Error>> {
    let poll = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
    match poll.await {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable => Self::Unavailable,
            store::Error::Timeout => Self::Timeout,
            store::Error::TooLarge => Self::TooLarge,
            store::Error::NotANumber => Self::NotANumber,
            store::Error::Other(words) => Self::Other(words),
        }
    }
}

impl keyvalue::Host for Guest {
    fn open(&mut self, name: String) -> Result<Result<Resource<Bucket>, Error>> {
        let mut stores = self.identity.stores.iter();
        let Some(place) = stores.position(|(granted, _)| **granted == *name) else {
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
        self.ask(bucket, &key, |store| store.get(&key)).await
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        expiry: Option<u64>,
    ) -> Result<Result<(), Error>> {
        self.ask(bucket, &key, |store| store.set(&key, value, expiry)).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Result<(), Error>> {
        self.ask(bucket, &key, |store| store.delete(&key)).await
    }

    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        amount: u64,
    ) -> Result<Result<u64, Error>> {
        self.ask(bucket, &key, |store| store.increment(&key, amount)).await
    }

    fn drop(&mut self, _bucket: Resource<Bucket>) -> Result<()> {
        Ok(())
    }
}
