//! Where a log is written to, and what becomes of a target that takes only part of what it is given.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::config::LogTarget;
use crate::log::LogError;

/// How long a target that takes nothing just now is left alone.
const PAUSE: Duration = Duration::from_millis(10);

/// After so many pauses a target counts as stuck.
const PAUSES: u32 = 25;

/// An open target.
#[derive(Debug)]
pub(super) struct Output {
    target: Target,
    /// Whether the last line was written in part only.
    torn: bool,
}

#[derive(Debug)]
enum Target {
    Stderr,
    Stdout,
    File(PathBuf, File),
    #[cfg(test)]
    Pipe(io::PipeWriter),
}

impl Output {
    /// Opens a target.
    pub(super) fn open(target: &LogTarget) -> Result<Self, LogError> {
        let target = match target {
            LogTarget::Off | LogTarget::Stderr => Target::Stderr,
            LogTarget::Stdout => Target::Stdout,
            LogTarget::File(path) => {
                let opened = open_file(path);
                let file =
                    opened.map_err(|source| LogError::Open { path: path.clone(), source })?;
                Target::File(path.clone(), file)
            }
        };
        Ok(Self { target, torn: false })
    }

    #[cfg(test)]
    pub(super) fn pipe(pipe: io::PipeWriter) -> Self {
        Self { target: Target::Pipe(pipe), torn: false }
    }

    /// Writes whole lines. The error is how many of them were not, or not whole. If the target is
    /// stuck, `leave` is asked whether to wait on.
    pub(super) fn write_lines(
        &mut self,
        lines: &[u8],
        leave: impl Fn() -> bool,
    ) -> Result<(), u64> {
        let target = &self.target;
        let mut pauses = 0;
        let mut write = |bytes: &[u8]| match target.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if pauses >= PAUSES && leave() {
                    return Err(error);
                }
                pauses = pauses.saturating_add(1);
                // Somebody else has made it so; this thread has time.
                thread::park_timeout(PAUSE);
                Err(io::ErrorKind::Interrupted.into())
            }
            written => {
                pauses = 0;
                written
            }
        };
        write_lines(&mut write, &mut self.torn, lines)
    }

    /// Opens a file anew. Keeps the old one if there cannot be a new one.
    pub(super) fn reopen(&mut self) {
        let Target::File(path, file) = &mut self.target else { return };
        match open_file(path) {
            Ok(opened) => (*file, self.torn) = (opened, false),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(path = %path.display(), error, "cannot reopen the log file");
            }
        }
    }
}

impl Target {
    /// Without the buffers of the standard library, which would not tell what was written.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(match self {
            Self::Stderr => rustix::io::write(io::stderr().as_fd(), bytes),
            Self::Stdout => rustix::io::write(io::stdout().as_fd(), bytes),
            Self::File(_, file) => rustix::io::write(file.as_fd(), bytes),
            #[cfg(test)]
            Self::Pipe(pipe) => rustix::io::write(pipe.as_fd(), bytes),
        }?)
    }
}

fn write_lines(
    write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
    torn: &mut bool,
    lines: &[u8],
) -> Result<(), u64> {
    let count = |bytes: &[u8]| {
        u64::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
    };
    // What was left of a line is not to become the beginning of another.
    if *torn && write_all(write, b"\n").is_err() {
        return Err(count(lines));
    }
    *torn = false;
    write_all(write, lines).map_err(|written| {
        *torn = written > 0 && lines.get(written - 1) != Some(&b'\n');
        count(lines.get(written..).unwrap_or_default())
    })
}

/// The error is how much was written.
fn write_all(
    write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
    bytes: &[u8],
) -> Result<(), usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return Err(written),
            Ok(some) => written += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

/// A named pipe that nobody reads is an error, not something to wait for.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room, which it then gets again and again.
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            self.room -= fits;
            self.text.extend_from_slice(&bytes[..fits]);
            if fits == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
        }
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_run_into_the_next() {
        let (mut disk, mut torn) = (Disk { text: Vec::new(), room: 8 }, false);
        let mut write = |disk: &mut Disk, lines: &[u8]| {
            write_lines(&mut |bytes| disk.write(bytes), &mut torn, lines)
        };
        assert_eq!(write(&mut disk, b"one\ntwo two\nthree\n"), Err(2));
        assert_eq!(write(&mut disk, b"four\n"), Err(1), "still full");
        disk.room = 100;
        assert_eq!(write(&mut disk, b"five\n"), Ok(()));
        disk.room = 4;
        assert_eq!(write(&mut disk, b"six\nseven\n"), Err(1));
        disk.room = 100;
        assert_eq!(write(&mut disk, b"eight\n"), Ok(()));
        assert_eq!(disk.text, b"one\ntwo \nfive\nsix\neight\n");
    }
}
