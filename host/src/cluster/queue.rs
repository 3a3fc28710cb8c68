//! Where the requests of a cluster wait, on all workers, while the endpoints that they could go to
//! have as many in flight as they may.
//!
//! A slot that gets free is handed to the request that has waited longest for that endpoint, before
//! it is anybody else's: who comes later cannot overtake. The request then asks its balancers anew;
//! if it goes elsewhere, the slot passes on to the next, and if it goes nowhere, it waits on at its
//! old place. So one that can only be served by one endpoint keeps its turn there, and holds up
//! nobody who can be served by another.
//!
//! As long as nobody waits, this is one load of one number.

mod line;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use self::line::Line;
use super::endpoint::{Endpoint, InFlight};

/// A cluster's queue. It outlives reloads, as its endpoints do.
#[derive(Debug, Default)]
pub struct Queue {
    /// Places in the line. Whoever waits counts here before looking at the slots a last time, and
    /// whoever frees a slot looks here afterwards, so that one of the two sees the other.
    waiting: AtomicUsize,
    line: Mutex<Line<Seat>>,
}

/// What is kept at a place.
#[derive(Debug, Default)]
struct Seat {
    waker: Option<Waker>,
    /// The slot that it was handed.
    slot: Option<InFlight>,
}

/// A request's place in a queue. Dropped, it is given up, and what it was handed passes on.
#[derive(Debug)]
#[must_use = "the place is given up when this is dropped"]
pub struct Place {
    queue: Arc<Queue>,
    ticket: u64,
}

impl Queue {
    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The last place; none if there are `most` or more before it.
    #[must_use]
    pub fn join(self: &Arc<Self>, most: usize) -> Option<Place> {
        if most == 0 {
            return None;
        }
        let mut line = self.lock();
        // It changes under the lock only.
        if self.waiting() >= most {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Some(Place { queue: Arc::clone(self), ticket: line.join() })
    }

    /// Whether somebody waits for an endpoint.
    pub(super) fn awaits(&self, endpoint: &Endpoint) -> bool {
        self.waiting() > 0 && self.lock().first(endpoint.id()).is_some()
    }

    /// An endpoint may have a free slot: hands it over, if somebody waits for it.
    pub(super) fn freed(&self, endpoint: &Arc<Endpoint>) {
        if self.waiting() > 0 {
            hand_over(endpoint, self.lock());
        }
    }

    /// The same for an endpoint that nobody knew to be of use: all who wait get their turn at it.
    pub(super) fn offer(&self, endpoint: &Arc<Endpoint>) {
        if self.waiting() > 0 {
            let mut line = self.lock();
            line.offer(endpoint.id());
            hand_over(endpoint, line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line<Seat>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out the free slots of an endpoint to those who wait for it.
fn hand_over(endpoint: &Arc<Endpoint>, mut line: MutexGuard<'_, Line<Seat>>) {
    let mut wakers = Vec::new();
    line.serve(
        endpoint.id(),
        || endpoint.take_slot(),
        |seat, slot| {
            seat.slot = Some(slot);
            wakers.extend(seat.waker.take());
        },
    );
    drop(line);
    wakers.into_iter().for_each(Waker::wake);
}

impl Place {
    /// Waits for a slot of one of these endpoints. Whoever has a place before this one and waits for
    /// the same endpoint gets its slot first.
    pub async fn wait(&self, endpoints: &[Arc<Endpoint>]) -> InFlight {
        if let Some(slot) = self.begin(endpoints) {
            return slot;
        }
        poll_fn(|context| self.poll_slot(context)).await
    }

    /// Begins to wait, unless there is a slot now.
    fn begin(&self, endpoints: &[Arc<Endpoint>]) -> Option<InFlight> {
        let mut line = self.queue.lock();
        // From a wait that nobody has waited to the end.
        if let Some(slot) = line.kept(self.ticket).and_then(|seat| seat.slot.take()) {
            return Some(slot);
        }
        for endpoint in endpoints {
            let first = line.first(endpoint.id()).is_none_or(|first| first >= self.ticket);
            if first && let Some(slot) = endpoint.take_slot() {
                return Some(slot);
            }
        }
        line.wait(self.ticket, endpoints.iter().map(|endpoint| endpoint.id()));
        None
    }

    fn poll_slot(&self, context: &Context<'_>) -> Poll<InFlight> {
        let mut line = self.queue.lock();
        let Some(seat) = line.kept(self.ticket) else { return Poll::Pending };
        if let Some(slot) = seat.slot.take() {
            return Poll::Ready(slot);
        }
        seat.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        let seat = line.leave(self.ticket);
        self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        // A slot in it goes to the next, which takes the lock.
        drop(line);
        drop(seat);
    }
}

#[cfg(test)]
mod tests;
