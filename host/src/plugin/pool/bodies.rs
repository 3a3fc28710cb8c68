//! Bodies that a plugin transforms on one worker, each a [`Session`] with the instance that began it.
//!
//! - Bodies have instances apart from those that are asked about heads, so that long bodies keep
//!   nobody from deciding. There are at most as many as the plugin's limit says. As long as that
//!   allows, each body has one to itself, and a trap costs one body; beyond, they share.
//! - Every call is made in a task of its own, and yields. Whoever leaves drops the session, not the
//!   call: once that has returned, the body is abandoned, and its instance serves the next.
//! - An instance that is lost takes the bodies with it that it had begun: their next calls fail.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_local;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};

use super::verdict::Probe;
use super::{About, Pool, Vacancy, apart, timed};
use crate::log::access::calls::{Cost, Label};
use crate::plugin::Rejected;
use crate::plugin::bindings::body::Output;
use crate::plugin::bindings::types::Phase;
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::Running;
use crate::plugin::instance::{Call, Faces, Instance};

/// The most bytes that one call may give.
const OUTPUT_BYTES: usize = 256 << 10;

/// The most calls in a row that may promise more and give nothing.
const IDLE: u32 = 16;

/// The bodies that a plugin transforms on one worker.
pub(in crate::plugin) struct Bodies {
    pool: Rc<Pool>,
    /// The instances that have begun bodies.
    seats: RefCell<Vec<Rc<Seat>>>,
    /// Tells of another one.
    seated: Notify,
    /// The number of the next body.
    next: Cell<u64>,
}

/// An instance with the bodies that it has begun.
struct Seat {
    /// Absent once it is lost. Calls are made one after the other.
    instance: Mutex<Option<(Box<Instance>, Vacancy)>>,
    bodies: Cell<usize>,
}

/// A body's part in a seat, given up when this is dropped.
struct Place {
    bodies: Rc<Bodies>,
    seat: Rc<Seat>,
}

/// A body that is being transformed. Dropped before its end, it is abandoned.
pub struct Session {
    id: u64,
    place: Option<Place>,
    /// What getters answer about: the head as it was when the body began. Absent within a call.
    exchange: Option<Box<Exchange>>,
    /// Whether the guest knows of the body, and of no end of it.
    open: bool,
    /// Calls in a row that have given nothing and promised more.
    idle: u32,
    /// What the last call took.
    cost: Cost,
}

/// What a call about a body gives.
#[derive(Debug)]
pub struct Transformed {
    /// To pass on.
    pub bytes: Bytes,
    /// Whether the same call is to be made again, without a chunk, before anything else.
    pub more: bool,
}

/// What a call gave, with the session that it was about.
type Answered = (Session, Result<Transformed, Rejected>);

impl Bodies {
    /// Those of a plugin that has this pool for its other calls.
    pub(in crate::plugin) fn new(pool: &Pool) -> Rc<Self> {
        Rc::new(Self {
            pool: pool.lending(),
            seats: RefCell::default(),
            seated: Notify::new(),
            next: Cell::new(1),
        })
    }

    /// Has an instance begin a body, and tells what that took.
    pub(in crate::plugin) async fn begin(
        self: &Rc<Self>,
        exchange: Box<Exchange>,
    ) -> (Cost, Result<Session, Failure>) {
        let failed = |failure: &Failure| Cost { failed: Some(failure.label()), ..Cost::default() };
        let probe = match self.pool.permission() {
            Ok(probe) => probe,
            Err(parked) => return (failed(&parked), Err(parked)),
        };
        let place = match self.place().await {
            Ok(place) => place,
            Err(failure) => {
                let about = About { call: "begin", exchange: Some(&exchange) };
                self.pool.judge(Some(&failure), about, probe);
                return (failed(&failure), Err(failure));
            }
        };
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        let mut session = Session {
            id,
            place: Some(place),
            exchange: Some(exchange),
            open: true,
            idle: 0,
            cost: Cost::default(),
        };
        let begin = async move {
            let params = (id, Phase::Response);
            let result = session.call("begin", |faces| faces.begin, params, probe).await;
            (session.cost, result.map(|()| session))
        };
        apart(begin).await
    }

    /// Finds an instance for another body: one that has none, or may be made, else the one that has
    /// fewest.
    async fn place(self: &Rc<Self>) -> Result<Place, Failure> {
        let taken = loop {
            if !self.pool.has_room() {
                let seats = self.seats.borrow();
                if let Some(seat) = seats.iter().min_by_key(|seat| seat.bodies.get()) {
                    seat.bodies.set(seat.bodies.get() + 1);
                    return Ok(Place { bodies: Rc::clone(self), seat: Rc::clone(seat) });
                }
            }
            // The instances may all be on their way to others, who will share theirs.
            tokio::select! {
                biased;
                taken = self.pool.acquire() => break taken?,
                () = self.seated.notified() => {}
            }
        };
        let seat = Rc::new(Seat { instance: Mutex::new(Some(taken)), bodies: Cell::new(1) });
        self.seats.borrow_mut().push(Rc::clone(&seat));
        self.seated.notify_waiters();
        Ok(Place { bodies: Rc::clone(self), seat })
    }

    /// Gives back instances that bodies do not need any more.
    pub(in crate::plugin) fn sweep(&self) {
        self.pool.sweep();
    }

    /// No further body is to begin there.
    fn close(&self, seat: &Rc<Seat>) {
        self.seats.borrow_mut().retain(|known| !Rc::ptr_eq(known, seat));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let seat = &self.seat;
        seat.bodies.set(seat.bodies.get().saturating_sub(1));
        if seat.bodies.get() > 0 {
            return;
        }
        self.bodies.close(seat);
        // Calls hold their place, so none is being made.
        if let Ok(mut instance) = seat.instance.try_lock()
            && let Some((instance, vacancy)) = instance.take()
        {
            vacancy.fill(instance);
        }
    }
}

impl Session {
    /// Transforms a chunk of 1 byte to 64 KiB, or none where more was promised.
    ///
    /// # Errors
    ///
    /// How it failed. The session is of no further use then.
    pub fn transform(mut self, chunk: &[u8]) -> impl Future<Output = Answered> + 'static + use<> {
        let params = (self.id, chunk.to_vec());
        apart(async move {
            let result = self.call("transform", |faces| faces.transform, params, None).await;
            let result = self.judged("transform", result);
            (self, result)
        })
    }

    /// The body has ended: gives what is left, in as many calls as the output says.
    ///
    /// # Errors
    ///
    /// How it failed. The session is of no further use then.
    pub fn finish(mut self) -> impl Future<Output = Answered> + 'static + use<> {
        apart(async move {
            let params = (self.id,);
            let result = self.call("finish", |faces| faces.finish, params, None).await;
            if result.as_ref().is_ok_and(|(output,)| !output.more) {
                self.open = false;
            }
            let result = self.judged("finish", result);
            (self, result)
        })
    }

    /// Whether the plugin expects further calls about the body.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What the last call took.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The plugin, as access lines name it; none once the body is over.
    #[must_use]
    pub fn label(&self) -> Option<&Rc<Label>> {
        self.place.as_ref().map(|place| &place.bodies.pool.label)
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        let place = self.place.as_ref();
        place.map_or("", |place| &place.bodies.pool.definition.config.name)
    }

    /// Makes a call, once the others of the same instance have returned.
    async fn call<P, R>(
        &mut self,
        name: &'static str,
        face: fn(&Faces) -> Option<TypedFunc<P, R>>,
        params: P,
        probe: Option<Probe>,
    ) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (Some(place), Some(exchange)) = (&self.place, self.exchange.take()) else {
            return Err(Failure::Lost);
        };
        let (pool, seat) = (&place.bodies.pool, &place.seat);
        let mut held = seat.instance.lock().await;
        let Some((mut instance, vacancy)) = held.take() else {
            self.open = false;
            self.exchange = Some(exchange);
            self.cost = Cost { failed: Some(Failure::Lost.label()), ..Cost::default() };
            return Err(Failure::Lost);
        };
        pool.definition.machine.ticker.touch();
        let sampled = pool.sampled();
        let call = Call { name, face, params, running: Running::Body };
        let ((mut exchange, result), time) = timed(instance.call_yielding(call, exchange)).await;
        let failure = result.as_ref().err();
        pool.observe(&mut exchange, Some(time), sampled, failure);
        self.cost = exchange.trail.cost;
        let given_up = instance.given_up();
        if failure.is_none() {
            *held = Some((instance, vacancy));
        } else {
            self.open = false;
            place.bodies.close(seat);
            drop((instance, vacancy));
        }
        pool.judge(failure, About { call: name, exchange: Some(&exchange) }, probe);
        if failure.is_some() {
            pool.replace();
        }
        self.exchange = Some(exchange);
        match (result, given_up) {
            (Ok(_), Some(reason)) => {
                let failure = Failure::GivenUp(reason);
                self.open = false;
                self.cost.failed = Some(failure.label());
                Err(failure)
            }
            (result, _) => result,
        }
    }

    /// Holds what a call gave to the contract.
    fn judged(
        &mut self,
        call: &'static str,
        result: Result<(Output,), Failure>,
    ) -> Result<Transformed, Rejected> {
        let rejected = |failure: &Failure| Rejected(failure.words().into());
        let (output,) = result.map_err(|failure| rejected(&failure))?;
        let given = output.bytes.len();
        self.idle = if given == 0 && output.more { self.idle + 1 } else { 0 };
        let text = if given > OUTPUT_BYTES {
            format!("{given} bytes are more than {OUTPUT_BYTES} in one call")
        } else if self.idle > IDLE {
            format!("promised more {IDLE} times in a row, and gave nothing")
        } else {
            return Ok(Transformed { bytes: output.bytes.into(), more: output.more });
        };
        let failure = Failure::Contract(text);
        self.cost.failed = Some(failure.label());
        if let Some(place) = &self.place {
            let about = About { call, exchange: self.exchange.as_deref() };
            place.bodies.pool.unfit(&failure, about);
        }
        Err(rejected(&failure))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (Some(place), true) = (self.place.take(), self.open) else { return };
        let mut rest = Self {
            id: self.id,
            place: Some(place),
            exchange: self.exchange.take(),
            open: false,
            idle: 0,
            cost: Cost::default(),
        };
        spawn_local(async move {
            let params = (rest.id,);
            // How that went is written down like any call, and concerns nobody any more.
            let _ = rest.call("abandon", |faces| faces.abandon, params, None).await;
        });
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}
