//! Where bytes are exchanged: a resolved address, and the stream to it.
//!
//! One enum of addresses and one of streams, so that Unix sockets and, later, TLS are a case more
//! here and nowhere else.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A resolved address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Peer {
    /// `host:port`, or `unix:/path`, as balancers and logs see it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}
