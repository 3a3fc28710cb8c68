//! Files that should be components, read whole: from strangers, so that neither their size nor what
//! they really are does any harm.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::plugin::compile::COMPONENT_BYTES;
use crate::plugin::error::Refusal;

/// Reads a file that should be a component.
///
/// # Errors
///
/// If it cannot be read, or is larger than a component may be.
pub fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    read_all(path, &file)
}

/// What a file looks like from outside. Who writes to it changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    device: u64,
    number: u64,
    /// When its contents were last changed, with nanoseconds.
    written: (i64, i64),
    /// The same of all that is known of it: this cannot be set.
    changed: (i64, i64),
}

impl Stamp {
    /// That of a file, or of what is called like one.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let (device, number) = (metadata.dev(), metadata.ino());
        if !metadata.is_file() {
            // A pipe that somebody writes to, or a directory, would never be quiet; neither is a component.
            return Self { length: 0, device, number, written: (0, 0), changed: (0, 0) };
        }
        let written = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { length: metadata.len(), device, number, written, changed }
    }

    /// Whether nothing of the file has changed since a time.
    #[must_use]
    pub fn is_older_than(&self, time: SystemTime) -> bool {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        self.changed < (seconds, since.subsec_nanos().into())
    }
}

/// The same where nobody may be waited for: what is no regular file is refused. With what it looks like
/// after it was read.
///
/// # Errors
///
/// The same.
pub(super) fn read_regular(path: &Path) -> Result<(Vec<u8>, Stamp), Refusal> {
    let unreadable = |source| unreadable(path, source);
    // Some devices do something when they are opened, so this is seen before.
    check_regular(&path.metadata().map_err(unreadable)?)?;
    // What takes its place in between is not waited for either: opening a pipe waits for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    check_regular(&file.metadata().map_err(unreadable)?)?;
    let bytes = read_all(path, &file)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    Ok((bytes, stamp))
}

fn check_regular(metadata: &Metadata) -> Result<(), Refusal> {
    let kind = metadata.file_type();
    let is = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Refusal::NotComponent(format!("it is {is}, and no regular file")))
}

fn unreadable(path: &Path, source: std::io::Error) -> Refusal {
    Refusal::Unreadable { path: path.to_owned(), source }
}

fn read_all(path: &Path, file: &File) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let read = file.take(COMPONENT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 > COMPONENT_BYTES {
        return Err(Refusal::NotComponent(format!("it is larger than {COMPONENT_BYTES} bytes")));
    }
    Ok(bytes)
}
