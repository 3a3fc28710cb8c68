//! The upstream connections of one worker.
//!
//! The pool lends slots for one request each, not connections, so that a protocol with several
//! requests on one connection fits behind the same face.
//!
//! No task drives a connection: the request drives it until the head of the response has come,
//! then the body of the response does, whenever it is asked for data; when that has come to its
//! end the connection goes back to the pool, and is driven by nobody. That it was closed there is
//! noticed by its waker. Only a connection whose upstream answers before it has taken
//! the whole request gets a task (see `Link::into_body`), for which a `LocalRuntime` or
//! `LocalSet` must be around.
//!
//! Idle connections are reused last in, first out, so that surplus ones grow old and go. Their
//! age is measured from one [`sweep`](Pool::sweep) to another: nobody reads a clock per request.
//!
//! A connection that begins with a PROXY header tells of one downstream connection, and serves the
//! requests of no other. When that one is gone it goes as well.

mod driver;
mod error;
mod fate;
mod link;
mod shelf;
#[cfg(test)]
mod tests;
mod wakeups;
mod gated;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use http::{HeaderMap, Request, Response, StatusCode};
use tokio::time::{Duration, Instant};

pub use self::error::{SendError, SendErrorKind};
use self::link::Link;
use self::shelf::Shelf;
use crate::body::{DownloadLimits, RequestBody, UpstreamBody};
use crate::cluster::connect::{ConnectError, connect};
use crate::cluster::peer::Way;
use crate::proxy_protocol::{Subject, Version, encode};
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
    /// The PROXY header that connections begin with.
    pub proxy_protocol: Option<Version>,
    /// What is offered to be spoken within TLS, best first.
    pub protocols: &'static [&'static [u8]],
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

/// The right to send one request over a connection. Dropped unused, it closes the connection.
#[must_use]
pub struct Slot {
    link: Box<Link>,
    reused: bool,
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
        let shelf = self.shelf(key, settings);
        let told = settings.proxy_protocol.map(|version| (version, told));
        if let Some(mut link) = shelf.take(told.map(|(_, told)| told), settings.heads, single) {
            link.home = Some(shelf);
            return Ok(Slot { link, reused: true });
        }
        let header = told.map(|(version, told)| encode(version, **told)).unwrap_or_default();
        let (to, patience) = (to.into(), settings.connect_timeout);
        let stream = connect(to, patience, &header, settings.protocols, || self.relieve()).await?;
        let mut link =
            Link::open(stream, to.peer, settings.heads).await.map_err(ConnectError::Protocol)?;
        link.told = told.map(|(_, told)| Rc::downgrade(told));
        link.home = Some(shelf);
        Ok(Slot { link, reused: false })
    }

    /// Closes what is idle: others need the descriptors.
    pub fn relieve(&self) {
        let shelves: Vec<_> = self.0.shelves.borrow().values().map(Rc::clone).collect();
        shelves.iter().for_each(|shelf| shelf.clear());
    }

    /// How many connections are idle.
    pub fn idle_count(&self) -> usize {
        self.0.shelves.borrow().values().map(|shelf| shelf.len()).sum()
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
            Rc::strong_count(shelf) > 1 || shelf.len() > 0
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

impl Slot {
    /// Whether the connection has served a request before, so that the upstream may just have
    /// closed it.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Sends `request` and waits for the head of its response. `interim` gets the informational
    /// responses before it, all but 100 and 101; a 100 releases a [held](crate::body::Upload::hold)
    /// request body.
    ///
    /// The request is written as it is: its version must be 1.1 (or 1.0), its target in the form
    /// that the upstream is to get, Content-Length or Transfer-Encoding and Host as they should be.
    /// Dropping the future closes the connection.
    pub async fn send(
        mut self,
        request: Request<RequestBody>,
        limits: &SendLimits,
        interim: impl FnMut(StatusCode, HeaderMap),
    ) -> Result<Response<UpstreamBody>, SendError> {
        let before = self.link.read_bytes();
        let (patience, read_bytes) = (limits.response_timeout, limits.download.read_bytes);
        match self.link.exchange(request, (patience, read_bytes), interim).await {
            Ok(response) => {
                Ok(response.map(|incoming| self.link.into_body(incoming, limits.download)))
            }
            Err(failure) => {
                let answered = self.link.read_bytes().wrapping_sub(before);
                Err(SendError::new(failure, self.reused, answered))
            }
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").field("reused", &self.reused).finish_non_exhaustive()
    }
}
