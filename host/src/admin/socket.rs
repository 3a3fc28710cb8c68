//! The socket of the administrator's listener: TCP, or Unix with a file that only its owner may use.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net as unix;

use crate::config::AdminBind;
use crate::listener::accept::bind;
use crate::socket::Stream;
use crate::socket::path::{Claim, Given, listen};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 64;

/// A socket that listens. Dropped, it closes, and the file of a Unix socket goes.
#[derive(Debug)]
pub struct Socket {
    bound: AdminBind,
    socket: Kind,
    claim: Option<Claim>,
}

#[derive(Debug)]
enum Kind {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

impl Socket {
    /// Opens a socket.
    ///
    /// # Errors
    ///
    /// The system's, such as that the port or the path is in use.
    pub fn open(wanted: &AdminBind) -> io::Result<Self> {
        match wanted {
            AdminBind::Tcp(address) => {
                let socket = bind(*address)?;
                let bound = AdminBind::Tcp(socket.local_addr()?);
                Ok(Self { bound, socket: Kind::Tcp(socket), claim: None })
            }
            AdminBind::Unix(path) => {
                let (socket, claim) = listen(path, 0o600, BACKLOG)?;
                let socket = Kind::Unix(socket);
                Ok(Self { bound: wanted.clone(), socket, claim: Some(claim) })
            }
        }
    }

    /// A socket that listens already, as it was wanted.
    ///
    /// # Errors
    ///
    /// The system's, such as that the path of a Unix socket is gone.
    pub fn adopt(wanted: &AdminBind, socket: OwnedFd) -> io::Result<Self> {
        match wanted {
            AdminBind::Tcp(_) => {
                let socket = net::TcpListener::from(socket);
                socket.set_nonblocking(true)?;
                let bound = AdminBind::Tcp(socket.local_addr()?);
                Ok(Self { bound, socket: Kind::Tcp(socket), claim: None })
            }
            AdminBind::Unix(path) => {
                let socket = unix::UnixListener::from(socket);
                socket.set_nonblocking(true)?;
                let claim = Some(Claim::new(path)?);
                Ok(Self { bound: wanted.clone(), socket: Kind::Unix(socket), claim })
            }
        }
    }

    /// Another handle of it, and what gives its path away.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn share(&self) -> io::Result<(OwnedFd, Option<Given>)> {
        let socket = match &self.socket {
            Kind::Tcp(socket) => socket.try_clone()?.into(),
            Kind::Unix(socket) => socket.try_clone()?.into(),
        };
        Ok((socket, self.claim.as_ref().map(Claim::given)))
    }

    /// Where it listens: what was wanted, but for port 0.
    #[must_use]
    pub fn bound(&self) -> &AdminBind {
        &self.bound
    }

    /// The socket within the runtime of the thread that calls.
    pub(super) fn listen(&self) -> io::Result<Listener> {
        Ok(match &self.socket {
            Kind::Tcp(socket) => {
                Listener::Tcp(tokio::net::TcpListener::from_std(socket.try_clone()?)?)
            }
            Kind::Unix(socket) => {
                Listener::Unix(tokio::net::UnixListener::from_std(socket.try_clone()?)?)
            }
        })
    }
}

/// A socket within a runtime.
pub(super) enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// The next connection, and whether its client is on this machine.
    pub(super) async fn accept(&self) -> io::Result<(Stream, bool)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), is_local(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), true))
            }
        }
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_path_is_taken_from_the_dead_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let bind = AdminBind::Unix(path.clone());
        let socket = Socket::open(&bind).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Socket::open(&bind).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());

        drop(unix::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left by the dead");
        let socket = Socket::open(&bind).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        assert_eq!(Socket::open(&bind).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(path.exists(), "not ours to remove");
    }
}
