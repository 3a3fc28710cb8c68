//! The HTTP/2 connections to one endpoint that new requests may use, and those that are being opened.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::{Lease, STREAMS, Trunk};
use crate::cluster::connect::ConnectError;
use crate::cluster::pool::fate::Fate;
use crate::proxy_protocol::Subject;
use crate::socket::Stream;
use crate::wire::Limits;

/// How long an endpoint that has chosen HTTP/1 is not asked again.
const CHOICE: Duration = Duration::from_mins(1);

/// What a shelf has of them.
pub(in crate::cluster::pool) struct Stock {
    /// Those in use too, in the order in which they were opened.
    trunks: RefCell<Vec<Rc<Trunk>>>,
    openings: RefCell<Vec<Rc<Opening>>>,
    /// How many streams the last one was granted.
    granted: Cell<usize>,
    /// Until when the endpoint counts as one that chooses HTTP/1.
    single: Cell<Option<Instant>>,
}

/// A connection that is being opened, for all who wait for it.
pub(in crate::cluster::pool) struct Opening {
    pub(super) told: Option<Weak<Subject>>,
    pub(super) heads: Limits,
    waiting: Cell<usize>,
    outcome: RefCell<Option<Result<(), ConnectError>>>,
    /// The connection of an endpoint that has chosen HTTP/1, until somebody takes it.
    single: RefCell<Option<Stream>>,
    done: Notify,
}

/// What an opening has ended with.
pub(super) enum Opened<'a> {
    /// A connection for all who wait.
    Shared(&'a Rc<Trunk>),
    /// One of HTTP/1, for one of them, at this time.
    Single(Stream, Instant),
}

/// Counts one as waiting.
struct Seat<'a>(&'a Opening);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

impl Default for Stock {
    fn default() -> Self {
        Self {
            trunks: RefCell::default(),
            openings: RefCell::default(),
            granted: Cell::new(STREAMS),
            single: Cell::default(),
        }
    }
}

impl Stock {
    /// How many there are.
    pub(in crate::cluster::pool) fn len(&self) -> usize {
        self.trunks.borrow().len()
    }

    /// How many are used by nobody.
    pub(in crate::cluster::pool) fn idle(&self) -> usize {
        self.trunks.borrow().iter().filter(|trunk| trunk.is_idle()).count()
    }

    /// A stream on the first that has room for it, tells of the same as a new one would, and was opened for
    /// such heads: those behind it grow old and go.
    pub(in crate::cluster::pool) fn lend(
        &self,
        told: Option<&Rc<Subject>>,
        heads: Limits,
        now: Instant,
    ) -> Option<Lease> {
        loop {
            let trunks = self.trunks.borrow();
            let mut fit =
                trunks.iter().filter(|trunk| trunk.heads == heads && trunk.tells_of(told));
            let trunk = Rc::clone(fit.find(|trunk| trunk.has_room())?);
            drop(trunks);
            match trunk.lend(now) {
                Some(lease) => return Some(lease),
                // It takes no new streams, and ends with those that it has.
                None => trunk.retire(Fate::Closed),
            }
        }
    }

    /// One that is being opened, and will have room.
    pub(in crate::cluster::pool) fn opening(
        &self,
        told: Option<&Rc<Subject>>,
        heads: Limits,
    ) -> Option<Rc<Opening>> {
        let openings = self.openings.borrow();
        let subject = told.map(Rc::as_ptr);
        let mut fit = openings.iter().filter(|opening| {
            opening.heads == heads && opening.told.as_ref().map(Weak::as_ptr) == subject
        });
        fit.find(|opening| opening.waiting.get() < self.granted.get()).map(Rc::clone)
    }

    /// Notes that one is being opened.
    pub(in crate::cluster::pool) fn begin(
        &self,
        told: Option<&Rc<Subject>>,
        heads: Limits,
    ) -> Rc<Opening> {
        let opening = Rc::new(Opening {
            told: told.map(Rc::downgrade),
            heads,
            waiting: Cell::new(0),
            outcome: RefCell::new(None),
            single: RefCell::default(),
            done: Notify::new(),
        });
        self.openings.borrow_mut().push(Rc::clone(&opening));
        opening
    }

    /// Whether the endpoint has chosen HTTP/1 lately.
    pub(in crate::cluster::pool) fn chooses_http1(&self, now: Instant) -> bool {
        self.single.get().is_some_and(|until| now < until)
    }

    /// Ends an opening, with a connection or without.
    pub(super) fn opened(&self, opening: &Rc<Opening>, outcome: Result<Opened<'_>, ConnectError>) {
        self.openings.borrow_mut().retain(|other| !Rc::ptr_eq(other, opening));
        let outcome = outcome.map(|opened| match opened {
            Opened::Shared(trunk) => {
                self.granted.set(trunk.sender.current_max_send_streams().clamp(1, STREAMS));
                self.trunks.borrow_mut().push(Rc::clone(trunk));
            }
            Opened::Single(stream, now) => {
                self.single.set(Some(now + CHOICE));
                *opening.single.borrow_mut() = Some(stream);
            }
        });
        *opening.outcome.borrow_mut() = Some(outcome);
        opening.done.notify_waiters();
    }

    pub(super) fn remove(&self, trunk: &Trunk) {
        let mut trunks = self.trunks.borrow_mut();
        let place = trunks.iter().position(|other| std::ptr::eq(&raw const **other, trunk));
        let removed = place.map(|place| trunks.remove(place));
        drop(trunks);
        drop(removed);
    }

    /// Lends no more those of which `why` gives a reason. They close when they are used by nobody.
    fn let_go(&self, mut why: impl FnMut(&Trunk) -> Option<Fate>) {
        let mut gone = Vec::new();
        self.trunks.borrow_mut().retain(|trunk| match why(trunk) {
            Some(fate) => {
                trunk.life.fate.set(fate);
                gone.push(Rc::clone(trunk));
                false
            }
            None => true,
        });
    }

    /// Closes those that are idle.
    pub(in crate::cluster::pool) fn clear(&self, fate: Fate) {
        self.let_go(|trunk| trunk.is_idle().then_some(fate));
    }

    /// Lends none of them any more.
    pub(in crate::cluster::pool) fn close(&self, fate: Fate) {
        self.let_go(|_| Some(fate));
    }

    /// Drops those that have been idle for too long, are too many, or do not seem to live.
    pub(in crate::cluster::pool) fn sweep(&self, now: Instant, timeout: Duration, most: usize) {
        self.trunks.borrow().iter().for_each(|trunk| trunk.look(now));
        let mut surplus = self.idle().saturating_sub(most);
        self.let_go(|trunk| {
            if trunk.life.over.get() {
                return Some(Fate::Closed);
            }
            if trunk.is_forsaken() {
                return Some(Fate::Forsaken);
            }
            if !trunk.is_idle() {
                return None;
            }
            if trunk.is_doubtful() {
                return Some(Fate::Silent);
            }
            if now.duration_since(trunk.idle_since.get()) >= timeout {
                return Some(Fate::Idle);
            }
            surplus = surplus.checked_sub(1)?;
            Some(Fate::Surplus)
        });
    }

    /// One that is used by nobody any more stays, unless there is a reason against it.
    pub(in crate::cluster::pool) fn rested(
        &self,
        trunk: &Trunk,
        now: Instant,
        (open, most): (bool, usize),
    ) {
        trunk.idle_since.set(now);
        let fate = if !open {
            Fate::Gone
        } else if trunk.is_forsaken() {
            Fate::Forsaken
        } else if self.idle() > most {
            Fate::Surplus
        } else {
            return;
        };
        trunk.life.fate.set(fate);
        self.remove(trunk);
    }
}

impl Opening {
    /// Waits until it has succeeded or failed. If it gave a connection of HTTP/1, one of those who wait gets that.
    pub(in crate::cluster::pool) async fn wait(&self) -> Result<Option<Stream>, ConnectError> {
        self.waiting.set(self.waiting.get() + 1);
        let _seat = Seat(self);
        loop {
            let done = self.done.notified();
            if let Some(outcome) = &*self.outcome.borrow() {
                let single = || self.single.take();
                return outcome.as_ref().map(|()| single()).map_err(ConnectError::again);
            }
            done.await;
        }
    }
}
