//! Files that should be components, read whole: from strangers, so that neither their size nor what
//! they really are does any harm.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

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
    read_all(path, file)
}

/// The same where nobody may be waited for: what is no regular file is refused.
///
/// # Errors
///
/// The same.
pub(super) fn read_regular(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |source| unreadable(path, source);
    // Some devices do something when they are opened, so this is seen before.
    check_regular(&path.metadata().map_err(unreadable)?)?;
    // What takes its place in between is not waited for either: opening a pipe waits for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    check_regular(&file.metadata().map_err(unreadable)?)?;
    read_all(path, file)
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

fn read_all(path: &Path, file: File) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let read = file.take(COMPONENT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 > COMPONENT_BYTES {
        return Err(Refusal::NotComponent(format!("it is larger than {COMPONENT_BYTES} bytes")));
    }
    Ok(bytes)
}
