//! A store that memcached servers hold.
//!
//! The client is our own, and small. Those that there are as libraries trust their server: they read
//! lines without a bound and make room for whatever length it announces; and one keeps bytes that
//! arrive unasked in its buffer, where they become the answer to the next question, so that "no such
//! key" about one key could be told of another. Here each answer is held to its bounds and to its key, and a
//! connection that says anything more is dropped ([`wire`], [`connection`]).
//!
//! Every worker has connections of its own ([`lane`]), told apart by the runtime that they belong to. A
//! key belongs to one server ([`ring`]) and is asked of no other, however that fares: what another
//! answers would be a miss that is none. What a worker has learnt of keys it may remember ([`recent`]).
//!
//! An operation takes the store's timeout at most, with waiting for a connection, connecting, and
//! all that is repeated.

mod connection;
mod lane;
mod outage;
mod recent;
mod ring;
mod server;
mod watch;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::{Answer, Bounds, Error, Found, Reader, Service};
use crate::config::{self, Address};
use crate::dns::Inquiries;

use connection::Fault;
use lane::{Lane, Settings, Trouble};
use recent::{Forgetting, Recent};
use ring::Ring;
use server::Server;
pub(super) use watch::Watch;
use wire::{Broken, Reply, Request};

/// Times that `increment` tries both of its ways: only one who removes and adds the key all the time
/// makes it take more.
const ROUNDS: usize = 4;

/// A longer time is one since 1970 to memcached.
const LONGEST_RELATIVE: u64 = 30 * 24 * 60 * 60;

/// The servers. Cloning shares them.
#[derive(Clone)]
pub(super) struct Memcached(Arc<Inner>);

struct Inner {
    ring: Ring,
    servers: Vec<Arc<Server>>,
    settings: Settings,
    timeout: Duration,
    /// The lanes of each runtime, of which there are as many as threads; read without a lock.
    lanes: ArcSwap<Vec<(Id, Arc<Lanes>)>>,
    growing: Mutex<()>,
}

/// What a worker has.
struct Lanes {
    /// One per server.
    lanes: Vec<Lane>,
    /// For those that decide.
    recent: Recent,
    /// For those that are called beside them.
    beside: Recent,
}

impl Lanes {
    /// Has a key forgotten, for whomever it is remembered, when what is returned is dropped.
    fn forgetting<'a>(&'a self, key: &'a str) -> [Forgetting<'a>; 2] {
        [&self.recent, &self.beside].map(|recent| recent.forgetting(key))
    }
}

impl Memcached {
    /// A store on these servers. Nothing is connected to yet.
    pub(super) fn new(
        configured: &config::Memcached,
        bounds: Bounds,
        names: &Inquiries,
        watch: impl Fn(&Address) -> Watch,
    ) -> Self {
        let config::Memcached { servers, max_connections, idle_timeout } = configured;
        let settings = Settings {
            max_connections: *max_connections,
            idle_timeout: *idle_timeout,
            max_value: bounds.max_value,
        };
        let server = |address: &Address| {
            Arc::new(Server::new(address.clone(), names.clone(), watch(address)))
        };
        Self(Arc::new(Inner {
            ring: Ring::new(servers),
            servers: servers.iter().map(server).collect(),
            settings,
            timeout: bounds.timeout,
            lanes: ArcSwap::default(),
            growing: Mutex::default(),
        }))
    }
}

impl Inner {
    /// The connections of the runtime that this runs on.
    fn lanes(self: &Arc<Self>) -> Arc<Lanes> {
        let id = Handle::current().id();
        let find = |all: &[(Id, Arc<Lanes>)]| {
            all.iter().find(|(of, _)| *of == id).map(|(_, lanes)| Arc::clone(lanes))
        };
        if let Some(lanes) = find(&self.lanes.load()) {
            return lanes;
        }
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = find(&self.lanes.load()) {
            return lanes;
        }
        let lane = |server: &Arc<Server>| Lane::new(Arc::clone(server), self.settings);
        let lanes = self.servers.iter().map(lane).collect();
        let lanes = Arc::new(Lanes { lanes, recent: Recent::default(), beside: Recent::default() });
        let mut all = Vec::clone(&self.lanes.load());
        all.push((id, Arc::clone(&lanes)));
        self.lanes.store(Arc::new(all));
        let settings = self.settings;
        let kept = Arc::downgrade(&lanes);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(settings.idle_timeout / 2).await;
                let Some(lanes) = kept.upgrade() else { return };
                let now = Instant::now();
                for lane in &lanes.lanes {
                    lane.sweep(now);
                }
            }
        });
        lanes
    }

    async fn ask(
        self: &Arc<Self>,
        request: Request<'_>,
        key: &str,
        until: Instant,
    ) -> Result<Reply, Error> {
        let lanes = &self.lanes().lanes;
        let Some(lane) = lanes.get(self.ring.server(key)) else { return Err(Error::Unavailable) };
        match lane.ask(&request, key, until).await? {
            Reply::Refused(words) => Err(Error::Other(words)),
            Reply::TooLarge => Err(Error::TooLarge),
            Reply::NotANumber => Err(Error::NotANumber),
            reply => Ok(reply),
        }
    }

    async fn get(self: &Arc<Self>, key: &str, until: Instant) -> Result<Option<Vec<u8>>, Error> {
        match self.ask(Request::Get, key, until).await? {
            Reply::Value(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    async fn increment(self: &Arc<Self>, key: &str, amount: u64) -> Result<u64, Error> {
        let until = Instant::now() + self.timeout;
        let first = amount.to_string();
        for _ in 0..ROUNDS {
            if let Reply::Number(sum) = self.ask(Request::Increment(amount), key, until).await? {
                return Ok(sum);
            }
            let add = Request::Add(first.as_bytes(), 0);
            if self.ask(add, key, until).await? == Reply::Done {
                return Ok(amount);
            }
        }
        Err(Error::Other("the key comes and goes".to_owned()))
    }
}

impl Service for Memcached {
    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(async move {
            let until = Instant::now() + inner.timeout;
            inner.get(&key, until).await
        })
    }

    fn get_recent(&self, key: &str, max_age: Duration, reader: Reader) -> Answer<Found> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(async move {
            let until = Instant::now() + inner.timeout;
            let lanes = inner.lanes();
            let recent = match reader {
                Reader::Deciding => &lanes.recent,
                Reader::Beside => &lanes.beside,
            };
            recent.get(&key, max_age, until, || inner.get(&key, until)).await
        })
    }

    fn set(&self, key: &str, value: Vec<u8>, milliseconds: Option<u64>) -> Answer<()> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(async move {
            if value.len() > inner.settings.max_value {
                return Err(Error::TooLarge);
            }
            let lanes = inner.lanes();
            let _changed = lanes.forgetting(&key);
            let until = Instant::now() + inner.timeout;
            let expiry = expiry(milliseconds, SystemTime::now());
            inner.ask(Request::Set(&value, expiry), &key, until).await.map(|_| ())
        })
    }

    fn delete(&self, key: &str) -> Answer<()> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(async move {
            let lanes = inner.lanes();
            let _changed = lanes.forgetting(&key);
            let until = Instant::now() + inner.timeout;
            inner.ask(Request::Delete, &key, until).await.map(|_| ())
        })
    }

    fn increment(&self, key: &str, amount: u64) -> Answer<u64> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        Box::pin(async move {
            let lanes = inner.lanes();
            let _changed = lanes.forgetting(&key);
            inner.increment(&key, amount).await
        })
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Timeout | Trouble::Crowded => Self::Timeout,
            Trouble::Fault(Fault::Broken(Broken::Giant(_))) => Self::TooLarge,
            Trouble::Fault(Fault::Broken(broken)) => Self::Other(broken.to_string()),
            Trouble::LeftAlone | Trouble::Connect(_) | Trouble::Fault(_) => Self::Unavailable,
        }
    }
}

/// An expiry as memcached has it: in seconds, 0 for never and less for at once. It counts them by
/// a clock that ticks once a second, so that one more makes sure of as long as was asked for.
/// What it takes for a date is given as one, unless that is beyond what it can hold.
fn expiry(milliseconds: Option<u64>, now: SystemTime) -> i64 {
    let seconds = match milliseconds {
        None => return 0,
        Some(0) => return -1,
        Some(milliseconds) => milliseconds.div_ceil(1_000) + 1,
    };
    if seconds <= LONGEST_RELATIVE {
        return i64::try_from(seconds).unwrap_or(0);
    }
    let since = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i32::try_from(since.saturating_add(seconds)).map_or(0, i64::from)
}

#[cfg(test)]
mod tests;
