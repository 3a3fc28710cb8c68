//! A store in the memory of this process, bounded in size: the embedded default.
//!
//! What is configured stays until somebody removes or replaces it. What is set later is crowded out
//! when there is no room: first what has expired, then what was set the longest ago.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Bounds, Error, Service};
use crate::config::ENTRY_BYTES;

/// The store. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
    latency: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct State {
    entries: HashMap<Arc<str>, Entry>,
    /// What can be crowded out, by when it was set.
    by_age: BTreeMap<u64, Arc<str>>,
    /// What expires, by when it does.
    by_end: BTreeSet<(Instant, Arc<str>)>,
    /// How many have been set.
    turn: u64,
    bytes: usize,
    /// Those of them that are not crowded out.
    fixed: usize,
    max_bytes: usize,
    max_value: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    ends: Option<Instant>,
    /// Which one it was to be set; none if it is configured.
    turn: Option<u64>,
}

impl Memory {
    /// A store that begins with these entries, holds at most `max_bytes`, and takes `latency` for
    /// each operation.
    pub(super) fn new(
        entries: &BTreeMap<String, String>,
        max_bytes: usize,
        latency: Duration,
        bounds: Bounds,
    ) -> Self {
        let Bounds { timeout, max_value } = bounds;
        let mut state = State {
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            by_end: BTreeSet::new(),
            turn: 0,
            bytes: 0,
            fixed: 0,
            max_bytes,
            max_value,
        };
        for (key, value) in entries {
            // What does not fit is the configuration's fault, and reported when it is checked.
            let _ = state.put(key, value.clone().into_bytes(), None, None);
        }
        Self { state: Arc::new(Mutex::new(state)), latency, timeout }
    }

    fn answer<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut State) -> Result<T, Error> + Send + 'static,
    ) -> Answer<T> {
        let Self { state, latency, timeout } = self.clone();
        Box::pin(async move {
            if latency > timeout {
                tokio::time::sleep(timeout).await;
                return Err(Error::Timeout);
            }
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            operation(&mut lock(&state))
        })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service for Memory {
    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.answer(move |state| Ok(state.get(&key).cloned()))
    }

    fn set(&self, key: &str, value: Vec<u8>, expiry: Option<u64>) -> Answer<()> {
        let key = key.to_owned();
        self.answer(move |state| {
            let ends =
                expiry.map(Duration::from_millis).and_then(|d| Instant::now().checked_add(d));
            state.set(&key, value, ends)
        })
    }

    fn delete(&self, key: &str) -> Answer<()> {
        let key = key.to_owned();
        self.answer(move |state| {
            state.remove(&key);
            Ok(())
        })
    }

    fn increment(&self, key: &str, amount: u64) -> Answer<u64> {
        let key = key.to_owned();
        self.answer(move |state| {
            let before = match state.get(&key) {
                None => 0,
                Some(value) => std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
                    .ok_or(Error::NotANumber)?,
            };
            let sum = before.wrapping_add(amount);
            let ends = state.entries.get(&*key).and_then(|entry| entry.ends);
            state.set(&key, sum.to_string().into_bytes(), ends)?;
            Ok(sum)
        })
    }
}

impl State {
    fn get(&mut self, key: &str) -> Option<&Vec<u8>> {
        let ended = |entry: &Entry| entry.ends.is_some_and(|ends| ends <= Instant::now());
        if self.entries.get(key).is_some_and(ended) {
            self.remove(key);
        }
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Sets what can be crowded out later.
    fn set(&mut self, key: &str, value: Vec<u8>, ends: Option<Instant>) -> Result<(), Error> {
        self.turn += 1;
        self.put(key, value, ends, Some(self.turn))
    }

    fn put(
        &mut self,
        key: &str,
        value: Vec<u8>,
        ends: Option<Instant>,
        turn: Option<u64>,
    ) -> Result<(), Error> {
        let cost = cost(key, &value);
        if value.len() > self.max_value || cost > self.max_bytes {
            return Err(Error::TooLarge);
        }
        self.remove(key);
        if self.fixed + cost > self.max_bytes {
            return Err(Error::TooLarge);
        }
        self.make_room(self.max_bytes - cost);
        self.bytes += cost;
        self.fixed += if turn.is_none() { cost } else { 0 };
        let key = Arc::<str>::from(key);
        self.by_age.extend(turn.map(|turn| (turn, Arc::clone(&key))));
        self.by_end.extend(ends.map(|ends| (ends, Arc::clone(&key))));
        self.entries.insert(key, Entry { value, ends, turn });
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        let cost = cost(&key, &entry.value);
        self.bytes -= cost;
        match entry.turn {
            Some(turn) => drop(self.by_age.remove(&turn)),
            None => self.fixed -= cost,
        }
        if let Some(ends) = entry.ends {
            self.by_end.remove(&(ends, key));
        }
    }

    /// Forgets what has expired, and then the oldest, until no more than so many bytes are taken.
    fn make_room(&mut self, bytes: usize) {
        let now = Instant::now();
        while self.bytes > bytes {
            let expired = self.by_end.first().filter(|(ends, _)| *ends <= now);
            let goes =
                expired.map(|(_, key)| key).or_else(|| Some(self.by_age.first_key_value()?.1));
            let Some(key) = goes.cloned() else { return };
            self.remove(&key);
        }
    }
}

/// What an entry takes.
fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(max_bytes: usize, latency: u64) -> Memory {
        let entries = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let latency = Duration::from_millis(latency);
        let bounds = Bounds { timeout: Duration::from_millis(50), max_value: 1_000 };
        Memory::new(&entries, max_bytes, latency, bounds)
    }

    #[tokio::test(start_paused = true)]
    async fn entries_expire_and_can_be_removed() {
        let memory = memory(1 << 20, 0);
        assert_eq!(memory.get("a").await, Ok(Some(b"1".to_vec())));
        memory.set("b", b"2".to_vec(), Some(1_000)).await.unwrap();
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(memory.get("b").await, Ok(Some(b"2".to_vec())));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(memory.get("b").await, Ok(None));
        memory.delete("a").await.unwrap();
        memory.delete("a").await.unwrap();
        assert_eq!(memory.get("a").await, Ok(None));
        assert_eq!(lock(&memory.state).bytes, 0);
    }

    #[tokio::test]
    async fn numbers_increment_and_other_values_do_not() {
        let memory = memory(1 << 20, 0);
        assert_eq!(memory.increment("a", 41).await, Ok(42));
        assert_eq!(memory.increment("new", 5).await, Ok(5));
        memory.set("word", b"x".to_vec(), None).await.unwrap();
        assert_eq!(memory.increment("word", 1).await, Err(Error::NotANumber));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_forgets_what_has_expired_and_then_the_oldest() {
        let memory = memory(130 + 3 * 300, 0);
        let value = || vec![0; 300 - ENTRY_BYTES - 1];
        let held = async |key: &str| memory.get(key).await.unwrap().is_some();
        memory.set("b", value(), None).await.unwrap();
        memory.set("c", value(), Some(10)).await.unwrap();
        memory.set("d", value(), None).await.unwrap();
        tokio::time::advance(Duration::from_millis(11)).await;
        memory.set("e", value(), None).await.unwrap();
        assert!(held("b").await && !held("c").await && held("d").await && held("e").await);
        // Set again, it is no longer the oldest.
        memory.set("b", value(), Some(1_000)).await.unwrap();
        memory.set("f", value(), None).await.unwrap();
        assert!(held("b").await && !held("d").await && held("e").await && held("f").await);
        // What is configured stays, and what is too large costs nobody anything.
        assert_eq!(memory.set("g", vec![0; 1_001], None).await, Err(Error::TooLarge));
        assert_eq!(memory.set("g", vec![0; 800], None).await, Err(Error::TooLarge));
        assert!(held("a").await && held("b").await && held("e").await && held("f").await);
        for key in ["a", "b", "e", "f"] {
            memory.delete(key).await.unwrap();
        }
        let state = lock(&memory.state);
        assert_eq!(
            (state.bytes, state.fixed, state.by_age.len(), state.by_end.len()),
            (0, 0, 0, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_slower_than_its_timeout_times_out() {
        let before = Instant::now();
        assert_eq!(memory(1 << 20, 80).get("a").await, Err(Error::Timeout));
        assert_eq!(before.elapsed(), Duration::from_millis(50));
    }
}
