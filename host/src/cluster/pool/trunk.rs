//! One HTTP/2 connection to an endpoint, which many requests share.
//!
//! It lies on its endpoint's shelf for as long as new requests may use it, and is lent to as many at once
//! as it has streams for: what the upstream grants, and [`STREAMS`] at most. A task of its own drives it
//! (see [`opening`]), until nobody has it any more or the upstream has closed it.
//!
//! What one request does wrong, or its client, costs its stream alone. Two things set a connection aside: that
//! the upstream says so (GOAWAY), and that nothing has come of it although something should have: after
//! a silence a PING goes with the next request, and if nothing comes for as long again, or a response is
//! waited for in vain, the connection is lent to nobody until it shows that it lives. Idle connections
//! are sent no PINGs: servers take such for abuse.
//!
//! Memory: a stream may have [`WINDOW_BYTES`] under way or unread, and the connection as much for each stream,
//! so that no client that reads slowly takes room from another's response.

mod download;
mod exchange;
mod flood;
mod head;
mod opening;
mod stock;
mod upload;
mod wire;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use tokio::time::{Duration, Instant};

pub(super) use self::exchange::Failure;
pub(super) use self::opening::{Dial, open};
pub(super) use self::stock::Stock;
use super::fate::Fate;
use super::shelf::Shelf;
use crate::cluster::peer::Peer;
use crate::proxy_protocol::Subject;
use crate::socket::Tally;
use crate::wire::Limits;

/// The most streams of a connection, whatever the upstream grants: what RFC 9113 calls enough.
const STREAMS: usize = 100;

/// What a stream may have under way: at a round trip of a millisecond 128 MB per second.
const WINDOW_BYTES: u32 = 128 << 10;

/// After how many malformed responses it is lent no more.
const FAULTS: usize = 10;

/// What is waited for a sign of life, before a PING and after it.
const SILENCE: Duration = Duration::from_secs(5);

/// A connection, and who has it.
pub(super) struct Trunk {
    /// Only clones are used: one that has opened a stream remembers whether that waits.
    sender: SendRequest<Bytes>,
    pings: RefCell<PingPong>,
    life: Rc<Life>,
    home: Weak<Shelf>,
    told: Option<Weak<Subject>>,
    heads: Limits,
    /// Requests are sent as for `https`.
    secure: bool,
    streams: Cell<usize>,
    /// How many streams it may have, as far as we know better than the upstream's SETTINGS.
    most: Cell<usize>,
    /// How many malformed responses came.
    faults: Cell<usize>,
    /// It has been lent before.
    served: Cell<bool>,
    idle_since: Cell<Instant>,
    /// When it was last looked at.
    looked: Cell<Instant>,
    /// What had been read of it when it was last looked at, and since when it is that.
    seen: Cell<(u64, Instant)>,
    /// The same of when a PING was sent that has not been answered yet.
    asked: Cell<Option<(u64, Instant)>>,
    /// What had been read of it when it was given up. Something that comes rehabilitates it.
    doubted: Cell<Option<u64>>,
}

/// What a connection and its driver know of each other.
pub(super) struct Life {
    peer: Peer,
    read: Tally,
    flood: RefCell<flood::Watch>,
    fate: Cell<Fate>,
    over: Cell<bool>,
    driver: RefCell<Waker>,
}

/// The right to open one stream.
pub(super) struct Lease {
    sender: SendRequest<Bytes>,
    ticket: Rc<Ticket>,
    /// Whether the connection had been lent before.
    pub(super) reused: bool,
}

/// Counts a stream as open.
struct Ticket(Rc<Trunk>);

impl Trunk {
    /// Whether it may have one stream more, and nothing speaks against that.
    fn has_room(&self) -> bool {
        let granted = self.sender.current_max_send_streams();
        self.streams.get() < self.most.get().min(granted) && !self.is_doubtful()
    }

    /// Lends a stream, if the upstream takes new ones.
    fn lend(self: &Rc<Self>, now: Instant) -> Option<Lease> {
        let mut sender = self.sender.clone();
        // Without a stream that waits, this asks whether the connection is over, or about to be.
        let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        if self.life.over.get() || !matches!(ready, Poll::Ready(Ok(()))) {
            return None;
        }
        self.ask(now);
        self.streams.set(self.streams.get() + 1);
        let reused = self.served.replace(true);
        Some(Lease { sender, ticket: Rc::new(Ticket(Rc::clone(self))), reused })
    }

    /// Whether it has told of just this, or of nothing.
    fn tells_of(&self, subject: Option<&Rc<Subject>>) -> bool {
        self.told.as_ref().map(Weak::as_ptr) == subject.map(Rc::as_ptr)
    }

    fn is_forsaken(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.strong_count() == 0)
    }

    fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    fn is_doubtful(&self) -> bool {
        self.doubted.get() == Some(self.life.read.bytes())
    }

    /// Nothing has come of it for too long.
    fn doubt(&self) {
        self.doubted.set(Some(self.life.read.bytes()));
    }

    /// Asks it for a sign of life, unless it has given one lately.
    fn ask(&self, now: Instant) {
        let (seen, since) = self.seen.get();
        let read = self.life.read.bytes();
        let silent = read == seen && now.duration_since(since) >= SILENCE;
        if silent && self.asked.get().is_none() {
            // One that waits for its answer is as good.
            let _ = self.pings.borrow_mut().send_ping(Ping::opaque());
            self.asked.set(Some((read, now)));
        }
    }

    /// Looks whether it has given a sign of life.
    fn look(&self, now: Instant) {
        let read = self.life.read.bytes();
        let passed = now.duration_since(self.looked.replace(now)).as_secs();
        self.life.flood.borrow_mut().passed(passed);
        if read != self.seen.get().0 {
            self.seen.set((read, now));
        }
        let Some((asked, since)) = self.asked.get() else { return };
        if read != asked {
            self.asked.set(None);
            let mut noted = Context::from_waker(Waker::noop());
            let _ = self.pings.borrow_mut().poll_pong(&mut noted);
        } else if now.duration_since(since) >= SILENCE {
            self.doubt();
        }
    }

    /// A body has broken off after a silence.
    fn fell_silent(&self) {
        self.look(Instant::now());
        let (read, since) = self.seen.get();
        if read == self.life.read.bytes() && Instant::now().duration_since(since) >= SILENCE {
            self.doubt();
        }
    }

    /// The upstream has refused a stream: it has room for no more than it has, until a response comes to its end.
    fn refused(&self) {
        self.most.set(self.streams.get().saturating_sub(1).min(self.most.get()));
        if self.most.get() == 0 {
            self.retire(Fate::Closed);
        }
    }

    /// What came is malformed. Whoever causes many of those is not to cost others their streams as well, which
    /// they would lose if the connection had to end.
    fn faulted(&self) {
        self.faults.set(self.faults.get() + 1);
        if self.faults.get() >= FAULTS {
            self.retire(Fate::Faulty);
        }
    }

    /// A response has come to its end.
    fn answered(&self) {
        self.most.set((self.most.get() + 1).min(STREAMS));
    }

    /// It is lent no more; it closes when its streams have ended.
    fn retire(&self, fate: Fate) {
        self.life.fate.set(fate);
        if let Some(home) = self.home.upgrade() {
            home.stock.remove(self);
        }
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        // What waits for room to write is not woken by the last of those who could open streams.
        self.life.driver.borrow().wake_by_ref();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let trunk = &self.0;
        trunk.streams.set(trunk.streams.get().saturating_sub(1));
        if trunk.is_idle()
            && let Some(home) = trunk.home.upgrade()
        {
            home.rested(trunk);
        }
    }
}
