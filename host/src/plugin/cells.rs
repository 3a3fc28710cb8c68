//! The numbers that all instances of a plugin share, in all workers and over its versions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How many cells a plugin has.
const CELLS: usize = 256;

/// The cells of one plugin; a balancer's are its cluster's own.
#[derive(Debug)]
pub(super) struct Cells(Box<[AtomicU64]>);

impl Default for Cells {
    fn default() -> Self {
        Self((0..CELLS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Cells {
    fn at(&self, index: u32) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(index).ok()?)
    }

    /// The value of a cell; `None` where there is none of that index.
    pub(super) fn get(&self, index: u32) -> Option<u64> {
        Some(self.at(index)?.load(Ordering::SeqCst))
    }

    /// Sets a cell and gives the value before.
    pub(super) fn swap(&self, index: u32, value: u64) -> Option<u64> {
        Some(self.at(index)?.swap(value, Ordering::SeqCst))
    }

    /// Adds to a cell and gives the value before.
    pub(super) fn add(&self, index: u32, amount: u64) -> Option<u64> {
        Some(self.at(index)?.fetch_add(amount, Ordering::SeqCst))
    }

    /// Sets a cell if it holds what is expected, and gives the value before.
    pub(super) fn compare_exchange(&self, index: u32, expected: u64, new: u64) -> Option<u64> {
        let cell = self.at(index)?;
        let before = cell.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst);
        Some(before.unwrap_or_else(|other| other))
    }
}

/// The cells of all plugins, by plugin and, for balancers, cluster. Cells live as long as a plugin
/// of that name does.
#[derive(Debug, Default)]
pub(super) struct AllCells(Mutex<HashMap<String, Weak<Cells>>>);

impl AllCells {
    /// The cells of that name, new if nobody has them.
    pub(super) fn of(&self, name: String) -> Arc<Cells> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, cells| cells.strong_count() > 0);
        if let Some(cells) = all.get(&name).and_then(Weak::upgrade) {
            return cells;
        }
        let cells = Arc::new(Cells::default());
        all.insert(name, Arc::downgrade(&cells));
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_shared_by_name_and_end_with_their_last_user() {
        let all = AllCells::default();
        let first = all.of("a".into());
        assert_eq!(first.add(255, 7), Some(0));
        assert_eq!(first.get(256), None);
        let second = all.of("a".into());
        assert_eq!(second.compare_exchange(255, 6, 9), Some(7));
        assert_eq!(second.compare_exchange(255, 7, 9), Some(7));
        assert_eq!(first.swap(255, 1), Some(9));
        assert_eq!(all.of("b".into()).get(255), Some(0));
        drop((first, second));
        assert_eq!(all.of("a".into()).get(255), Some(0));
    }
}
