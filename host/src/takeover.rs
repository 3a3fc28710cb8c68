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
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use crate::socket::path::{Claim, is_dead, listen};

mod packet;

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
    /// Whether there are more packets.
    more: bool,
}

/// What the successor says when it serves, and gets back when the path is free.
const SERVES: &[u8] = b"serves\n";

/// Sockets that listen already.
#[derive(Debug, Default)]
pub struct Inherited {
    entries: Vec<Entry>,
    /// What is of no use, and why.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    /// What it is for, where that is known.
    label: Option<String>,
    socket: OwnedFd,
}

/// What a listener's socket is for: that listener, at that address as it is configured. Port 0 keeps its port so.
#[must_use]
pub fn label(listener: &str, bind: SocketAddr) -> String {
    format!("listener {listener} {bind}")
}

impl Inherited {
    /// What the service manager has passed: `LISTEN_FDS`, as systemd's socket activation has it. To be called
    /// once, before there are threads.
    #[must_use]
    pub fn from_manager() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..passed.len() {
            let label = names.next();
            match passed.take_tcp_listener(place) {
                Ok(Some(socket)) => inherited.entries.push(Entry { label, socket: socket.into() }),
                Ok(None) => {}
                Err(error) => {
                    let name = label.unwrap_or_default();
                    inherited.faults.push(format!("{name} is not for a listener: {error}"));
                }
            }
        }
        inherited
    }

    /// What the process at a path has; nothing if there is none. Waits a few seconds at most.
    ///
    /// # Errors
    ///
    /// If it cannot be asked, or is not understood.
    pub fn from_process(path: &Path) -> io::Result<Option<(Self, Predecessor)>> {
        let socket = match net::UnixStream::connect(path) {
            Ok(socket) => socket,
            Err(error) if is_dead(&error) || error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        is_trusted(&socket)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut entries = Vec::new();
        loop {
            let (line, sockets) = packet::receive(&socket)?;
            let handed: Handed = serde_json::from_slice(&line).map_err(io::Error::other)?;
            if handed.form != FORM || handed.sockets.len() != sockets.len() {
                let text = format!("version {} hands over in another form", handed.version);
                return Err(io::Error::other(text));
            }
            let labels = handed.sockets.into_iter();
            entries.extend(
                labels.zip(sockets).map(|(label, socket)| Entry { label: Some(label), socket }),
            );
            if !handed.more {
                let inherited = Self { entries, faults: Vec::new() };
                return Ok(Some((inherited, Predecessor { socket })));
            }
        }
    }

    /// Adds what comes from elsewhere.
    pub fn join(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.faults.extend(other.faults);
    }

    /// Takes what is for a listener: what was handed over for it, or passed under its name, or listens on its
    /// address.
    pub fn take(&mut self, listener: &str, bind: SocketAddr) -> Option<TcpListener> {
        let own = label(listener, bind);
        let is = |entry: &Entry, name: &str| entry.label.as_deref() == Some(name);
        let mut entries = self.entries.iter();
        let place = entries.position(|entry| is(entry, &own) || is(entry, listener));
        let listens = |entry: &Entry| address(entry) == Some(bind);
        let place = place.or_else(|| self.entries.iter().position(listens))?;
        let socket = TcpListener::from(self.entries.swap_remove(place).socket);
        socket.set_nonblocking(true).is_ok().then_some(socket)
    }

    /// Takes what has a label.
    pub fn take_labelled(&mut self, label: &str) -> Option<OwnedFd> {
        let mut entries = self.entries.iter();
        let place = entries.position(|entry| entry.label.as_deref() == Some(label))?;
        Some(self.entries.swap_remove(place).socket)
    }

    /// What nobody has taken: its address, and what it is for.
    pub fn unclaimed(&self) -> impl Iterator<Item = String> {
        let entries = self.entries.iter().map(|entry| match (address(entry), &entry.label) {
            (Some(address), Some(label)) => format!("{address} ({label})"),
            (Some(address), None) => address.to_string(),
            (None, label) => label.clone().unwrap_or_else(|| "a socket".to_owned()),
        });
        entries.chain(self.faults.iter().cloned())
    }
}

fn address(entry: &Entry) -> Option<SocketAddr> {
    rustix::net::getsockname(&entry.socket).ok().and_then(|address| address.try_into().ok())
}

/// The process that is replaced.
#[derive(Debug)]
pub struct Predecessor {
    socket: net::UnixStream,
}

impl Predecessor {
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
    /// It has ended before it did.
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
        let (socket, claim) = listen(path, 0o600, BACKLOG)?;
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
            match successor.read(&mut said).await {
                Ok(count) if said.get(..count) == Some(SERVES) => return Step::Serves,
                _ => {
                    tracing::warn!("who was to take over has ended: this process goes on");
                    self.successor = None;
                    return Step::Ends;
                }
            }
        }
    }

    /// Whether somebody has asked to take over, and does not serve yet.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.successor.is_some()
    }

    async fn accept(&self) -> io::Result<UnixStream> {
        let (socket, _) = self.listener.accept().await?;
        is_trusted(&socket)?;
        Ok(socket)
    }

    /// Gives the one who asks these sockets, with what each is for.
    pub fn give(&mut self, sockets: &[(String, OwnedFd)]) {
        let Some(successor) = &self.successor else { return };
        let mut packets = sockets.chunks(packet::SOCKETS).peekable();
        // Even if there are none: it waits for a word.
        let first = packets.next().unwrap_or_default();
        let mut given = first;
        loop {
            let more = packets.peek().is_some();
            if let Err(error) = hand(successor, given, more) {
                tracing::warn!("nothing can be handed over: {error}");
                self.successor = None;
                return;
            }
            match packets.next() {
                Some(next) => given = next,
                None => return,
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

fn hand(successor: &UnixStream, sockets: &[(String, OwnedFd)], more: bool) -> io::Result<()> {
    let handed = Handed {
        form: FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sockets: sockets.iter().map(|(label, _)| label.clone()).collect(),
        more,
    };
    let mut text = serde_json::to_vec(&handed).map_err(io::Error::other)?;
    text.push(b'\n');
    let sockets: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    packet::send(successor, &text, &sockets)
}

/// Whether a process at the other end is this user's, or root's: it gets, or gives, what the proxy serves with.
fn is_trusted(socket: impl AsFd) -> io::Result<()> {
    let user = socket_peercred(socket)?.uid;
    if user == geteuid() || user.is_root() || geteuid().is_root() {
        return Ok(());
    }
    let text = format!("it belongs to the user with the id {}", user.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}
