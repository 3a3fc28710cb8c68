//! The connections of one worker to one server: a bounded pool, one request in flight on each.
//!
//! Who wants a connection when all are in use waits in line; the callers are bounded, being
//! instances of plugins. The connection used last is used first, so that those too many grow old and
//! are closed.
//! What did not come to an answer costs its connection: nothing is ever read that could
//! belong to an operation before.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, Fault};
use super::outage::{Change, Outage, Outcome, Try};
use super::server::Server;
use super::wire::{Reply, Request};
use crate::config::Address;
use crate::metrics::ServerDown;

/// What holds for all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// The most connections.
    pub(super) max_connections: usize,
    /// How long an unused one is kept.
    pub(super) idle_timeout: Duration,
    /// The largest value.
    pub(super) max_value: usize,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Lane {
    server: Arc<Server>,
    settings: Settings,
    permits: Semaphore,
    outage: Outage,
    /// Counts it as down.
    down: Mutex<Option<ServerDown>>,
    /// The address that was connected to last.
    connected: Mutex<Option<SocketAddr>>,
    /// Those that are not in use, with the time since when; the last used is last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// Why an operation came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server is left alone for now.
    #[error("it is left alone after it did not answer")]
    LeftAlone,
    /// It cannot be connected to.
    #[error("it cannot be connected to")]
    Connect(#[source] io::Error),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// No connection was free in time, or too late for an answer.
    #[error("no connection was free in time")]
    Crowded,
    /// A connection failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Trouble {
    /// Kinds that are told apart.
    pub(super) const KINDS: usize = 4;

    /// Which of them it is; none for what follows from one before.
    pub(super) fn kind(&self) -> Option<usize> {
        match self {
            Self::LeftAlone => None,
            Self::Connect(_) => Some(0),
            Self::Timeout => Some(1),
            Self::Crowded => Some(2),
            Self::Fault(_) => Some(3),
        }
    }
}

impl Lane {
    /// No connection yet.
    pub(super) fn new(server: Arc<Server>, settings: Settings) -> Self {
        let permits = Semaphore::new(settings.max_connections);
        Self {
            server,
            settings,
            permits,
            outage: Outage::default(),
            down: Mutex::default(),
            connected: Mutex::default(),
            idle: Mutex::default(),
        }
    }

    /// Asks the server, until a time.
    pub(super) async fn ask(
        &self,
        request: &Request<'_>,
        key: &str,
        until: Instant,
    ) -> Result<Reply, Trouble> {
        let attempt = self.outage.permit(Instant::now()).ok_or(Trouble::LeftAlone)?;
        let free = self.permits.try_acquire();
        let waited = free.is_err();
        let permit = match free {
            Ok(permit) => Ok(Ok(permit)),
            Err(_taken) => timeout_at(until, self.permits.acquire()).await,
        };
        let Ok(Ok(_permit)) = permit else {
            return Err(Trouble::Crowded);
        };
        // It may have come down since.
        if !attempt.probes() && self.outage.is_down() {
            return Err(Trouble::LeftAlone);
        }
        let answer = match timeout_at(until, self.exchange(request, key, until)).await {
            Ok(answer) => answer,
            // What was left of the time after waiting here says nothing of the server.
            Err(_elapsed) if waited => return Err(Trouble::Crowded),
            Err(_elapsed) => Err(Trouble::Timeout),
        };
        self.learn(attempt, &answer);
        answer
    }

    /// Draws consequences for what is asked next, and tells of what went wrong.
    fn learn(&self, attempt: Try<'_>, answer: &Result<Reply, Trouble>) {
        let outcome = match answer {
            Err(Trouble::Connect(_)) => Outcome::Unreachable,
            Err(Trouble::Timeout) => Outcome::TimedOut,
            // One that answers nonsense, or breaks what it has accepted, is there all the same.
            _ => Outcome::Answered,
        };
        let change = attempt.end(outcome, Instant::now());
        let watch = &self.server.watch;
        match change {
            Some(Change::Down(_)) => *lock(&self.down) = Some(watch.metrics.down()),
            Some(Change::Up) => *lock(&self.down) = None,
            Some(Change::StillDown(_)) | None => {}
        }
        match answer {
            Ok(Reply::Refused(words)) => watch.refused(words),
            Ok(_) => {}
            Err(trouble) => watch.trouble(trouble, change),
        }
        if change == Some(Change::Up) {
            watch.up();
        }
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        key: &str,
        until: Instant,
    ) -> Result<Reply, Trouble> {
        if let Some(kept) = self.take() {
            match self.exchange_over(kept, request, key).await {
                // The server has been restarted, or closes what is idle, as one may: so has every
                // other that was kept, and nothing was done yet that must not be done twice.
                Err(Fault::Unanswered(_)) if request.is_repeatable() => lock(&self.idle).clear(),
                answer => return Ok(answer?),
            }
        }
        let fresh = self.connect(until).await.map_err(Trouble::Connect)?;
        Ok(self.exchange_over(fresh, request, key).await?)
    }

    async fn exchange_over(
        &self,
        mut connection: Connection,
        request: &Request<'_>,
        key: &str,
    ) -> Result<Reply, Fault> {
        let reply = connection.ask(request, key, self.settings.max_value).await?;
        if reply.leaves_order() {
            lock(&self.idle).push((connection, Instant::now()));
        }
        Ok(reply)
    }

    /// A kept connection that can be used.
    fn take(&self) -> Option<Connection> {
        loop {
            let (connection, _) = lock(&self.idle).pop()?;
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Connects to one of the server's addresses: first to that which was connected to last. Each that
    /// is silent has its share of the time.
    async fn connect(&self, until: Instant) -> io::Result<Connection> {
        let metrics = &self.server.watch.metrics;
        let mut addresses = match &self.server.address {
            Address::Socket(address) => vec![*address],
            Address::Name(host, port) => self.server.resolve(host, *port).await?,
            Address::Unix(path) => return Connection::unix(path, metrics).await,
            Address::Service(_) => Vec::new(),
        };
        let last = *lock(&self.connected);
        addresses.sort_by_key(|address| Some(*address) != last);
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            let now = Instant::now();
            let share = until.saturating_duration_since(now) / left.max(1);
            left = left.saturating_sub(1);
            match timeout_at(now + share, Connection::tcp(address, metrics)).await {
                Ok(Ok(connection)) => {
                    *lock(&self.connected) = Some(address);
                    return Ok(connection);
                }
                Ok(Err(error)) => failure = error,
                Err(_elapsed) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    /// Closes what has been unused for too long. Says whether any is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut idle = lock(&self.idle);
        idle.retain(|(_, since)| {
            now.saturating_duration_since(*since) < self.settings.idle_timeout
        });
        !idle.is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
