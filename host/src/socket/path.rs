//! The path of a Unix socket that listens: made so that only whom its rights allow can connect, and removed by
//! the process that it belongs to.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

/// Opens a socket that listens at a path, with these rights (as of `chmod`) and so many connections that wait. What an
/// ended process has left there is removed.
///
/// # Errors
///
/// The system's, such as that somebody listens there, or something else has that path.
pub fn listen(path: &Path, mode: u32, backlog: i32) -> io::Result<(UnixListener, Claim)> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| is_dead(&error)) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let claim = Claim::new(path)?;
    // Before it listens, so that nobody else can have connected.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((socket.into(), claim))
}

/// Whether an error of connecting says that nobody listens.
#[must_use]
pub fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// A socket's path that is ours. Dropped, it is removed.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    identity: (u64, u64),
    given: Given,
}

/// Gives a path to the process that has the socket now, which removes it in its turn.
#[derive(Debug, Clone, Default)]
pub struct Given(Arc<AtomicBool>);

impl Given {
    /// From now on the path is another process's.
    pub fn away(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Claim {
    /// The path of a socket that is there.
    ///
    /// # Errors
    ///
    /// If there is nothing.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, given: Given::default() })
    }

    /// What gives it to another process.
    #[must_use]
    pub fn given(&self) -> Given {
        self.given.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let given = self.given.0.load(Ordering::SeqCst);
        // Another process may have put its own there.
        if !given && identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|about| (about.dev(), about.ino()))
}
