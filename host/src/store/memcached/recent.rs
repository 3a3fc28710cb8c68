//! What one worker has learnt of keys of late.
//!
//! One look-up of a key is under way at a time, and who comes meanwhile shares it. So answers become
//! known in the order in which they were asked for, and whoever has seen a change is not told
//! again what was before it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use crate::store::{Error, Found};

/// The most keys; the one that was asked for the longest ago goes.
const MOST: usize = 1_024;

/// The most bytes of a value that is remembered.
const LONGEST: usize = 4 * 1_024;

/// The keys that somebody has asked for.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Arc<str>, Entry>,
    by_age: BTreeMap<u64, Arc<str>>,
    /// How many have been asked for.
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    turn: u64,
    learnt: Arc<OnceCell<Learnt>>,
}

/// What a server has said, and when that was. An error is never kept.
#[derive(Debug)]
struct Learnt {
    value: Option<Vec<u8>>,
    at: Instant,
}

impl Recent {
    /// What was learnt of a key at most `max_age` ago, or else what `ask` finds out now. Of those
    /// who want to know at the same time one asks, and another only if that one fails or leaves.
    ///
    /// # Errors
    ///
    /// Those of `ask`, and [`Error::Timeout`] if another's has taken until then.
    pub(super) async fn get<A: Future<Output = Result<Option<Vec<u8>>, Error>>>(
        &self,
        key: &str,
        max_age: Duration,
        until: Instant,
        ask: impl FnOnce() -> A,
    ) -> Result<Found, Error> {
        let learnt = self.known().entry(key, max_age);
        let mut remembered = true;
        let ask = || {
            remembered = false;
            let answer = ask();
            async { answer.await.map(|value| Learnt { value, at: Instant::now() }) }
        };
        let answer = timeout_at(until, learnt.get_or_try_init(ask)).await;
        let value = match answer {
            Ok(Ok(Learnt { value, .. })) => value.clone(),
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => return Err(Error::Timeout),
        };
        if value.as_ref().is_some_and(|value| value.len() > LONGEST) {
            self.known().forget(key, Some(&learnt));
        }
        Ok(Found { value, remembered })
    }

    /// Forgets a key when what is returned is dropped, be that because a change of it is done, has
    /// failed or was given up. A look-up that is under way then is shared no further.
    pub(super) fn forgetting<'a>(&'a self, key: &'a str) -> Forgetting<'a> {
        Forgetting { recent: self, key }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is known of a key, if it is not too old, or where that will be.
    fn entry(&mut self, key: &str, max_age: Duration) -> Arc<OnceCell<Learnt>> {
        if let Some(Entry { learnt, .. }) = self.entries.get(key)
            && learnt.get().is_none_or(|learnt| learnt.at.elapsed() <= max_age)
        {
            return Arc::clone(learnt);
        }
        self.forget(key, None);
        if self.entries.len() >= MOST
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.turn += 1;
        let (key, learnt) = (Arc::<str>::from(key), Arc::<OnceCell<_>>::default());
        self.by_age.insert(self.turn, Arc::clone(&key));
        self.entries.insert(key, Entry { turn: self.turn, learnt: Arc::clone(&learnt) });
        learnt
    }

    /// Forgets a key, whatever is known of it or only that.
    fn forget(&mut self, key: &str, only: Option<&Arc<OnceCell<Learnt>>>) {
        let is = |entry: &Entry| only.is_none_or(|only| Arc::ptr_eq(only, &entry.learnt));
        if self.entries.get(key).is_some_and(is)
            && let Some(entry) = self.entries.remove(key)
        {
            self.by_age.remove(&entry.turn);
        }
    }
}

/// A key that is about to change.
#[derive(Debug)]
pub(super) struct Forgetting<'a> {
    recent: &'a Recent,
    key: &'a str,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.recent.known().forget(self.key, None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    /// Asks, and would be told that. Gives what is told, and whether it was remembered.
    async fn told(recent: &Recent, key: &str, max_age: Duration, value: &[u8]) -> (Vec<u8>, bool) {
        let ask = || ready(Ok(Some(value.to_vec())));
        let found = recent.get(key, max_age, soon(), ask).await.unwrap();
        (found.value.unwrap(), found.remembered)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_as_long_as_the_asker_says() {
        let recent = Recent::default();
        let second = Duration::from_secs(1);
        let nothing = || ready(Ok(None));
        let found = recent.get("none", second, soon(), nothing).await;
        assert_eq!(found, Ok(Found { value: None, remembered: false }));
        let found = recent.get("none", second, soon(), pending).await;
        assert_eq!(found, Ok(Found { value: None, remembered: true }));
        assert_eq!(told(&recent, "a", second, b"1").await, (b"1".into(), false));
        tokio::time::advance(second).await;
        assert_eq!(told(&recent, "a", second, b"2").await, (b"1".into(), true));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(told(&recent, "a", second, b"2").await, (b"2".into(), false));
        tokio::time::advance(second).await;
        assert_eq!(told(&recent, "a", second / 2, b"3").await, (b"3".into(), false));
        assert_eq!(told(&recent, "a", HOUR, b"4").await, (b"3".into(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn one_asks_and_another_when_that_one_fails_or_leaves() {
        let recent = Recent::default();
        let failing = recent.get("a", HOUR, soon(), || async {
            yield_now().await;
            Err(Error::Unavailable)
        });
        let (failed, asked) = tokio::join!(failing, told(&recent, "a", HOUR, b"1"));
        assert_eq!((failed, asked), (Err(Error::Unavailable), (b"1".into(), false)));
        let mut leaving = Box::pin(recent.get("b", HOUR, Instant::now() + HOUR, pending));
        let first = std::future::poll_fn(|context| {
            std::task::Poll::Ready(leaving.as_mut().poll(context).is_pending())
        });
        assert!(first.await);
        let waiting = recent.get("b", HOUR, soon(), || ready(Ok(None)));
        assert_eq!(waiting.await, Err(Error::Timeout), "no longer than its own time");
        drop(leaving);
        assert_eq!(told(&recent, "b", HOUR, b"2").await, (b"2".into(), false));
    }

    #[tokio::test]
    async fn what_changes_meanwhile_is_not_remembered() {
        let recent = Recent::default();
        let early = recent.get("a", HOUR, soon(), || async {
            yield_now().await;
            Ok(None)
        });
        let change = async { drop(recent.forgetting("a")) };
        let (early, ()) = tokio::join!(early, change);
        assert_eq!(early, Ok(Found { value: None, remembered: false }));
        assert_eq!(told(&recent, "a", HOUR, b"1").await, (b"1".into(), false));
    }

    #[tokio::test]
    async fn few_keys_and_short_values_are_remembered() {
        let recent = Recent::default();
        for number in 0..3 * MOST {
            told(&recent, &number.to_string(), HOUR, b"1").await;
            let known = recent.known();
            assert_eq!(known.entries.len(), known.by_age.len());
            assert_eq!(known.entries.len(), MOST.min(number + 1));
        }
        let kept = |number: usize| recent.known().entries.contains_key(&*number.to_string());
        assert!((2 * MOST..3 * MOST).all(kept) && !kept(2 * MOST - 1));
        for (length, remembered) in [(LONGEST, true), (LONGEST + 1, false)] {
            let (key, value) = (length.to_string(), vec![b'x'; length]);
            assert_eq!(told(&recent, &key, HOUR, &value).await, (value.clone(), false));
            assert_eq!(told(&recent, &key, HOUR, &value).await, (value, remembered));
        }
    }
}
