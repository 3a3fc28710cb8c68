//! The idle connections to one endpoint: which is lent next, and which go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::time::{Duration, Instant};

use super::ConnectSettings;
use super::fate::Fate;
use super::link::Link;
use super::trunk::{Stock, Trunk};
use crate::proxy_protocol::Subject;
use crate::wire::Limits;

/// How soon after a response what nobody asked for is likely to belong to it.
const SURPLUS: Duration = Duration::from_secs(3);

/// After how long an idle connection has shown that fewer would do.
const UNNEEDED: Duration = Duration::from_secs(10);

/// How long an endpoint that has sent such is asked once per connection.
const WARINESS: Duration = Duration::from_mins(1);

/// The idle connections to one endpoint, and those that are shared.
#[expect(clippy::vec_box, reason = "a link is boxed for life, and large")]
pub(super) struct Shelf {
    links: RefCell<Vec<Box<Link>>>,
    /// Those of HTTP/2.
    pub(super) stock: Stock,
    max_idle: Cell<usize>,
    idle_timeout: Cell<Duration>,
    /// Connections that are in use go back to an open shelf only.
    open: Cell<bool>,
    /// Until when no connection is used twice.
    wary: Cell<Option<Instant>>,
    clock: Rc<Cell<Instant>>,
}

impl Shelf {
    /// An empty one.
    pub(super) fn new(clock: &Rc<Cell<Instant>>) -> Rc<Self> {
        Rc::new(Self {
            links: RefCell::default(),
            stock: Stock::default(),
            max_idle: Cell::default(),
            idle_timeout: Cell::default(),
            open: Cell::new(true),
            wary: Cell::default(),
            clock: Rc::clone(clock),
        })
    }

    /// Goes by these from now on.
    pub(super) fn adopt(&self, settings: &ConnectSettings) {
        self.max_idle.set(settings.max_idle);
        self.idle_timeout.set(settings.idle_timeout);
    }

    /// Whether there are none, not even some in use.
    pub(super) fn is_empty(&self) -> bool {
        self.links.borrow().is_empty() && self.stock.len() == 0
    }

    /// How many are idle.
    pub(super) fn idle(&self) -> usize {
        self.links.borrow().len() + self.stock.idle()
    }

    /// Closes all that are idle: others need the descriptors.
    pub(super) fn clear(&self) {
        self.end(Fate::Cleared);
        self.stock.clear(Fate::Cleared);
    }

    /// The same, and closes all that come back.
    pub(super) fn close(&self) {
        self.open.set(false);
        self.end(Fate::Gone);
        self.stock.close(Fate::Gone);
    }

    /// The time of the last sweep.
    pub(super) fn now(&self) -> Instant {
        self.clock.get()
    }

    /// A shared connection is used by nobody any more.
    pub(super) fn rested(&self, trunk: &Trunk) {
        let most = self.max_idle.get();
        self.stock.rested(trunk, self.clock.get(), (self.open.get(), most));
    }

    fn end(&self, fate: Fate) {
        for mut link in self.links.take() {
            link.fate = fate;
        }
    }

    /// The last one that tells of the same as the new one would, and was opened for such heads: a
    /// reload may have changed what they may be.
    pub(super) fn take(
        &self,
        told: Option<&Rc<Subject>>,
        heads: Limits,
        single: bool,
    ) -> Option<Box<Link>> {
        loop {
            let mut links = self.links.borrow_mut();
            let mut each = links.iter();
            let place = each.rposition(|link| link.heads == heads && link.tells_of(told))?;
            let mut link = links.remove(place);
            drop(links);
            // The runtime hears of what comes within a turn of the worker. To ask the system as well is a call
            // more: of little use where it has been used in this very tick, unless all depends on it.
            let ask = single || link.idle_since != self.clock.get();
            if link.is_open() && (!ask || link.is_quiet()) {
                return Some(link);
            }
            self.is_over(&mut link);
        }
    }

    /// An idle connection has ended, or has to. That of an endpoint which has sent more than it was
    /// asked for right after its last response makes wary of all: what it sends a moment later would be
    /// taken for the response to another request.
    fn is_over(&self, link: &mut Link) {
        link.fate = Fate::Closed;
        if !link.has_unasked() {
            return;
        }
        link.fate = Fate::Talkative;
        let now = self.clock.get();
        // Servers that are about to close say so after a while (408): that is no surplus.
        if now.duration_since(link.idle_since) > SURPLUS {
            return;
        }
        self.beware(link);
    }

    /// Its endpoint sends more than it is asked.
    fn beware(&self, link: &Link) {
        if self.wary.replace(Some(self.clock.get() + WARINESS)).is_none() {
            link.warn();
        }
        self.end(Fate::Talkative);
    }

    /// Takes one back, unless there is no use for it.
    pub(super) fn put(&self, mut link: Box<Link>) {
        let mut links = self.links.borrow_mut();
        // Of what serves one client each, the newer is the likelier to be wanted again; of what serves all,
        // one is as good as another.
        let stale = match links.len() >= self.max_idle.get() {
            true => Some(links.iter().position(|old| old.told.is_some() || link.told.is_some())),
            false => None,
        };
        if !self.open.get() {
            link.fate = Fate::Gone;
        } else if self.wary.get().is_some() {
            link.fate = Fate::Talkative;
        } else if link.is_forsaken() {
            link.fate = Fate::Forsaken;
        } else if stale == Some(None) {
            link.fate = Fate::Surplus;
        } else {
            if let Some(Some(place)) = stale {
                links.remove(place).fate = Fate::Surplus;
            }
            link.idle_since = self.clock.get();
            link.tell("connection returned");
            links.push(link);
        }
    }

    /// Drops those that were closed, have been idle too long, or are too many.
    pub(super) fn sweep(&self, now: Instant) {
        self.wary.set(self.wary.get().filter(|until| now < *until));
        self.stock.sweep(now, self.idle_timeout.get(), self.max_idle.get());
        let mut links = self.links.borrow_mut();
        let timeout = self.idle_timeout.get();
        let gone = links.extract_if(.., |link| {
            let fresh = now - link.idle_since < timeout;
            let wanted = !link.is_forsaken();
            link.fate = match (wanted, fresh) {
                (false, _) => Fate::Forsaken,
                (true, false) => Fate::Idle,
                (true, true) => Fate::Closed,
            };
            let kept = wanted && fresh && link.is_open();
            if kept {
                link.fate = Fate::Dropped;
            }
            !kept
        });
        let over: Vec<_> = gone.filter(|link| link.fate == Fate::Closed).collect();
        let surplus = links.len().saturating_sub(self.max_idle.get());
        links.drain(..surplus).for_each(|mut link| link.fate = Fate::Surplus);
        Self::let_go(&mut links, now);
        links.iter_mut().for_each(|link| link.rest());
        drop(links);
        over.into_iter().for_each(|mut link| self.is_over(&mut link));
    }

    /// Closes half of the connections that nobody has needed for a while, those of single clients apart: what
    /// a burst has taken is not to stay for as long as one connection may. HAProxy does so every
    /// `pool-purge-delay`.
    #[expect(clippy::vec_box, reason = "as in the shelf")]
    fn let_go(links: &mut Vec<Box<Link>>, now: Instant) {
        let unneeded = |link: &Link| link.told.is_none() && now - link.idle_since >= UNNEEDED;
        let mut half = links.iter().filter(|link| unneeded(link)).count() / 2;
        let gone = links.extract_if(.., |link| {
            let goes = half > 0 && unneeded(link);
            half -= usize::from(goes);
            goes
        });
        gone.for_each(|mut link| link.fate = Fate::Surplus);
    }
}
