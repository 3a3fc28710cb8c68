//! The thread that writes a recording, and the file that it makes for that.
//!
//! The file is for its owner alone. A recording that is there already becomes `FILE.1`, in place of the
//! one before that; anything else that is there is left alone, and nothing is recorded. A line is
//! written as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::config::{Name, Sample};
use crate::plugin::recording::BEGINNING;
use crate::plugin::recording::recorder::{Order, State};

/// What the thread knows.
pub(super) struct Tape {
    pub(super) plugin: Name,
    pub(super) path: PathBuf,
    pub(super) heading: Vec<u8>,
    pub(super) max_bytes: u64,
    pub(super) state: Arc<State>,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{} is there, is no recording, and is left alone", .0.display())]
    Other(PathBuf),
    #[error("max-bytes is less than the first line takes")]
    Small,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Why it ends.
enum End {
    /// There is nobody to record for any more.
    Left,
    /// The next line is one too many.
    Full,
    /// It cannot be written.
    Broken(io::Error),
}

impl Tape {
    /// Makes the file, and writes the lines that come until there are no more, or one is too many.
    pub(super) fn run(self, orders: &Receiver<Order>) {
        let (plugin, path) = (&*self.plugin, self.path.display());
        let end = self.open().map(|(mut file, bytes)| {
            tracing::info!(plugin, path = %path, "decisions are recorded");
            self.write(&mut file, bytes, orders)
        });
        if !matches!(end, Ok(End::Left | End::Full)) {
            self.state.breaks();
        }
        self.state.ends();
        match end {
            Ok(End::Left) => {}
            Ok(End::Full) => {
                let most = self.max_bytes;
                tracing::info!(plugin, path = %path, "the recording is full (max-bytes = {most})");
            }
            Ok(End::Broken(error)) => {
                tracing::error!(plugin, path = %path, "the recording ends: {error}");
            }
            Err(trouble) => tracing::error!(plugin, "nothing is recorded: {trouble}"),
        }
        // Those that came before anybody could know.
        for order in orders.try_iter() {
            if let Order::Line(line) = order {
                self.state.done(line.len(), false);
            }
        }
    }

    /// The file, with its first line, and how long that is.
    fn open(&self) -> Result<(File, u64), Trouble> {
        let mut first = self.heading.clone();
        first.push(b'\n');
        let bytes = u64::try_from(first.len()).unwrap_or(u64::MAX);
        if bytes > self.max_bytes {
            return Err(Trouble::Small);
        }
        let path = &self.path;
        let failed = |source| Trouble::Io { path: path.clone(), source };
        if exists(path)? {
            let before = Sample::before(path);
            exists(&before)?;
            fs::rename(path, &before).map_err(failed)?;
            let plugin = &*self.plugin;
            tracing::info!(plugin, kept = %before.display(), "the recording before is kept");
        }
        // What has come there meanwhile is not ours, and stays.
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = opened.map_err(failed)?;
        file.write_all(&first).map_err(failed)?;
        Ok((file, bytes))
    }

    fn write(&self, file: &mut File, mut bytes: u64, orders: &Receiver<Order>) -> End {
        while let Ok(order) = orders.recv() {
            let line = match order {
                Order::Line(line) => line,
                Order::Flush(reply) => {
                    // Who has stopped waiting does not mind.
                    let _ = reply.try_send(());
                    continue;
                }
            };
            let after = bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
            let end = if after > self.max_bytes {
                Some(End::Full)
            } else {
                file.write_all(&line).err().map(End::Broken)
            };
            self.state.done(line.len(), end.is_none());
            if let Some(end) = end {
                // What there is of a line is none.
                let _ = file.set_len(bytes);
                return end;
            }
            bytes = after;
        }
        End::Left
    }
}

/// Whether there is a recording at a path.
///
/// # Errors
///
/// If something else is there.
fn exists(path: &Path) -> Result<bool, Trouble> {
    let failed = |source| Trouble::Io { path: path.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(there) if !there.is_file() => return Err(Trouble::Other(path.to_owned())),
        Ok(_) => {}
    }
    let mut beginning = Vec::new();
    let most = u64::try_from(BEGINNING.len()).unwrap_or(u64::MAX);
    let file = File::open(path).map_err(failed)?;
    file.take(most).read_to_end(&mut beginning).map_err(failed)?;
    // One that was broken off before its first line has nothing to lose.
    if beginning.is_empty() || beginning == BEGINNING {
        return Ok(true);
    }
    Err(Trouble::Other(path.to_owned()))
}
