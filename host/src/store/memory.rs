//! A store in the memory of this process, bounded in size: the embedded default.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ENTRY_BYTES;

use super::{Answer, Bounds, Error, Store};

/// The store. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
    latency: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct State {
    entries: HashMap<String, Entry>,
    bytes: usize,
    max_bytes: usize,
    max_value: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    ends: Option<Instant>,
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
        let mut state = State { entries: HashMap::new(), bytes: 0, max_bytes, max_value };
        for (key, value) in entries {
            // What does not fit is the configuration's fault, and reported when it is checked.
            let _ = state.set(key.clone(), value.clone().into_bytes(), None);
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

impl Store for Memory {
    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.answer(move |state| Ok(state.get(&key).cloned()))
    }

    fn set(&self, key: &str, value: Vec<u8>, expiry: Option<u64>) -> Answer<()> {
        let key = key.to_owned();
        self.answer(move |state| {
            let ends =
                expiry.map(Duration::from_millis).and_then(|d| Instant::now().checked_add(d));
            state.set(key, value, ends)
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
            let ends = state.entries.get(&key).and_then(|entry| entry.ends);
            state.set(key, sum.to_string().into_bytes(), ends)?;
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

    fn set(&mut self, key: String, value: Vec<u8>, ends: Option<Instant>) -> Result<(), Error> {
        if value.len() > self.max_value {
            return Err(Error::TooLarge);
        }
        self.remove(&key);
        let cost = key.len() + value.len() + ENTRY_BYTES;
        if self.bytes + cost > self.max_bytes {
            self.sweep();
        }
        if self.bytes + cost > self.max_bytes {
            return Err(Error::TooLarge);
        }
        self.bytes += cost;
        self.entries.insert(key, Entry { value, ends });
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= key.len() + entry.value.len() + ENTRY_BYTES;
        }
    }

    /// Forgets what has expired, when room is wanted.
    fn sweep(&mut self) {
        let now = Instant::now();
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let keep = entry.ends.is_none_or(|ends| ends > now);
            if !keep {
                *bytes -= key.len() + entry.value.len() + ENTRY_BYTES;
            }
            keep
        });
    }
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
    async fn a_full_store_makes_room_only_from_what_has_expired() {
        let memory = memory(300, 0);
        memory.set("short", vec![0; 100], Some(10)).await.unwrap();
        assert_eq!(memory.set("long", vec![0; 100], None).await, Err(Error::TooLarge));
        tokio::time::advance(Duration::from_millis(11)).await;
        assert_eq!(memory.set("long", vec![0; 100], None).await, Ok(()));
        assert_eq!(memory.set("giant", vec![0; 1_001], None).await, Err(Error::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_slower_than_its_timeout_times_out() {
        let before = Instant::now();
        assert_eq!(memory(1 << 20, 80).get("a").await, Err(Error::Timeout));
        assert_eq!(before.elapsed(), Duration::from_millis(50));
    }
}
