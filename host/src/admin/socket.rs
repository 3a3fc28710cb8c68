//! The socket of the administrator's listener: TCP, or Unix with a file that only its owner may use.

use std::fs;
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Type};

use crate::config::AdminBind;
use crate::listener::accept::bind;
use crate::socket::Stream;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 64;

/// A socket that listens. Dropped, it closes, and the file of a Unix socket goes.
#[derive(Debug)]
pub struct Socket {
    bound: AdminBind,
    socket: Kind,
    _file: Option<File>,
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
                Ok(Self { bound, socket: Kind::Tcp(socket), _file: None })
            }
            AdminBind::Unix(path) => {
                let (socket, file) = open(path)?;
                Ok(Self { bound: wanted.clone(), socket: Kind::Unix(socket), _file: Some(file) })
            }
        }
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

/// Opens a Unix socket that only this user may connect to. What an ended process has left at its
/// path is removed.
fn open(path: &Path) -> io::Result<(unix::UnixListener, File)> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if is_socket && unix::UnixStream::connect(path).is_err_and(|error| is_dead(&error)) {
        fs::remove_file(path)?;
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = File::new(path)?;
    // Before it listens, so that nobody else can have connected.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// The file of a socket that is ours.
#[derive(Debug)]
struct File {
    path: PathBuf,
    identity: (u64, u64),
}

impl File {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Another process may have put its own there.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|about| (about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
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
