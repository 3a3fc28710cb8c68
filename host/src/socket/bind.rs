//! Where sockets listen, and who is at the other end.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bind {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket, by its path.
    Unix(PathBuf),
}

impl Bind {
    /// The IP address and port, if it has them.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether any port will do, so that two of the same are not at the same place.
    #[must_use]
    pub fn takes_any_port(&self) -> bool {
        self.address().is_some_and(|address| address.port() == 0)
    }

    /// As a client would be told that speaks a protocol: `http://127.0.0.1:9901` or `unix:/run/admin.sock`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        match self {
            Self::Tcp(address) => format!("{scheme}://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Bind {
    /// As a file names it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Who has connected, as lines of logs name it: its address, or that it came by a Unix socket, where nobody has one.
#[derive(Debug, Clone, Copy)]
pub struct ShownPeer(pub Option<SocketAddr>);

impl fmt::Display for ShownPeer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(out),
            None => out.write_str("unix:"),
        }
    }
}
