//! Sockets that listen: TCP, or Unix with the file that they are found at.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net as unix;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Type};

use crate::socket::Stream;
use crate::socket::bind::Bind;
use crate::socket::path::{self, Claim, Rights};
use crate::takeover::Passed;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// A socket that listens. When the last handle of it is dropped it closes, and the file of a Unix socket goes.
#[derive(Debug)]
pub struct Socket {
    wanted: Bind,
    bound: Bind,
    handle: Handle,
    /// The file of a Unix socket, but for one that is the service manager's.
    claim: Option<Arc<Claim>>,
}

/// What accepts at a socket, in whatever runtime. It knows nothing of files.
#[derive(Debug)]
pub enum Handle {
    /// TCP.
    Tcp(net::TcpListener),
    /// A Unix socket.
    Unix(unix::UnixListener),
}

/// Opens a listening socket.
///
/// # Errors
///
/// The system's, such as that the port is in use.
pub fn bind(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether a socket can be had, without listening: nobody can connect to it, and nobody who asks
/// for the address meanwhile is turned away.
///
/// # Errors
///
/// As [`Socket::open`].
pub fn probe(wanted: &Bind) -> io::Result<()> {
    match wanted {
        Bind::Tcp(address) => bound(*address).map(drop),
        Bind::Unix(path) => path::probe(path).map(drop),
    }
}

fn bound(address: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Socket {
    /// Opens a socket; of a Unix socket with these rights.
    ///
    /// # Errors
    ///
    /// The system's, such as that the port or the path is in use.
    pub fn open(wanted: &Bind, rights: &Rights) -> io::Result<Self> {
        match wanted {
            Bind::Tcp(address) => {
                let socket = bind(*address)?;
                let bound = Bind::Tcp(socket.local_addr()?);
                let handle = Handle::Tcp(socket);
                Ok(Self { wanted: wanted.clone(), bound, handle, claim: None })
            }
            Bind::Unix(path) => {
                let (socket, claim) = path::listen(path, rights, BACKLOG)?;
                let (handle, claim) = (Handle::Unix(socket), Some(Arc::new(claim)));
                Ok(Self { wanted: wanted.clone(), bound: wanted.clone(), handle, claim })
            }
        }
    }

    /// A socket that listens already, as it was wanted. Its file is not removed before this process has
    /// [taken over](Self::take_over).
    ///
    /// # Errors
    ///
    /// The system's, such as that the path of a Unix socket is gone.
    pub fn adopt(wanted: &Bind, rights: &Rights, passed: Passed) -> io::Result<Self> {
        let Passed { socket, by_manager } = passed;
        let wanted = wanted.clone();
        if let Bind::Tcp(_) = wanted {
            let socket = net::TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            let bound = Bind::Tcp(socket.local_addr()?);
            return Ok(Self { wanted, bound, handle: Handle::Tcp(socket), claim: None });
        }
        let socket = unix::UnixListener::from(socket);
        socket.set_nonblocking(true)?;
        let own = socket.local_addr()?;
        let path = own.as_pathname().unwrap_or_else(|| Path::new("")).to_owned();
        let claim = if by_manager {
            None
        } else {
            let claim = Claim::of_another(&path)?;
            claim.set_rights(rights)?;
            Some(Arc::new(claim))
        };
        Ok(Self { wanted, bound: Bind::Unix(path), handle: Handle::Unix(socket), claim })
    }

    /// Another handle of it.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn share(&self) -> io::Result<Self> {
        let (wanted, bound) = (self.wanted.clone(), self.bound.clone());
        Ok(Self { wanted, bound, handle: self.handle()?, claim: self.claim.clone() })
    }

    /// What accepts there.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn handle(&self) -> io::Result<Handle> {
        match &self.handle {
            Handle::Tcp(socket) => socket.try_clone().map(Handle::Tcp),
            Handle::Unix(socket) => socket.try_clone().map(Handle::Unix),
        }
    }

    /// What another process gets.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn pass(&self) -> io::Result<Passed> {
        let by_manager = self.claim.is_none() && self.bound.address().is_none();
        let socket = match self.handle()? {
            Handle::Tcp(socket) => socket.into(),
            Handle::Unix(socket) => OwnedFd::from(socket),
        };
        Ok(Passed { socket, by_manager })
    }

    /// Where it was asked for.
    #[must_use]
    pub fn wanted(&self) -> &Bind {
        &self.wanted
    }

    /// Where it listens: what was wanted, but for port 0, and for what a service manager has passed.
    #[must_use]
    pub fn bound(&self) -> &Bind {
        &self.bound
    }

    /// Changes who may connect to a Unix socket.
    ///
    /// # Errors
    ///
    /// The system's, and that the path has gone.
    pub fn set_rights(&self, rights: &Rights) -> io::Result<()> {
        self.claim.as_ref().map_or(Ok(()), |claim| claim.set_rights(rights))
    }

    /// Leaves the path of a Unix socket to another process.
    pub fn give_away(&self) {
        if let Some(claim) = &self.claim {
            claim.give_away();
        }
    }

    /// From now on this process removes the path of a Unix socket.
    pub fn take_over(&self) {
        if let Some(claim) = &self.claim {
            claim.take_over();
        }
    }
}

impl Handle {
    /// What accepts within the runtime of the thread that calls.
    ///
    /// # Errors
    ///
    /// If the system gives no room for it in the event queue.
    pub fn register(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(socket) => {
                // For all connections, which inherit it: answers are written whole, and must not wait for the client's
                // acknowledgements.
                let _ = SockRef::from(&socket).set_tcp_nodelay(true);
                tokio::net::TcpListener::from_std(socket).map(Listener::Tcp)
            }
            Self::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Listener::Unix),
        }
    }
}

/// A socket within a runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(tokio::net::TcpListener),
    /// A Unix socket.
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// The next connection, and its client's address, which those of a Unix socket do not have.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // IPv4 clients of an IPv6 socket are IPv4 clients, in lines and limits as well.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

#[cfg(test)]
mod tests;
