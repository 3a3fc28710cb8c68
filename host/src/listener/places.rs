//! The limits on connections: how many a listener has, and how many one address, over all of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// A connection's places among the limits.
#[derive(Debug)]
pub struct Ticket {
    /// The smallest number that no open connection of the process had.
    pub slot: u32,
    pub(super) address: IpAddr,
    pub(super) books: Arc<Books>,
    pub(super) load: Arc<AtomicUsize>,
    pub(super) _seat: Seat,
}

/// A place among a listener's connections.
#[derive(Debug)]
pub(super) struct Seat(Arc<Room>);

/// How many connections a listener has.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
    left: Notify,
}

impl Room {
    /// Waits until fewer than `most` are taken. Only one task of a listener asks, so that what it
    /// has seen to be free stays free.
    pub(super) async fn vacancy(&self, most: usize) {
        while self.taken.load(Ordering::SeqCst) >= most {
            self.left.notified().await;
        }
    }

    pub(super) fn take(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Seat(Arc::clone(self))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        let mut open = self.books.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.free.push(Reverse(self.slot));
        if let Some(count) = open.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&self.address);
            }
        }
    }
}

/// Who is connected, over all listeners. Touched once per connection.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
    of_address: HashMap<IpAddr, usize>,
}

impl Books {
    /// A slot for a client, unless its address has as many connections as it may.
    pub(super) fn enter(&self, address: IpAddr, most: usize) -> Option<u32> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.of_address.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let slot = match open.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                open.next += 1;
                open.next - 1
            }
        };
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books_of(addresses: &[&str], most: usize) -> (Books, Vec<Option<u32>>) {
        let books = Books::default();
        let slots = addresses.iter().map(|a| books.enter(a.parse().unwrap(), most)).collect();
        (books, slots)
    }

    #[test]
    fn slots_are_the_smallest_free_numbers_and_addresses_are_limited() {
        let (books, slots) = books_of(&["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1"], 2);
        assert_eq!(slots, [Some(0), Some(1), Some(2), None]);
        books.0.lock().unwrap().free.push(Reverse(1));
        assert_eq!(books.enter("::1".parse().unwrap(), 2), Some(1));
        assert_eq!(books.enter("::1".parse().unwrap(), 2), Some(3));
    }
}
