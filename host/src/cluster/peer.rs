//! Where bytes are exchanged: a resolved address, and the stream to it.
//!
//! One enum of addresses and one of streams, so that Unix sockets and TLS are a case more here and
//! nowhere else.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::tls::client::Secure;

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

/// Where a connection leads, and whether TLS is spoken there.
#[derive(Debug, Clone, Copy)]
pub struct Way<'e> {
    /// Where.
    pub peer: &'e Peer,
    /// How TLS is, if it is.
    pub tls: Option<&'e Secure>,
}

impl<'e> From<&'e Peer> for Way<'e> {
    fn from(peer: &'e Peer) -> Self {
        Self { peer, tls: None }
    }
}
