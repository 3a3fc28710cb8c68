//! The folder of an account and its certificates: for its owner alone, and never half written.
//!
//! Links are followed to the folder that is configured, as whoever configures it may want them, and not
//! within: what is in there is ours.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, fsync,
    mkdirat, openat, renameat, unlinkat,
};
use rustix::io::Errno;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What the names of files begin with that are not whole yet.
const UNFINISHED: &str = ".unfinished-";

const LOCK: &str = "lock";

const FILES: Mode = Mode::from_raw_mode(0o600);
const FOLDERS: Mode = Mode::from_raw_mode(0o700);

/// The folder.
pub(super) struct Folder(OwnedFd);

/// Nobody else has it as long as this is held.
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] OwnedFd);

impl Folder {
    /// Opens it, which is made if it is not there.
    pub(super) fn open(dir: &Path, label: &str) -> io::Result<Self> {
        if !dir.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = openat(CWD, dir, flags, Mode::empty())?;
        match mkdirat(&dir, label, FOLDERS) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = openat(&dir, label, flags | OFlags::NOFOLLOW, Mode::empty())?;
        fchmod(&folder, FOLDERS)?;
        Ok(Self(folder))
    }

    /// What is in a file, if it is there.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        File::from(file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(io::Error::other("it has more than 1 MiB"));
        }
        Ok(Some(bytes))
    }

    /// Puts a file in the place of the one before, in one step.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = format!("{UNFINISHED}{name}");
        // One that is there is of a process that has ended: this one has the lock.
        self.remove(&unfinished)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &unfinished, flags, FILES)?);
        let written = fchmod(&file, FILES).map_err(io::Error::from);
        let written = written.and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| Ok(renameat(&self.0, &unfinished, &self.0, name)?));
        if moved.is_err() {
            // It would be in the way of nobody.
            let _ = self.remove(&unfinished);
        }
        moved?;
        Ok(fsync(&self.0)?)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Has it to itself, unless another has. What others have left unfinished is removed.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.0, LOCK, flags, FILES)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        for entry in Dir::read_from(&self.0)?.flatten() {
            if let Ok(name) = entry.file_name().to_str()
                && name.starts_with(UNFINISHED)
            {
                self.remove(name)?;
            }
        }
        Ok(Some(Lock(file)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("a/b");
        let folder = Folder::open(&dir, "x").unwrap();
        folder.write("one.pem", b"1").unwrap();
        folder.write("one.pem", b"2").unwrap();
        assert_eq!(folder.read("one.pem").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(folder.read("two.pem").unwrap(), None);
        assert_eq!((mode(&dir), mode(&dir.join("x"))), (0o700, 0o700));
        assert_eq!(mode(&dir.join("x/one.pem")), 0o600);
        // One that somebody has opened to others is closed again.
        fs::set_permissions(dir.join("x"), fs::Permissions::from_mode(0o755)).unwrap();
        Folder::open(&dir, "x").unwrap();
        assert_eq!(mode(&dir.join("x")), 0o700);
    }

    #[test]
    fn links_are_neither_read_nor_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "theirs").unwrap();
        let folder = Folder::open(directory.path(), "x").unwrap();
        symlink(&other, directory.path().join("x/one.pem")).unwrap();
        symlink(&other, directory.path().join("x/.unfinished-one.pem")).unwrap();
        assert!(folder.read("one.pem").is_err());
        folder.write("one.pem", b"ours").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(folder.read("one.pem").unwrap().as_deref(), Some(&b"ours"[..]));
        symlink(directory.path(), directory.path().join("linked")).unwrap();
        assert!(Folder::open(directory.path(), "linked").is_err());
    }

    #[test]
    fn one_at_a_time_has_it_and_clears_away_what_is_unfinished() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path(), "x").unwrap();
        let left = directory.path().join("x/.unfinished-one.pem");
        fs::write(&left, "half").unwrap();
        let lock = folder.lock().unwrap();
        assert!(lock.is_some() && !left.exists());
        assert!(Folder::open(directory.path(), "x").unwrap().lock().unwrap().is_none());
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
    }
}
