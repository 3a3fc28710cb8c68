//! The instances of a plugin on one worker, and calls through them.
//!
//! - A call holds its instance alone. It puts it back when the guest has returned, and only then:
//!   whatever else happens (a trap, a missed deadline, a panic of the host, a task that ends with
//!   its runtime) leaves a vacancy, so that no instance is called again that was left halfway.
//! - Calls that wait or yield run in a task of their own. A client that leaves drops its request,
//!   not the call: that ends as it would have, is judged, and its instance serves the next.
//! - Synchronous calls need one instance. Those that wait or yield overlap, and then there are as
//!   many instances as requests that want one, up to the plugin's limit. Those that were too many for
//!   a minute go.

mod bodies;
mod instances;
mod now;
mod post;
mod shared;
mod verdict;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quanta::Instant;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::log::access::calls::{Cost, Label};
use crate::metrics::SAMPLED;
use crate::plugin::definition::{Definition, Newborn};
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::instance::{Call, Instance};
use crate::plugin::memo::Memo;
use crate::plugin::nursery::Nursery;
use crate::plugin::pool::instances::{Delivery, Rest, Vacancy};
use crate::plugin::pool::verdict::Probe;

pub(super) use bodies::Bodies;
pub use bodies::{Session, Transformed};
pub(super) use now::AtOnce;
pub use shared::Shared;
pub(super) use verdict::About;

/// How long a request waits for an instance.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a balancer may take to be told of a cluster of so many members, if a call may take
/// `deadline`: ten times that, and once more for every 500 of them, as the work grows with the list
/// and copying it counts. It yields meanwhile, so nobody waits for it but who wants its answer.
pub(super) fn update_deadline(deadline: Duration, members: usize) -> Duration {
    deadline * (10 + u32::try_from(members / 500).unwrap_or(u32::MAX).min(1_000))
}

/// The instances of one plugin on one worker.
pub(super) struct Pool {
    pub(super) definition: Arc<Definition>,
    /// As access lines name it.
    pub(super) label: Rc<Label>,
    pub(super) worker: usize,
    nursery: Nursery,
    shared: Option<Shared>,
    #[expect(clippy::vec_box, reason = "an instance is moved out and in by every call")]
    idle: RefCell<Vec<Box<Instance>>>,
    /// Requests that wait for an instance, first come, first served.
    waiting: RefCell<VecDeque<oneshot::Sender<Result<Delivery, Failure>>>>,
    /// Instances that exist, or are being made.
    live: Cell<usize>,
    /// Those of them that are being made.
    births: Cell<usize>,
    /// What of them is not needed.
    rest: Rest,
    /// Counts calls, to measure some.
    turn: Cell<u64>,
    /// Whether its instances are held for longer than a call, so that there may be several.
    lends: bool,
    /// What the plugin said of the last request, and of the last response, if it is a rewriter.
    pub(super) requests: Memo,
    pub(super) responses: Memo,
    /// Held by each copy of a request that it is asked about beside another plugin.
    pub(super) copies: Rc<()>,
}

/// An answer, or why there is none, with the exchange that it was about.
pub(super) type Answered<R> = (Box<Exchange>, Result<R, Failure>);

impl Pool {
    /// A pool that begins with one instance of its own, or with the shared one.
    pub(super) fn new(
        definition: Arc<Definition>,
        nursery: Nursery,
        worker: usize,
        first: Option<Newborn>,
        shared: Option<Shared>,
    ) -> Rc<Self> {
        let identity = &definition.identity;
        let label = Rc::new(Label::new(&identity.given.name, &identity.given.version));
        let idle: Vec<_> = first.map(|newborn| newborn.0).into_iter().collect();
        Rc::new(Self {
            definition,
            label,
            worker,
            nursery,
            shared,
            live: Cell::new(idle.len()),
            idle: RefCell::new(idle),
            waiting: RefCell::default(),
            births: Cell::new(0),
            rest: Rest::default(),
            turn: Cell::new(0),
            lends: false,
            requests: Memo::default(),
            responses: Memo::default(),
            copies: Rc::default(),
        })
    }

    /// A pool of further instances of the same plugin, to be held for longer than a call.
    fn lending(&self) -> Rc<Self> {
        Rc::new(Self {
            definition: Arc::clone(&self.definition),
            label: Rc::clone(&self.label),
            worker: self.worker,
            nursery: self.nursery.clone(),
            shared: None,
            idle: RefCell::default(),
            waiting: RefCell::default(),
            live: Cell::new(0),
            births: Cell::new(0),
            rest: Rest::default(),
            turn: Cell::new(0),
            lends: true,
            requests: Memo::default(),
            responses: Memo::default(),
            copies: Rc::default(),
        })
    }

    /// Calls a function about an exchange.
    pub(super) async fn call<P, R>(
        self: &Rc<Self>,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> Answered<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let mut exchange = exchange;
        (exchange.trail.cost, exchange.trail.hashed) = (Cost::default(), None);
        let probe = match self.permission() {
            Ok(probe) => probe,
            Err(parked) => return uncalled(exchange, parked),
        };
        let acquired = match self.at_hand() {
            Some(acquired) => Ok(acquired),
            // Boxed, as calls that need not wait are not to carry its room.
            None => Box::pin(self.acquire_any()).await,
        };
        let (instance, vacancy) = match acquired {
            Ok(acquired) => acquired,
            Err(failure) => {
                let about = About { call: call.name, exchange: Some(&exchange) };
                self.judge(Some(&failure), about, probe);
                return uncalled(exchange, failure);
            }
        };
        exchange.trail.chooser = instance.address();
        let definition = &self.definition;
        definition.machine.ticker.touch();
        let stale = self.is_stale(&instance);
        let held = Held { instance, vacancy, stale };
        if stale || self.needs_task() {
            // Boxed, as calls that need no task are not to carry its room.
            return Box::pin(self.call_apart(held, call, exchange, probe)).await;
        }
        self.call_now(held, call, exchange, probe)
    }

    /// Makes a call in a task of its own, which is not dropped with its request.
    async fn call_apart<P, R>(
        self: &Rc<Self>,
        held: Held,
        call: Call<P, R>,
        exchange: Box<Exchange>,
        probe: Option<Probe>,
    ) -> Answered<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let pool = Rc::clone(self);
        let call = async move {
            let (mut held, name, sampled) = (held, call.name, pool.sampled());
            let instance = &mut held.instance;
            let limit = pool.definition.identity.given.limits.deadline;
            let caught_up = match held.stale {
                true => instance.catch_up(|members| update_deadline(limit, members)).await,
                false => Ok(()),
            };
            let mut time = None;
            let (mut exchange, result) = match caught_up {
                Ok(()) if sampled || pool.measures(&exchange) => {
                    let (answered, spent) = timed(instance.call_yielding(call, exchange)).await;
                    time = Some(spent);
                    answered
                }
                Ok(()) => instance.call_yielding(call, exchange).await,
                Err(failure) => (exchange, Err(failure)),
            };
            let failure = result.as_ref().err();
            pool.observe(&mut exchange, time, sampled, failure);
            let about = About { call: name, exchange: Some(&exchange) };
            pool.end(held, failure, about, probe);
            (exchange, result)
        };
        apart(call).await
    }

    /// Asks an instance for the state that its successor is to take.
    pub(super) async fn save(self: &Rc<Self>) -> Result<Vec<u8>, Failure> {
        let (instance, vacancy) = self.acquire_any().await?;
        self.definition.machine.ticker.touch();
        let pool = Rc::clone(self);
        let saved = async move {
            let mut held = Held { instance, vacancy, stale: false };
            let saved = held.instance.save().await;
            let about = About { call: "save", exchange: None };
            pool.end(held, saved.as_ref().err(), about, None);
            saved
        };
        apart(saved).await
    }

    /// Puts an instance back, or leaves its place to another, and draws the consequences.
    #[inline]
    fn end(
        self: &Rc<Self>,
        held: Held,
        failure: Option<&Failure>,
        about: About<'_>,
        probe: Option<Probe>,
    ) {
        let Held { instance, vacancy, .. } = held;
        if failure.is_some() {
            drop(instance);
            drop(vacancy);
            self.judge(failure, about, probe);
            return self.replace();
        }
        if probe.is_some() {
            self.judge(None, about, probe);
        }
        if instance.has_letters() {
            self.deliver(instance, vacancy);
        } else {
            vacancy.fill(instance);
        }
    }

    /// Writes down what a call took: for its request, and among those that stand for others.
    #[inline]
    fn observe(
        &self,
        exchange: &mut Exchange,
        time: Option<Duration>,
        sampled: bool,
        failure: Option<&Failure>,
    ) {
        let identity = &self.definition.identity;
        if let Some(time) = time.filter(|_| sampled) {
            identity.given.metrics.guest_time(self.worker, time);
        }
        if let Some(time) = time.filter(|_| identity.tally.is_watched()) {
            identity.tally.time(time);
        }
        let failed = failure.map(Failure::label);
        exchange.trail.cost = Cost { called: true, time: time.unwrap_or_default(), failed };
    }

    /// Whether a call is measured although it is none of those that stand for others.
    fn measures(&self, exchange: &Exchange) -> bool {
        exchange.trail.measured || self.definition.identity.tally.is_watched()
    }

    /// Whether a call is one in [`SAMPLED`], which the metrics measure. Counts it.
    fn sampled(&self) -> bool {
        let identity = &self.definition.identity;
        identity.given.metrics.call(self.worker);
        if identity.tally.is_watched() {
            identity.tally.call();
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn % SAMPLED == SAMPLED / 2
    }
}

/// Runs a future in a task of its own, which is not dropped with whoever awaits it.
async fn apart<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    match spawn_local(future).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the request with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// The answer of a plugin that was not called.
fn uncalled<R>(mut exchange: Box<Exchange>, failure: Failure) -> Answered<R> {
    exchange.trail.cost.failed = Some(failure.label());
    (exchange, Err(failure))
}

/// An instance that is held for a call.
struct Held {
    instance: Box<Instance>,
    vacancy: Vacancy,
    /// Whether it has to be told of its cluster first.
    stale: bool,
}

/// Runs a future and tells how long it ran, without the time that it waited.
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let (mut future, mut time) = (pin!(future), Duration::ZERO);
    let output = poll_fn(|context| {
        let begun = Instant::now();
        let poll = future.as_mut().poll(context);
        time += begun.elapsed();
        poll
    });
    (output.await, time)
}
