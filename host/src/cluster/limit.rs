//! How many requests an endpoint may have in flight, process-wide.
//!
//! The limit is the endpoint's and not a snapshot's: what a reload changes holds at once, also for
//! requests that began before it. An endpoint without one never gets here.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::Cluster;
use super::endpoint::{Endpoint, InFlight};
use super::queue::Queue;

/// The most that an endpoint may have in flight, and who is told when that is fewer again.
///
/// In a total order with the count and with those who wait: see [`Limit::is_none`].
#[derive(Debug)]
pub(super) struct Limit {
    most: AtomicU32,
    queue: OnceLock<Arc<Queue>>,
}

/// What stands for no limit.
const NONE: u32 = u32::MAX;

impl Default for Limit {
    fn default() -> Self {
        Self { most: AtomicU32::new(NONE), queue: OnceLock::new() }
    }
}

impl Limit {
    /// Whether there is none. What frees a slot must ask this after it has, or somebody could begin
    /// to wait in between under a limit that is new, and never hear of it.
    pub(super) fn is_none(&self) -> bool {
        self.most.load(Ordering::SeqCst) == NONE
    }
}

impl Endpoint {
    /// The most requests that it may have in flight.
    #[must_use]
    pub fn max_connections(&self) -> Option<u32> {
        Some(self.limit().most.load(Ordering::Relaxed)).filter(|most| *most != NONE)
    }

    /// Limits it from now on. What is in flight beyond that stays so; who waits is told where the
    /// limit rises or ends.
    pub(super) fn set_max_connections(self: &Arc<Self>, most: Option<u32>, queue: &Arc<Queue>) {
        if most.is_some() {
            self.limit().queue.get_or_init(|| Arc::clone(queue));
        }
        self.limit().most.store(most.unwrap_or(NONE), Ordering::SeqCst);
        queue.offer(self);
    }

    /// A slot, if one is free and nobody waits for it.
    pub(super) fn take_unclaimed_slot(self: &Arc<Self>) -> Option<InFlight> {
        let claimed = self.limit().queue.get().is_some_and(|queue| queue.awaits(self));
        if claimed { None } else { self.take_slot() }
    }

    /// A slot, if one is free.
    pub(super) fn take_slot(self: &Arc<Self>) -> Option<InFlight> {
        let most = self.limit().most.load(Ordering::SeqCst);
        let more = |count: u32| (count < most).then(|| count + 1);
        let taken = self.in_flight_cell().fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.ok().map(|_| InFlight::counted(self))
    }

    /// A slot is free that was taken.
    pub(super) fn slot_freed(self: &Arc<Self>) {
        if let Some(queue) = self.limit().queue.get() {
            queue.freed(self);
        }
    }
}

impl Cluster {
    /// Lets the limits of its endpoints hold from now on, for requests that began before as well, and
    /// gives those that wait a turn at endpoints that were not there when they began to. To be called
    /// when it is shown to the workers.
    pub fn take_effect(&self) {
        for (endpoint, most) in self.membership().limits() {
            endpoint.set_max_connections(most, self.queue());
        }
    }

    /// Where requests wait for its endpoints.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.states.queue
    }

    /// An endpoint may be of use that was not: whoever waits gets a turn at it.
    pub(super) fn offer(&self, endpoint: &Endpoint) {
        if self.queue().waiting() > 0
            && let Some(endpoint) = self.membership().endpoint(endpoint.id())
        {
            self.queue().offer(endpoint);
        }
    }
}
