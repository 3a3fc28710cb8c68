//! The one instance of a plugin that all workers share: calls are made one after the other.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::instances::Vacancy;
use super::verdict::About;
use super::{PATIENCE, Pool};
use crate::plugin::definition::Newborn;
use crate::plugin::error::Failure;
use crate::plugin::instance::Instance;
use crate::plugin::outcomes::Mailbox;

/// The place of the shared instance. Cloning shares it.
#[derive(Clone)]
pub struct Shared(Arc<Place>);

struct Place {
    instance: Arc<Mutex<Option<Newborn>>>,
    /// Whether a successor is being made.
    birth: AtomicBool,
    /// Births that failed.
    stillborn: AtomicU64,
    /// Rung when a birth has ended.
    born: Notify,
}

impl Shared {
    /// A place that is taken.
    #[must_use]
    pub fn new(first: Newborn) -> Self {
        Self(Arc::new(Place {
            instance: Arc::new(Mutex::new(Some(first))),
            birth: AtomicBool::new(false),
            stillborn: AtomicU64::new(0),
            born: Notify::new(),
        }))
    }
}

impl Pool {
    /// Takes the instance, if no call of another runs and it knows its cluster.
    pub(super) fn informed_at_place(&self, shared: &Shared) -> Option<(Box<Instance>, Vacancy)> {
        let mut place = Arc::clone(&shared.0.instance).try_lock_owned().ok()?;
        let Newborn(instance) = place.take_if(|newborn| !self.is_stale(&newborn.0))?;
        Some((instance, Vacancy::shared(place)))
    }

    /// Waits for the others' calls to end, at most a call's deadline, and takes the instance. Where
    /// it was lost, waits for its successor.
    pub(super) async fn acquire_shared(
        self: &Rc<Self>,
        shared: &Shared,
    ) -> Result<(Box<Instance>, Vacancy), Failure> {
        let deadline = self.definition.identity.given.limits.deadline;
        match timeout(deadline, Arc::clone(&shared.0.instance).lock_owned()).await {
            Ok(mut place) => {
                if let Some(Newborn(instance)) = place.take() {
                    return Ok((instance, Vacancy::shared(place)));
                }
            }
            Err(_elapsed) => return Err(Failure::Busy),
        }
        timeout(PATIENCE, self.await_successor(shared)).await.unwrap_or(Err(Failure::Busy))
    }

    async fn await_successor(
        self: &Rc<Self>,
        shared: &Shared,
    ) -> Result<(Box<Instance>, Vacancy), Failure> {
        let stillborn = shared.0.stillborn.load(Ordering::SeqCst);
        loop {
            // Listening begins before looking, so that no birth in between is missed.
            let born = shared.0.born.notified();
            let mut place = Arc::clone(&shared.0.instance).lock_owned().await;
            if let Some(Newborn(instance)) = place.take() {
                return Ok((instance, Vacancy::shared(place)));
            }
            drop(place);
            if shared.0.stillborn.load(Ordering::SeqCst) != stillborn {
                return Err(Failure::Busy);
            }
            self.replace_shared(shared);
            born.await;
        }
    }

    /// Has the instance look into its mailbox, if that is still this one. Where a call is running, that
    /// is done after it.
    pub(super) fn call_on_shared(self: &Rc<Self>, shared: &Shared, mailbox: &Arc<Mailbox>) {
        if let Ok(place) = Arc::clone(&shared.0.instance).try_lock_owned() {
            return self.deliver_at(place, mailbox);
        }
        let (pool, shared, mailbox) = (Rc::clone(self), shared.clone(), Arc::clone(mailbox));
        spawn_local(async move {
            let place = Arc::clone(&shared.0.instance).lock_owned();
            if let Ok(place) = timeout(PATIENCE, place).await {
                pool.deliver_at(place, &mailbox);
            }
        });
    }

    fn deliver_at(
        self: &Rc<Self>,
        mut place: OwnedMutexGuard<Option<Newborn>>,
        mailbox: &Arc<Mailbox>,
    ) {
        if !place.as_ref().is_some_and(|newborn| newborn.0.is_at(mailbox)) {
            return;
        }
        if let Some(Newborn(instance)) = place.take() {
            self.deliver(instance, Vacancy::shared(place));
        }
    }

    /// Has a successor made, unless that is being done.
    pub(super) fn replace_shared(self: &Rc<Self>, shared: &Shared) {
        if shared.0.birth.swap(true, Ordering::SeqCst) {
            return;
        }
        let (pool, shared) = (Rc::clone(self), shared.clone());
        spawn_local(async move {
            let birth = Birth(shared);
            let place = &birth.0.0;
            match pool.nursery.order(&pool.definition).await {
                Ok(newborn) => *place.instance.lock().await = Some(newborn),
                Err(failure) => {
                    place.stillborn.fetch_add(1, Ordering::SeqCst);
                    pool.judge(Some(&failure), About::BIRTH, None);
                }
            }
        });
    }
}

/// A birth that is under way; over when this is dropped, however it went.
struct Birth(Shared);

impl Drop for Birth {
    fn drop(&mut self) {
        self.0.0.birth.store(false, Ordering::SeqCst);
        self.0.0.born.notify_waiters();
    }
}
