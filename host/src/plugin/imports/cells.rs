//! `cells`: numbers that all instances of a plugin share.

use wasmtime::Result;

use crate::plugin::bindings::cells;
use crate::plugin::guest::Guest;

fn checked(value: Option<u64>) -> Result<u64> {
    value.ok_or_else(|| wasmtime::Error::msg("there is no cell of that index"))
}

impl cells::Host for Guest {
    fn get(&mut self, index: u32) -> Result<u64> {
        checked(self.identity.given.cells.get(index))
    }

    fn swap(&mut self, index: u32, value: u64) -> Result<u64> {
        checked(self.identity.given.cells.swap(index, value))
    }

    fn add(&mut self, index: u32, amount: u64) -> Result<u64> {
        checked(self.identity.given.cells.add(index, amount))
    }

    fn compare_exchange(&mut self, index: u32, expected: u64, new: u64) -> Result<u64> {
        checked(self.identity.given.cells.compare_exchange(index, expected, new))
    }
}
