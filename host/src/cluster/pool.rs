//! The upstream connections of one worker.
//!
//! The pool lends slots for one request each, not connections, so that a protocol with several
//! requests on one connection fits behind the same face.
//!
//! No task drives a connection: the request drives it until the head of the response has come,
//! then the body of the response does, whenever it is asked for data; when that has come to its
//! end the connection goes back to the pool, and is driven by nobody. A body that comes with its head
//! is taken at once. That a connection was closed in the pool shows when it is lent again, or at a sweep.
//! Only a connection whose upstream answers before it has taken the whole request gets a task
//! (`detached`), for which a `LocalRuntime` or `LocalSet` must be around.
//!
//! Idle connections are reused last in, first out, so that surplus ones grow old and go. Their
//! age is measured from one [`sweep`](Pool::sweep) to another: nobody reads a clock per request.
//!
//! Connections of HTTP/2 are shared, and driven by tasks of their own (`trunk`).
//!
//! A connection that begins with a PROXY header tells of one downstream connection, and serves the
//! requests of no other. When that one is gone it goes as well.

mod answer;
mod detached;
mod error;
mod fate;
mod link;
mod sending;
mod shelf;
mod slot;
#[cfg(test)]
mod tests;
mod trunk;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use http::header::{EXPECT, HOST};
use http::{self, HeaderValue, Request, request};
use tokio::time::{Duration, Instant};

pub use self::error::{SendError, SendErrorKind};
use self::link::Link;
use self::shelf::Shelf;
use self::slot::Line;
pub use self::slot::Slot;
use self::trunk::Dial;
use crate::body::{DownloadLimits, RequestBody};
use crate::cluster::connect::{ConnectError, connect};
use crate::cluster::peer::Way;
use crate::config::Protocol;
use crate::headers;
use crate::proxy_protocol::{Subject, Version, encode};
use crate::socket::Stream;
use crate::wire::Limits;

/// How connections to one endpoint are made and kept.
#[derive(Debug, Clone, Copy)]
pub struct ConnectSettings {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a connection is kept unused, to within the time between two sweeps.
    pub idle_timeout: Duration,
    /// The most unused connections kept.
    pub max_idle: usize,
    /// What is spoken over them.
    pub protocol: Protocol,
    /// The PROXY header that connections begin with.
    pub proxy_protocol: Option<Version>,
    /// What bounds the heads of responses.
    pub heads: Limits,
}

/// What bounds one request and its response.
#[derive(Debug, Clone, Copy)]
pub struct SendLimits {
    /// How long the upstream may take to answer. The clock starts anew with each chunk of the
    /// request that it takes, and stands still while the client is the slow one.
    pub response_timeout: Duration,
    /// The same for the response body.
    pub download: DownloadLimits,
}

/// The upstream connections of one worker. Clones share them.
#[derive(Clone)]
pub struct Pool(Rc<Shared>);

struct Shared {
    shelves: RefCell<HashMap<u64, Rc<Shelf>, BuildHasherDefault<KeyHasher>>>,
    /// The time of the last sweep.
    clock: Rc<Cell<Instant>>,
}

/// Keys are identities that we give ourselves: mixing them is enough.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0 ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A request as an upstream is to get it. One of `http` becomes it as it is.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its head, but for what stands below: borrowed, so that another attempt finds it as it was.
    pub head: Cow<'a, request::Parts>,
    /// The Host in place of that of the head.
    pub host: Option<&'a HeaderValue>,
    /// Whether the upstream is asked for consent, if the client has asked for it.
    pub consent: bool,
    /// The protocols that it may switch to, over HTTP/1, in place of what the head says.
    pub offer: Option<HeaderValue>,
    /// Its body. Where the head says nothing of its length, that is added.
    pub body: RequestBody,
}

impl From<Request<RequestBody>> for Outgoing<'_> {
    fn from(request: Request<RequestBody>) -> Self {
        let (head, body) = request.into_parts();
        Self { head: Cow::Owned(head), host: None, consent: true, offer: None, body }
    }
}

impl Outgoing<'_> {
    /// The same as one of `http`, without the offer.
    fn into_request(self) -> Request<RequestBody> {
        let Self { head, host, consent, offer: _, body } = self;
        let mut head = head.into_owned();
        if let Some(host) = host {
            // There is room: heads are bounded far below.
            let _ = headers::set(&mut head.headers, HOST, host.clone());
        }
        if !consent {
            head.headers.remove(EXPECT);
        }
        Request::from_parts(head, body)
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        let clock = Rc::new(Cell::new(Instant::now()));
        Self(Rc::new(Shared { shelves: RefCell::default(), clock }))
    }

    /// A slot on an idle connection to the endpoint that `key` identifies, or else on a new one
    /// where `to` leads, which is the same for all that is asked for with this key. The settings hold for the connections of that endpoint from now on. If connections
    /// have to tell of the downstream connection, `told` is what they tell, and is one value for all
    /// requests of one. The system is asked about a connection that is there if a request is `single`, which
    /// cannot be repeated when that turns out to be closed.
    pub async fn acquire(
        &self,
        key: u64,
        to: impl Into<Way<'_>>,
        settings: &ConnectSettings,
        told: &Rc<Subject>,
        single: bool,
    ) -> Result<Slot, ConnectError> {
        let to = to.into();
        let shelf = self.shelf(key, settings);
        let told = settings.proxy_protocol.map(|version| (version, told));
        let chosen = settings.protocol == Protocol::Auto && to.tls.is_some();
        if settings.protocol == Protocol::Http2 || chosen {
            return Box::pin(self.stream(&shelf, to, settings, told, single)).await;
        }
        match Self::link(&shelf, settings, told, single) {
            Some(slot) => Ok(slot),
            None => self.new_link(shelf, to, settings, told).await,
        }
    }

    /// A slot on an idle connection of HTTP/1.
    fn link(
        shelf: &Rc<Shelf>,
        settings: &ConnectSettings,
        told: Option<(Version, &Rc<Subject>)>,
        single: bool,
    ) -> Option<Slot> {
        let mut link = shelf.take(told.map(|(_, told)| told), settings.heads, single)?;
        link.home = Some(Rc::clone(shelf));
        Some(Slot(Line::Link { link, reused: true }))
    }

    /// A slot on a new one.
    async fn new_link(
        &self,
        shelf: Rc<Shelf>,
        to: Way<'_>,
        settings: &ConnectSettings,
        told: Option<(Version, &Rc<Subject>)>,
    ) -> Result<Slot, ConnectError> {
        let header = told.map(|(version, told)| encode(version, **told)).unwrap_or_default();
        let offered = Protocol::Http1.offered();
        let patience = settings.connect_timeout;
        let stream = connect(to, patience, &header, offered, || self.relieve()).await?;
        Ok(Self::linked(shelf, stream, to, settings, told))
    }

    fn linked(
        shelf: Rc<Shelf>,
        stream: Stream,
        to: Way<'_>,
        settings: &ConnectSettings,
        told: Option<(Version, &Rc<Subject>)>,
    ) -> Slot {
        let mut link = Link::new(stream, to.peer, settings.heads);
        link.told = told.map(|(_, told)| Rc::downgrade(told));
        link.home = Some(shelf);
        Slot(Line::Link { link, reused: false })
    }

    /// A slot on a shared connection that has room, or else on one that is being opened, or on a new one. If
    /// the endpoint may choose, and chooses HTTP/1, it is one on a connection of its own.
    async fn stream(
        &self,
        shelf: &Rc<Shelf>,
        to: Way<'_>,
        settings: &ConnectSettings,
        told: Option<(Version, &Rc<Subject>)>,
        single: bool,
    ) -> Result<Slot, ConnectError> {
        let subject = told.map(|(_, told)| told);
        let may_choose = settings.protocol == Protocol::Auto;
        loop {
            if let Some(lease) = shelf.stock.lend(subject, settings.heads, shelf.now()) {
                return Ok(Slot(Line::Stream(Box::new(lease))));
            }
            if may_choose && let Some(slot) = Self::link(shelf, settings, told, single) {
                return Ok(slot);
            }
            if may_choose && shelf.stock.chooses_http1(shelf.now()) {
                return self.new_link(Rc::clone(shelf), to, settings, told).await;
            }
            let opening = shelf.stock.opening(subject, settings.heads).unwrap_or_else(|| {
                let header = told.map(|(version, told)| encode(version, **told));
                let dial = Dial {
                    peer: to.peer.clone(),
                    tls: to.tls.cloned(),
                    patience: settings.connect_timeout,
                    header: header.unwrap_or_default(),
                    protocol: settings.protocol,
                };
                trunk::open(self, shelf, subject, settings.heads, dial)
            });
            if let Some(stream) = opening.wait().await? {
                return Ok(Self::linked(Rc::clone(shelf), stream, to, settings, told));
            }
        }
    }

    /// Closes what is idle: others need the descriptors.
    pub fn relieve(&self) {
        let shelves: Vec<_> = self.0.shelves.borrow().values().map(Rc::clone).collect();
        shelves.iter().for_each(|shelf| shelf.clear());
    }

    /// How many connections are idle.
    pub fn idle_count(&self) -> usize {
        self.0.shelves.borrow().values().map(|shelf| shelf.idle()).sum()
    }

    /// Closes the connections to the endpoint that `key` identifies: idle ones now, others when
    /// their response is over.
    pub fn close_endpoint(&self, key: u64) {
        let shelf = self.0.shelves.borrow_mut().remove(&key);
        if let Some(shelf) = shelf {
            shelf.close();
        }
    }

    /// Likewise for all endpoints that `keep` does not want.
    pub fn retain(&self, mut keep: impl FnMut(u64) -> bool) {
        self.0.shelves.borrow_mut().retain(|key, shelf| {
            let kept = keep(*key);
            if !kept {
                shelf.close();
            }
            kept
        });
    }

    /// Drops idle connections that were closed, have been idle too long, or are too many. To be
    /// called about once a second.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.clock.set(now);
        self.0.shelves.borrow_mut().retain(|_key, shelf| {
            shelf.sweep(now);
            // Slots and bodies hold the shelf that they return their connection to.
            Rc::strong_count(shelf) > 1 || !shelf.is_empty()
        });
    }

    fn shelf(&self, key: u64, settings: &ConnectSettings) -> Rc<Shelf> {
        let mut shelves = self.0.shelves.borrow_mut();
        let shelf = shelves.entry(key).or_insert_with(|| Shelf::new(&self.0.clock));
        shelf.adopt(settings);
        Rc::clone(shelf)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("idle", &self.idle_count()).finish()
    }
}
