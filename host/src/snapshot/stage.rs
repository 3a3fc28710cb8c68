//! Where the workers look for what they serve by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::{AllUnused, Snapshot};

/// What is shown to all workers at once.
pub struct Stage {
    snapshot: ArcSwap<Snapshot>,
    /// The shown snapshot's, so that a request need only compare numbers.
    generation: AtomicU64,
    unused: ArcSwap<AllUnused>,
}

impl Stage {
    /// Shows a first snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        snapshot.take_effect();
        let generation = AtomicU64::new(snapshot.generation);
        Self { snapshot: ArcSwap::new(snapshot), generation, unused: ArcSwap::default() }
    }

    /// Shows another, in one step for all workers: requests that begin after it see the new one.
    pub fn show(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        snapshot.take_effect();
        snapshot.count_trials(&self.snapshot.load());
        self.snapshot.store(snapshot);
        self.generation.store(generation, Ordering::Release);
    }

    /// What is shown.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The components that no plugin uses, as far as they are known.
    #[must_use]
    pub fn unused(&self) -> Arc<AllUnused> {
        self.unused.load_full()
    }

    /// Shows these as the components that no plugin uses.
    pub fn list_unused(&self, unused: AllUnused) {
        self.unused.store(Arc::new(unused));
    }

    /// The number of what is shown.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
