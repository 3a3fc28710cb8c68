//! The instances of a plugin on one worker, and calls through them.
//!
//! As long as calls are synchronous one instance is all that is used. Calls that wait or yield can
//! overlap, and then the pool grows to its bound. An instance that failed is dropped, and its
//! successor is made off the worker; a request that finds none waits for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::config::Instances;
use crate::plugin::definition::{Definition, Newborn};
use crate::plugin::error::{Failure, Refusal};
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::Skips;
use crate::plugin::instance::{Call, Instance};
use crate::plugin::parking::Permission;
use crate::plugin::time;

/// How long a request waits for an instance.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where instances are ordered: a handle to the control thread. Cloning shares it.
#[derive(Clone)]
pub struct Nursery(mpsc::Sender<Order>);

/// An instance to be made.
pub struct Order {
    /// Of what.
    pub definition: Arc<Definition>,
    /// Where it is sent.
    pub reply: oneshot::Sender<Result<Newborn, Refusal>>,
}

impl Nursery {
    /// A handle, and the orders given through it: at most as many wait as `bound`.
    #[must_use]
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Self(sender), receiver)
    }
}

/// The one instance of a plugin that all workers share.
pub type Shared = Arc<Mutex<Option<Newborn>>>;

/// The instances of one plugin on one worker.
pub(super) struct Pool {
    pub(super) definition: Arc<Definition>,
    pub(super) skips: Skips,
    nursery: Nursery,
    shared: Option<Shared>,
    #[expect(clippy::vec_box, reason = "an instance is moved out and in by every call")]
    idle: RefCell<Vec<Box<Instance>>>,
    /// Instances that exist, or are being made.
    live: Cell<usize>,
    /// Births that failed.
    failed: Cell<u64>,
    freed: Notify,
}

impl Pool {
    /// A pool that begins with one instance of its own, or with the shared one.
    pub(super) fn new(
        definition: Arc<Definition>,
        nursery: Nursery,
        first: Option<Newborn>,
        shared: Option<Shared>,
        skips: Skips,
    ) -> Rc<Self> {
        let idle: Vec<_> = first.map(|newborn| newborn.0).into_iter().collect();
        Rc::new(Self {
            skips,
            nursery,
            shared,
            live: Cell::new(idle.len()),
            idle: RefCell::new(idle),
            failed: Cell::new(0),
            freed: Notify::new(),
            definition,
        })
    }

    /// Calls a function about an exchange.
    pub(super) async fn call<P, R>(
        self: &Rc<Self>,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Failure>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let parking = &self.definition.identity.parking;
        let mut permission = Permission::Call;
        if parking.concerns() {
            permission = parking.permission(time::since_start());
            if permission == Permission::Parked {
                // Counted, but no news.
                self.definition.identity.account.fail(Failure::Parked.label());
                return (exchange, Err(Failure::Parked));
            }
        }
        self.definition.machine.ticker.touch();
        let (exchange, result) = if self.definition.config.instances == Instances::Shared {
            self.call_shared(call, exchange).await
        } else {
            self.call_own(call, exchange).await
        };
        self.judge(result.as_ref().err(), permission);
        (exchange, result)
    }

    async fn call_own<P, R>(
        self: &Rc<Self>,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Failure>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let mut instance = match self.acquire().await {
            Ok(instance) => instance,
            Err(failure) => return (exchange, Err(failure)),
        };
        let definition = &self.definition;
        let stale = definition.members.as_deref().is_some_and(|m| instance.is_stale(m));
        let yields =
            definition.component.waits || definition.identity.yields.load(Ordering::Relaxed);
        if !stale && !yields {
            let (exchange, result) = instance.call(call, exchange);
            self.put_back(instance, result.is_ok());
            return (exchange, result);
        }
        // A guest call is never dropped halfway: if the client leaves, the task goes on.
        let pool = Rc::clone(self);
        let task = spawn_local(async move {
            let deadline = pool.definition.identity.limits.deadline;
            let caught_up = if stale { instance.catch_up(deadline * 10).await } else { Ok(()) };
            let (exchange, result) = match caught_up {
                Ok(()) => instance.call_yielding(call, exchange).await,
                Err(failure) => (exchange, Err(failure)),
            };
            pool.put_back(instance, result.is_ok());
            (exchange, result)
        });
        match task.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and the request with it.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }

    async fn call_shared<P, R>(
        self: &Rc<Self>,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Failure>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let Some(shared) = &self.shared else { return (exchange, Err(Failure::Busy)) };
        let deadline = self.definition.identity.limits.deadline;
        let Ok(mut place) = tokio::time::timeout(deadline, shared.lock()).await else {
            return (exchange, Err(Failure::Busy));
        };
        if place.is_none() {
            match self.order().await {
                Ok(newborn) => *place = Some(newborn),
                Err(failure) => return (exchange, Err(failure)),
            }
        }
        let Some(Newborn(instance)) = place.as_mut() else { return (exchange, Err(Failure::Busy)) };
        if self.definition.members.as_deref().is_some_and(|m| instance.is_stale(m)) {
            // If the client leaves meanwhile the instance is lost, and the next caller orders
            // another: so it is out of its place while it is told.
            let Some(Newborn(mut instance)) = place.take() else {
                return (exchange, Err(Failure::Busy));
            };
            if let Err(failure) = instance.catch_up(deadline * 10).await {
                return (exchange, Err(failure));
            }
            *place = Some(Newborn(instance));
        }
        let Some(Newborn(instance)) = place.as_mut() else { return (exchange, Err(Failure::Busy)) };
        let (exchange, result) = instance.call(call, exchange);
        if result.is_err() {
            *place = None;
        }
        (exchange, result)
    }

    /// Takes an instance, or waits for one.
    async fn acquire(self: &Rc<Self>) -> Result<Box<Instance>, Failure> {
        if let Some(instance) = self.idle.borrow_mut().pop() {
            return Ok(instance);
        }
        self.grow();
        let failed = self.failed.get();
        let freed = async {
            loop {
                self.freed.notified().await;
                if let Some(instance) = self.idle.borrow_mut().pop() {
                    return Ok(instance);
                }
                if self.failed.get() != failed {
                    return Err(Failure::Busy);
                }
                self.grow();
            }
        };
        tokio::time::timeout(PATIENCE, freed).await.unwrap_or(Err(Failure::Busy))
    }

    fn put_back(self: &Rc<Self>, instance: Box<Instance>, sound: bool) {
        if sound {
            self.idle.borrow_mut().push(instance);
            self.freed.notify_one();
        } else {
            drop(instance);
            self.live.set(self.live.get().saturating_sub(1));
            self.grow();
        }
    }

    /// Orders one more instance, unless there are as many as there may be.
    fn grow(self: &Rc<Self>) {
        if self.live.get() >= self.definition.identity.limits.instances {
            return;
        }
        self.live.set(self.live.get() + 1);
        let pool = Rc::clone(self);
        spawn_local(async move {
            match pool.order().await {
                Ok(newborn) => pool.put_back(newborn.0, true),
                Err(failure) => {
                    pool.definition.note(&failure);
                    pool.live.set(pool.live.get().saturating_sub(1));
                    pool.failed.set(pool.failed.get() + 1);
                    pool.freed.notify_waiters();
                }
            }
        });
    }

    async fn order(&self) -> Result<Newborn, Failure> {
        let (reply, answer) = oneshot::channel();
        let order = Order { definition: Arc::clone(&self.definition), reply };
        if self.nursery.0.try_send(order).is_err() {
            return Err(Failure::Busy);
        }
        match answer.await {
            Ok(born) => born.map_err(|refusal| Failure::Birth(Box::new(refusal))),
            Err(_dropped) => Err(Failure::Busy),
        }
    }

    /// Draws the consequences of a call's outcome for the plugin.
    pub(super) fn judge(&self, failure: Option<&Failure>, permission: Permission) {
        let identity = &self.definition.identity;
        let Some(failure) = failure else {
            if permission == Permission::Probe {
                tracing::info!(plugin = &*identity.name, "answers again, no longer parked");
                identity.parking.recovered();
            }
            return;
        };
        self.definition.note(failure);
        if matches!(failure, Failure::Busy) {
            if permission == Permission::Probe {
                identity.parking.release();
            }
            return;
        }
        if matches!(failure, Failure::TimedOut(_)) {
            identity.yields.store(true, Ordering::Relaxed);
        }
        if identity.parking.failed(time::since_start(), permission) {
            tracing::warn!(plugin = &*identity.name, "parked after repeated failures");
        }
    }
}
