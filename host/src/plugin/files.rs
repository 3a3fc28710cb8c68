//! Files of ours that are trusted when they are read again: in directories that nobody else can write
//! to, opened without following links, owner and mode checked. They appear whole, by renaming, so that
//! several processes may share a directory, and any may be killed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Opens or makes a directory with mode 0700.
///
/// # Errors
///
/// If it cannot be made, or others could write to it.
pub(super) fn open_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let about = fs::symlink_metadata(directory)?;
    if !about.is_dir() || about.uid() != me() || about.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "{} is not a directory that only this user can write to",
            directory.display()
        )));
    }
    Ok(())
}

/// Opens a file to be read, of at most so many bytes.
///
/// # Errors
///
/// If it cannot be read, is larger, or others could have written it.
pub(super) fn open(path: &Path, most: u64) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != me() || about.mode() & 0o022 != 0 {
        return Err(io::Error::other("not a file that only this user can write to"));
    }
    if about.len() > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(file)
}

/// The same with all that it holds.
///
/// # Errors
///
/// As [`open`].
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, most)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file of mode 0600 in one step: whoever reads it sees these bytes, or those before. `key`,
/// which has no slashes, tells its temporary name apart.
///
/// # Errors
///
/// If it cannot be written; what was there is as it was then.
pub(super) fn write(path: &Path, key: &str, parts: &[&[u8]]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let (process, file) = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_file_name(format!("{key}-{process}-{file}.new"));
    let written = write_new(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    // What a process of the same number has left there is in the way.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_data()
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}
