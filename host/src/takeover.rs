//! Listening sockets that a process does not open itself: it has them from the process that it replaces, or from
//! the service manager.
//!
//! A process that may be replaced listens at a path of its own ([`Offer`]). Its successor connects, gets descriptors
//! of the very sockets ([`Inherited::from_process`]), starts, and says when it serves ([`Predecessor::serves`]). Only
//! then does the one before stop accepting, so that somebody accepts at any time, and what queues is lost by nobody. If
//! the successor ends before, nothing has happened.
//!
//! Messages are lines of JSON with `SCM_RIGHTS`, between processes of the same version or not: who does not understand
//! the other says so and goes on as it was.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use crate::socket::path::{Claim, Rights, listen};

mod inherited;
mod packet;

pub use inherited::{Inherited, Passed, label};

/// Who waits at once to take over.
const BACKLOG: i32 = 4;

/// The longest that a process lets its successor wait for sockets, or for its word that the path is free.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the messages are; another number means that they are to be understood otherwise.
const FORM: u32 = 1;

/// What a process says to its successor about the sockets that come along.
#[derive(Debug, Serialize, Deserialize)]
struct Handed {
    form: u32,
    version: String,
    /// What each of the sockets in this packet is for.
    sockets: Vec<String>,
    /// Those of them that the service manager has passed: it removes the paths of Unix sockets.
    #[serde(default)]
    by_manager: Vec<String>,
    /// Whether there are more packets.
    more: bool,
    /// How many microseconds the service manager waits for a sign of life, if it wants one.
    #[serde(default)]
    watchdog_us: Option<u64>,
}

/// What the successor says when it serves, and gets back when the path is free.
const SERVES: &[u8] = b"serves\n";

/// The process that is replaced.
#[derive(Debug)]
pub struct Predecessor {
    socket: net::UnixStream,
    watchdog: Option<Duration>,
}

impl Predecessor {
    fn new(socket: net::UnixStream, watchdog: Option<Duration>) -> Self {
        Self { socket, watchdog }
    }

    /// How long the service manager waits for a sign of life of whoever serves, if it wants one.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it that its sockets are served, and waits until it accepts no more and its path is free. Blocks, for
    /// a few seconds at most.
    pub fn serves(self) {
        let told = (&self.socket).write_all(SERVES);
        // It answers, or ends.
        if let Err(error) = told.and_then(|()| packet::receive(&self.socket)) {
            tracing::warn!("the process before does not answer: {error}");
        }
    }
}

/// What a successor has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It asks for the sockets.
    Asks,
    /// It serves them.
    Serves,
    /// It has ended, or nobody understands it: this process goes on.
    Ends,
}

/// Where a successor finds this process.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    _claim: Claim,
    successor: Option<UnixStream>,
}

impl Offer {
    /// Listens at a path, which only this user and root may connect to.
    ///
    /// # Errors
    ///
    /// The system's, such as that somebody listens there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (socket, claim) = listen(path, &Rights::PRIVATE, BACKLOG)?;
        Ok(Self { listener: UnixListener::from_std(socket)?, _claim: claim, successor: None })
    }

    /// Waits for what a successor does. Whoever drops this before it is done misses nothing.
    pub async fn next(&mut self) -> Step {
        loop {
            let Some(successor) = &mut self.successor else {
                match self.accept().await {
                    Ok(successor) => {
                        self.successor = Some(successor);
                        return Step::Asks;
                    }
                    Err(error) => {
                        tracing::warn!("who would take over is turned away: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                }
            };
            let mut said = [0; 16];
            let said = match successor.read(&mut said).await {
                Ok(count) => said.get(..count).unwrap_or_default(),
                Err(_broken) => &[],
            };
            match said {
                SERVES => return Step::Serves,
                [] => tracing::warn!("who was to take over has ended: this process goes on"),
                _ => tracing::warn!("who was to take over is not understood: this process goes on"),
            }
            self.successor = None;
            return Step::Ends;
        }
    }

    /// Turns away the one who asks.
    pub fn dismiss(&mut self) {
        self.successor = None;
    }

    async fn accept(&self) -> io::Result<UnixStream> {
        let (socket, _) = self.listener.accept().await?;
        is_trusted(&socket)?;
        Ok(socket)
    }

    /// Gives the one who asks these sockets, with what each is for, and how long the service manager waits for a
    /// sign of life. Who cannot have them all is turned away.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn give(
        &mut self,
        sockets: &[(String, Passed)],
        watchdog: Option<Duration>,
    ) -> io::Result<()> {
        let Some(successor) = &self.successor else { return Ok(()) };
        let mut packets = sockets.chunks(packet::SOCKETS).peekable();
        // Even if there are none: it waits for a word.
        let first = packets.next().unwrap_or_default();
        let mut given = first;
        loop {
            let more = packets.peek().is_some();
            let handed = Handed {
                form: FORM,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                sockets: given.iter().map(label_of).collect(),
                by_manager: given
                    .iter()
                    .filter(|(_, passed)| passed.by_manager)
                    .map(label_of)
                    .collect(),
                more,
                watchdog_us: watchdog.and_then(|time| u64::try_from(time.as_micros()).ok()),
            };
            if let Err(error) = hand(successor, &handed, given) {
                self.successor = None;
                return Err(error);
            }
            match packets.next() {
                Some(next) => given = next,
                None => return Ok(()),
            }
        }
    }

    /// Frees the path, and tells the one who serves now.
    pub fn end(self) {
        let Self { listener, _claim: claim, successor } = self;
        drop((listener, claim));
        if let Some(successor) = successor {
            // It waits no longer if it sees the end instead.
            let _ = successor.try_write(SERVES);
        }
    }
}

fn hand(successor: &UnixStream, handed: &Handed, sockets: &[(String, Passed)]) -> io::Result<()> {
    let mut text = serde_json::to_vec(handed).map_err(io::Error::other)?;
    text.push(b'\n');
    let sockets: Vec<_> = sockets.iter().map(|(_, passed)| passed.socket.as_fd()).collect();
    packet::send(successor, &text, &sockets)
}

fn label_of((label, _): &(String, Passed)) -> String {
    label.clone()
}

/// Whether a process at the other end is this user's, or root's: it gets, or gives, what the proxy serves with.
fn is_trusted(socket: impl AsFd) -> io::Result<()> {
    let user = socket_peercred(socket)?.uid;
    if user == geteuid() || user.is_root() {
        return Ok(());
    }
    let text = format!("it belongs to the user with the id {}", user.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}
