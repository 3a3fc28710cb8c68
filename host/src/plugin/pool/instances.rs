//! Who gets an instance, and when another is made.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::spawn_local;

use super::verdict::About;
use super::{PATIENCE, Pool};
use crate::plugin::definition::Newborn;
use crate::plugin::error::Failure;
use crate::plugin::instance::Instance;
use crate::plugin::outcomes::Mailbox;

/// The most requests that wait for an instance.
const QUEUE: usize = 1024;

/// Instances per worker unless configured, of plugins that wait for stores. As many look-ups can be
/// under way at a time.
const WAITING: usize = 512;

/// The same of others, whose calls overlap only where they yield.
const YIELDING: usize = 64;

/// Sweeps, of which there is one a second, in which an instance was not needed before it goes.
const REST: u32 = 60;

/// Instances that go in one sweep: each takes the worker a while.
const AT_ONCE: usize = 16;

impl Pool {
    /// Takes an instance of its own that is idle.
    pub(super) fn at_hand(self: &Rc<Self>) -> Option<(Box<Instance>, Vacancy)> {
        let mut idle = self.idle.borrow_mut();
        let instance = idle.pop();
        self.rest.left(idle.len());
        Some((instance?, Vacancy::own(self)))
    }

    /// Takes an instance that is idle and knows its cluster, of its own or the shared one.
    #[inline]
    pub(super) fn informed_at_hand(self: &Rc<Self>) -> Option<(Box<Instance>, Vacancy)> {
        if let Some(shared) = &self.shared {
            return self.informed_at_place(shared);
        }
        let mut idle = self.idle.borrow_mut();
        let instance = idle.pop_if(|instance| !self.is_stale(instance))?;
        self.rest.left(idle.len());
        Some((instance, Vacancy::own(self)))
    }

    /// Takes an instance of its own, or waits for one.
    pub(super) async fn acquire(self: &Rc<Self>) -> Result<(Box<Instance>, Vacancy), Failure> {
        match self.at_hand() {
            Some(acquired) => Ok(acquired),
            None => Ok((self.wait().await?, Vacancy::own(self))),
        }
    }

    /// Takes an instance of its own, or the shared one, or waits for one.
    pub(super) async fn acquire_any(self: &Rc<Self>) -> Result<(Box<Instance>, Vacancy), Failure> {
        match &self.shared {
            Some(shared) => self.acquire_shared(shared).await,
            None => self.acquire().await,
        }
    }

    /// Takes the instance whose mailbox this is, unless it is at work, or gone.
    pub(super) fn take(
        self: &Rc<Self>,
        mailbox: &Arc<Mailbox>,
    ) -> Option<(Box<Instance>, Vacancy)> {
        let mut idle = self.idle.borrow_mut();
        // Those used last are last.
        let at = idle.iter().rposition(|instance| instance.is_at(mailbox))?;
        let instance = idle.remove(at);
        self.rest.left(idle.len());
        Some((instance, Vacancy::own(self)))
    }

    /// Whether an instance is there, or may be made.
    pub(super) fn has_room(&self) -> bool {
        !self.idle.borrow().is_empty() || self.live.get() < self.most()
    }

    async fn wait(self: &Rc<Self>) -> Result<Box<Instance>, Failure> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= QUEUE {
                // Those who have left still stand in the queue.
                waiting.retain(|waiting| !waiting.is_closed());
            }
            if waiting.len() >= QUEUE {
                return Err(Failure::Busy);
            }
            waiting.push_back(sender);
        }
        self.grow();
        match tokio::time::timeout(PATIENCE, receiver).await {
            Ok(Ok(answer)) => answer?.take().ok_or(Failure::Busy),
            _ => Err(Failure::Busy),
        }
    }

    /// Gives an instance to whoever waits longest, or to nobody yet.
    #[inline]
    fn give(self: &Rc<Self>, instance: Box<Instance>) {
        let waits = !self.waiting.borrow().is_empty();
        if waits {
            return self.give_to_waiting(instance);
        }
        self.idle.borrow_mut().push(instance);
    }

    fn give_to_waiting(self: &Rc<Self>, instance: Box<Instance>) {
        let mut instance = instance;
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else { break };
            if next.is_closed() {
                continue;
            }
            let delivery = Delivery { pool: Rc::clone(self), instance: Some(instance) };
            match next.send(Ok(delivery)) {
                Ok(()) => return,
                Err(undelivered) => match undelivered.ok().and_then(Delivery::take) {
                    Some(back) => instance = back,
                    None => return,
                },
            }
        }
        self.idle.borrow_mut().push(instance);
    }

    /// Has a successor made of an instance that is lost, so that the next request finds one.
    pub(super) fn replace(self: &Rc<Self>) {
        match &self.shared {
            Some(shared) => self.replace_shared(shared),
            None if self.live.get() == 0 => self.order(),
            None => self.grow(),
        }
    }

    /// Has as many instances made as requests wait, up to the limit.
    fn grow(self: &Rc<Self>) {
        while self.births.get() < self.waiting.borrow().len() && self.live.get() < self.most() {
            self.order();
        }
    }

    /// How many instances there may be. Calls that neither wait nor yield do not overlap.
    fn most(&self) -> usize {
        let identity = &self.definition.identity;
        let waits = self.definition.component.waits;
        let overlap = waits || self.lends || identity.yields.load(Ordering::Relaxed);
        let usual = if waits { WAITING } else { YIELDING };
        if overlap { identity.given.limits.instances.unwrap_or(usual) } else { 1 }
    }

    /// Gives back, little by little, the instances that were too many for a while. One stays.
    pub(in crate::plugin) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        // Those used last are last.
        let going = self.rest.sweep(idle.len());
        idle.drain(..going);
        self.live.set(self.live.get().saturating_sub(going));
    }

    fn order(self: &Rc<Self>) {
        self.live.set(self.live.get() + 1);
        self.births.set(self.births.get() + 1);
        let pool = Rc::clone(self);
        spawn_local(async move {
            let born = pool.nursery.order(&pool.definition).await;
            pool.births.set(pool.births.get().saturating_sub(1));
            match born {
                Ok(Newborn(instance)) => pool.give(instance),
                Err(failure) => {
                    pool.live.set(pool.live.get().saturating_sub(1));
                    pool.judge(Some(&failure), About::BIRTH, None);
                    pool.disappoint();
                }
            }
        });
    }

    /// Tells those who wait that nothing will come: a birth failed, and no instance is left. They
    /// do not have another one tried, or a plugin that cannot start would be started for ever.
    fn disappoint(&self) {
        if self.live.get() > 0 {
            return;
        }
        for waiting in self.waiting.take() {
            // Who has left meanwhile is not disappointed.
            let _ = waiting.send(Err(Failure::Busy));
        }
    }
}

/// Which instances are not needed: as many as have been idle all the time.
#[derive(Debug, Default)]
pub(super) struct Rest {
    sweeps: Cell<u32>,
    /// The fewest that were idle since this was last looked at.
    lowest: Cell<usize>,
    /// How many are still to go.
    excess: Cell<usize>,
}

impl Rest {
    /// One was taken, and left so many idle.
    fn left(&self, idle: usize) {
        self.lowest.set(self.lowest.get().min(idle));
        self.excess.set(self.excess.get().min(idle));
    }

    /// How many of so many idle ones go now.
    fn sweep(&self, idle: usize) -> usize {
        self.sweeps.set(self.sweeps.get() + 1);
        if self.sweeps.get() >= REST {
            self.sweeps.set(0);
            self.excess.set(self.lowest.get());
            self.lowest.set(idle);
        }
        let going = self.excess.get().min(AT_ONCE).min(idle.saturating_sub(1));
        self.excess.set(self.excess.get() - going);
        self.left(idle - going);
        going
    }
}

/// An instance on its way to a request, which may leave before it arrives.
pub(super) struct Delivery {
    pool: Rc<Pool>,
    instance: Option<Box<Instance>>,
}

impl Delivery {
    fn take(mut self) -> Option<Box<Instance>> {
        self.instance.take()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.pool.give(instance);
        }
    }
}

/// The place of an instance that was taken: filled again, or free for another when dropped.
pub(super) struct Vacancy(Option<Place>);

enum Place {
    Own(Rc<Pool>),
    Shared(OwnedMutexGuard<Option<Newborn>>),
}

impl Vacancy {
    pub(super) fn own(pool: &Rc<Pool>) -> Self {
        Self(Some(Place::Own(Rc::clone(pool))))
    }

    /// The place of a shared instance that has been taken out of it.
    pub(super) fn shared(place: OwnedMutexGuard<Option<Newborn>>) -> Self {
        Self(Some(Place::Shared(place)))
    }

    /// Puts the instance back.
    pub(super) fn fill(mut self, instance: Box<Instance>) {
        match self.0.take() {
            Some(Place::Own(pool)) => pool.give(instance),
            Some(Place::Shared(mut place)) => *place = Some(Newborn(instance)),
            None => {}
        }
    }
}

impl Drop for Vacancy {
    fn drop(&mut self) {
        if let Some(Place::Own(pool)) = &self.0 {
            pool.live.set(pool.live.get().saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sweeps for that many seconds, and gives how many are idle then.
    fn after(rest: &Rest, seconds: u32, idle: usize) -> usize {
        (0..seconds).fold(idle, |idle, _| idle - rest.sweep(idle))
    }

    #[test]
    fn what_was_idle_for_a_minute_goes_little_by_little_and_one_stays() {
        let rest = Rest::default();
        assert_eq!(after(&rest, REST, 100), 100, "it is not known how long they have been idle");
        assert_eq!(after(&rest, REST, 100), 84);
        assert_eq!(after(&rest, 2, 84), 52);
        assert_eq!(after(&rest, 3 * REST, 52), 1);
    }

    #[test]
    fn what_is_needed_now_and_then_stays() {
        let rest = Rest::default();
        after(&rest, REST, 100);
        for _ in 0..5 {
            rest.left(30);
            assert_eq!(after(&rest, REST / 2, 100), 100);
            rest.left(0);
            assert_eq!(after(&rest, REST / 2, 100), 100);
        }
        // Those that go are needed again.
        assert_eq!(after(&rest, REST, 100), 84);
        rest.left(3);
        assert_eq!(after(&rest, REST / 2, 84), 81);
    }
}
