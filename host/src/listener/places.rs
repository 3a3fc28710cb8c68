//! The limits on connections: how many a listener has, and how many one address, over all of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A connection's places among the limits.
#[derive(Debug)]
pub struct Ticket {
    line: Line,
    load: Arc<AtomicUsize>,
    _seats: Seats,
}

impl Ticket {
    /// One more connection of whoever has this load.
    pub(super) fn new(line: Line, load: &Arc<AtomicUsize>, seats: Seats) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self { line, load: Arc::clone(load), _seats: seats }
    }

    /// The smallest number that no open connection of the process had.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.line.slot
    }

    /// Counts a connection of which nobody knew yet whose it is among those of its client's address. False
    /// if that has as many as it may.
    #[must_use]
    pub fn count_as(&mut self, address: IpAddr, most: usize) -> bool {
        self.line.count_as(address, most)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place among a listener's connections, and one among all listeners'.
#[derive(Debug)]
pub(super) struct Seats {
    _own: Seat,
    _common: Seat,
}

impl Seats {
    pub(super) fn new(own: Seat, common: Seat) -> Self {
        Self { _own: own, _common: common }
    }
}

/// A place among the connections of a room.
#[derive(Debug)]
pub(super) struct Seat(Arc<Room>);

/// How many connections there are, of a listener or of all.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
    left: Notify,
}

impl Room {
    /// Waits until fewer than `most` are taken, and says so before it does. Only one task of a listener
    /// asks, so that what it has seen to be free in its own room stays free; in that of all, the others
    /// may take one more each.
    pub(super) async fn vacancy(&self, most: usize, full: impl FnOnce()) {
        let is_full = || self.taken() >= most;
        if is_full() {
            full();
        }
        loop {
            let mut left = pin!(self.left.notified());
            // From now on nobody leaves unnoticed.
            left.as_mut().enable();
            if !is_full() {
                return;
            }
            left.await;
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub(super) fn take(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Seat(Arc::clone(self))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        // All, as who is woken may have nobody to let in.
        self.0.left.notify_waiters();
    }
}

/// Who is connected, over all listeners. Touched once per connection, and once more where a header says
/// whose it is.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
    of_address: HashMap<IpAddr, usize>,
}

/// What the books have of a connection; it goes with this.
#[derive(Debug)]
pub(super) struct Line {
    slot: u32,
    /// The client's, once it is known.
    address: Option<IpAddr>,
    books: Arc<Books>,
}

impl Books {
    /// A connection of a client, unless its address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>, most: usize) -> Option<Line> {
        let mut open = self.lock();
        let address = address.map(|address| address.to_canonical());
        if address.is_some_and(|address| !open.count(address, most)) {
            return None;
        }
        let slot = match open.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                open.next += 1;
                open.next - 1
            }
        };
        drop(open);
        Some(Line { slot, address, books: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count(&mut self, address: IpAddr, most: usize) -> bool {
        let count = self.of_address.entry(address).or_default();
        let fits = *count < most;
        *count += usize::from(fits);
        fits
    }
}

impl Line {
    fn count_as(&mut self, address: IpAddr, most: usize) -> bool {
        let address = address.to_canonical();
        let counted = self.books.lock().count(address, most);
        if counted {
            self.address = Some(address);
        }
        counted
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut open = self.books.lock();
        open.free.push(Reverse(self.slot));
        if let Some(address) = self.address
            && let Some(count) = open.of_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_the_smallest_free_numbers_and_addresses_are_limited() {
        let books = Arc::<Books>::default();
        let enter = |address: &str| books.enter(Some(address.parse().unwrap()), 2);
        let slot = |line: &Option<Line>| line.as_ref().map(|line| line.slot);
        let lines = ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "127.0.0.1"].map(enter);
        assert_eq!(lines.each_ref().map(slot), [Some(0), Some(1), Some(2), None]);
        let [_first, second, ..] = lines;
        drop(second);
        let others = ["::1", "::1"].map(enter);
        assert_eq!(others.each_ref().map(slot), [Some(1), Some(3)]);
        assert!(enter("::1").is_none());
    }

    #[test]
    fn a_connection_counts_for_its_client_once_that_is_known() {
        let books = Arc::<Books>::default();
        let client = [192, 0, 2, 7].into();
        let enter = || books.enter(None, 0).unwrap();
        let mut lines = [enter(), enter(), enter()];
        let counted = lines.each_mut().map(|line| line.count_as(client, 2));
        assert_eq!(counted, [true, true, false]);
        let [first, second, refused] = lines;
        drop(refused);
        assert!(books.enter(Some(client), 2).is_none());
        drop(first);
        let again = books.enter(Some(client), 2);
        assert!(again.is_some());
        drop((again, second));
        assert!(books.lock().of_address.is_empty());
    }
}
