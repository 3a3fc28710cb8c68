//! Who gets an instance, and when another is made.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::spawn_local;

use super::verdict::About;
use super::{PATIENCE, Pool};
use crate::plugin::definition::Newborn;
use crate::plugin::error::Failure;
use crate::plugin::instance::Instance;

/// The most requests that wait for an instance.
const QUEUE: usize = 1024;

impl Pool {
    /// Takes an instance, or waits for one.
    pub(super) async fn acquire(self: &Rc<Self>) -> Result<(Box<Instance>, Vacancy), Failure> {
        let idle = self.idle.borrow_mut().pop();
        let instance = match idle {
            Some(instance) => instance,
            None => self.wait().await?,
        };
        Ok((instance, Vacancy::own(self)))
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
    fn give(self: &Rc<Self>, instance: Box<Instance>) {
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
        let waits = self.definition.component.waits || self.lends;
        let overlap = waits || identity.yields.load(Ordering::Relaxed);
        if overlap { identity.limits.instances } else { 1 }
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
    fn own(pool: &Rc<Pool>) -> Self {
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
