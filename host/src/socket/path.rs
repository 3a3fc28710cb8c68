//! The path of a Unix socket that listens: made so that only whom its rights allow can connect, and removed by
//! the process that it belongs to.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

/// The bits of a mode that are about who may do what.
const MODE_BITS: u32 = 0o777;

/// Who may connect: what the file of a socket has, of which writing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// As of `chmod`.
    pub mode: u32,
    /// The user's id. `None`: the process's, or what it is.
    pub owner: Option<u32>,
    /// The group's id. `None`: the process's, or what it is.
    pub group: Option<u32>,
}

impl Rights {
    /// Nobody but the process's own user, and root.
    pub const PRIVATE: Self = Self { mode: 0o600, owner: None, group: None };

    /// Gives them to a file, as far as it has others.
    ///
    /// # Errors
    ///
    /// The system's, such as that the process may not give files away.
    pub fn apply(&self, path: &Path) -> io::Result<()> {
        let about = fs::symlink_metadata(path)?;
        let other = |wanted: Option<u32>, found: u32| wanted.is_some_and(|wanted| wanted != found);
        if other(self.owner, about.uid()) || other(self.group, about.gid()) {
            lchown(path, self.owner, self.group)
                .map_err(|error| explained(&error, "its owner and group cannot be set"))?;
        }
        if about.mode() & MODE_BITS != self.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
                .map_err(|error| explained(&error, "its mode cannot be set"))?;
        }
        Ok(())
    }
}

fn explained(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Opens a socket that listens at a path, with these rights and so many connections that wait. What an ended process
/// has left there is removed.
///
/// # Errors
///
/// The system's, such as that somebody listens there, or something else has that path.
pub fn listen(path: &Path, rights: &Rights, backlog: i32) -> io::Result<(UnixListener, Claim)> {
    if probe(path)? == Found::Dead {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let claim = Claim::new(path)?;
    // Before it listens, so that nobody else can have connected.
    rights.apply(path)?;
    socket.listen(backlog)?;
    Ok((socket.into(), claim))
}

/// What keeps no socket from being made at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is nothing.
    Nothing,
    /// The socket of a process that has ended.
    Dead,
}

/// Whether a socket can be made at a path. To see whether somebody listens there, it is connected to.
///
/// # Errors
///
/// Why it cannot.
pub fn probe(path: &Path) -> io::Result<Found> {
    let taken = |text| Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    match fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => {
            return taken("there is something that is no socket");
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The folder, which no socket can be made without.
            let folder = path.parent().unwrap_or(path);
            return fs::metadata(folder).map(|_| Found::Nothing).map_err(|error| {
                explained(&error, &format!("the folder {} cannot be used", folder.display()))
            });
        }
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Somebody whose queue is full would have it wait.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if is_dead(&error) => Ok(Found::Dead),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            Err(explained(&error, "there is a socket, and whether somebody listens is unknown"))
        }
        _ => taken("another process listens there"),
    }
}

/// Whether an error of connecting says that nobody listens.
#[must_use]
pub fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// A socket's path that is ours. Dropped, it is removed, unless another process has the socket.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    identity: (u64, u64),
    /// Whether the path is another process's, which removes it in its turn.
    lent: AtomicBool,
}

impl Claim {
    /// The path of a socket that is there.
    ///
    /// # Errors
    ///
    /// If there is nothing.
    pub fn new(path: &Path) -> io::Result<Self> {
        let lent = AtomicBool::new(false);
        Ok(Self { path: path.to_owned(), identity: identity(path)?, lent })
    }

    /// The same, as long as it is the process's that has handed the socket over.
    ///
    /// # Errors
    ///
    /// If there is nothing.
    pub fn of_another(path: &Path) -> io::Result<Self> {
        let claim = Self::new(path)?;
        claim.give_away();
        Ok(claim)
    }

    /// From now on the path is another process's.
    pub fn give_away(&self) {
        self.lent.store(true, Ordering::SeqCst);
    }

    /// From now on it is this one's.
    pub fn take_over(&self) {
        self.lent.store(false, Ordering::SeqCst);
    }

    /// Changes who may connect.
    ///
    /// # Errors
    ///
    /// The system's, and that the path has gone.
    pub fn set_rights(&self, rights: &Rights) -> io::Result<()> {
        if self.is_there() {
            return rights.apply(&self.path);
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "somebody has removed it, or put another there",
        ))
    }

    /// Whether it is there, and not what somebody else has put there.
    fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.lent.load(Ordering::SeqCst) && self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|about| (about.dev(), about.ino()))
}
