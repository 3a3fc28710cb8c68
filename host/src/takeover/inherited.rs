//! The sockets that a process does not open itself, and whose each is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use socket2::SockRef;

use super::{FORM, Handed, PATIENCE, Predecessor, is_trusted, packet};
use crate::socket::bind::Bind;
use crate::socket::path::is_dead;

/// Sockets that listen already.
#[derive(Debug, Default)]
pub struct Inherited {
    entries: Vec<Entry>,
    /// What is of no use, and why.
    faults: Vec<String>,
}

/// A socket from elsewhere.
#[derive(Debug)]
pub struct Passed {
    /// The socket.
    pub socket: OwnedFd,
    /// Whether it is the service manager's, who goes on listening there when this process has ended: the path of a Unix
    /// socket is then its own.
    pub by_manager: bool,
}

#[derive(Debug)]
struct Entry {
    /// What it is for, where that is known.
    label: Option<String>,
    passed: Passed,
}

/// What a listener's socket is for: that listener, at that address as it is configured. Port 0 keeps its port so.
#[must_use]
pub fn label(listener: &str, bind: &Bind) -> String {
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
            let tcp = passed.take_tcp_listener(place).map(|socket| socket.map(OwnedFd::from));
            let socket = tcp.or_else(|_not_tcp| {
                passed.take_unix_listener(place).map(|socket| socket.map(OwnedFd::from))
            });
            match socket {
                Ok(Some(socket)) => {
                    let passed = Passed { socket, by_manager: true };
                    inherited.entries.push(Entry { label, passed });
                }
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
        // Root knows whose path it names.
        if !geteuid().is_root() {
            is_trusted(&socket)?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut entries = Vec::new();
        loop {
            let (line, sockets) = packet::receive(&socket).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::other(format!(
                    "it does not answer within {}s, as if another process were to replace it",
                    PATIENCE.as_secs()
                )),
                _ => error,
            })?;
            let handed: Handed = serde_json::from_slice(&line).map_err(io::Error::other)?;
            if handed.form != FORM || handed.sockets.len() != sockets.len() {
                let text = format!("version {} hands over in another form", handed.version);
                return Err(io::Error::other(text));
            }
            entries.extend(handed.sockets.into_iter().zip(sockets).map(|(label, socket)| {
                let by_manager = handed.by_manager.contains(&label);
                Entry { label: Some(label), passed: Passed { socket, by_manager } }
            }));
            if !handed.more {
                let inherited = Self { entries, faults: Vec::new() };
                let watchdog = handed.watchdog_us.map(Duration::from_micros);
                return Ok(Some((inherited, Predecessor::new(socket, watchdog))));
            }
        }
    }

    /// Adds what comes from elsewhere.
    pub fn join(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.faults.extend(other.faults);
    }

    /// Takes what is for a listener: what was handed over for it, or passed under its name, or listens on its
    /// address. It is of the kind that the listener wants.
    pub fn take(&mut self, listener: &str, bind: &Bind) -> Option<Passed> {
        let own = label(listener, bind);
        let is = |entry: &Entry, name: &str| entry.label.as_deref() == Some(name);
        let fits = |entry: &Entry| {
            let found = entry.address();
            found.is_some_and(|found| found.address().is_some() == bind.address().is_some())
        };
        let mut entries = self.entries.iter();
        let place =
            entries.position(|entry| (is(entry, &own) || is(entry, listener)) && fits(entry));
        let listens = |entry: &Entry| entry.address().as_ref() == Some(bind);
        let place = place.or_else(|| self.entries.iter().position(listens))?;
        Some(self.entries.swap_remove(place).passed)
    }

    /// Takes what has a label.
    pub fn take_labelled(&mut self, label: &str) -> Option<Passed> {
        let mut entries = self.entries.iter();
        let place = entries.position(|entry| entry.label.as_deref() == Some(label))?;
        Some(self.entries.swap_remove(place).passed)
    }

    /// What nobody has taken: its address, and what it is for.
    pub fn unclaimed(&self) -> impl Iterator<Item = String> {
        let entries = self.entries.iter().map(|entry| match (entry.address(), &entry.label) {
            (Some(address), Some(label)) => format!("{address} ({label})"),
            (Some(address), None) => address.to_string(),
            (None, label) => label.clone().unwrap_or_else(|| "a socket".to_owned()),
        });
        entries.chain(self.faults.iter().cloned())
    }

    /// Closes what nobody has taken. The process before, which has ended or listens no more, has left the paths of its
    /// Unix sockets to this one.
    pub fn clear_away(self) {
        for entry in self.entries {
            let address = entry.address().filter(|_| !entry.passed.by_manager);
            drop(entry);
            if let Some(Bind::Unix(path)) = address {
                // Somebody may have been quicker.
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Entry {
    /// Where it listens.
    fn address(&self) -> Option<Bind> {
        let address = SockRef::from(&self.passed.socket).local_addr().ok()?;
        let path = || address.as_pathname().map(|path| Bind::Unix(path.to_owned()));
        address.as_socket().map(Bind::Tcp).or_else(path)
    }
}
