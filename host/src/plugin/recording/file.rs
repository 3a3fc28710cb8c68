//! The thread that writes a recording, and the file that it makes for that.
//!
//! The file is for its owner alone. A recording that is there already becomes `FILE.1`, in place of the
//! one before that; anything else that is there is left alone, and nothing is recorded. A line is
//! written as a whole or not at all. When the file is full, it loses the lines of requests that others were
//! to follow, so that what is left of each request is all of it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use crate::config::{Name, Sample};
use crate::plugin::recording::BEGINNING;
use crate::plugin::recording::recorder::{Order, State};

/// With fewer lines nobody looks whether their requests are over.
const MANY: usize = 8_192;

/// How much is moved at a time.
const PIECE: usize = 64 << 10;

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
            if let Order::Line(line, _) = order {
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
        let opened = options.read(true).write(true).create_new(true).mode(0o600).open(path);
        let mut file = opened.map_err(failed)?;
        file.write_all(&first).map_err(failed)?;
        Ok((file, bytes))
    }

    fn write(&self, file: &mut File, mut bytes: u64, orders: &Receiver<Order>) -> End {
        let mut open = Open::default();
        while let Ok(order) = orders.recv() {
            let (line, mark) = match order {
                Order::Line(line, mark) => (line, mark),
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
                let cut = file.set_len(bytes).and_then(|()| cut(file, &open.lines(), bytes));
                return cut.map_or_else(End::Broken, |()| end);
            }
            open.add(&mark, bytes..after);
            bytes = after;
        }
        End::Left
    }
}

/// The lines of requests that others may follow of, in their order.
#[derive(Default)]
struct Open {
    lines: VecDeque<(Weak<()>, Range<u64>)>,
    /// With so many it is time to look which of them are.
    many: usize,
}

impl Open {
    fn add(&mut self, mark: &Arc<()>, line: Range<u64>) {
        self.lines.push_back((Arc::downgrade(mark), line));
        if self.lines.len() > self.many {
            self.lines.retain(|(mark, _)| mark.strong_count() > 0);
            self.many = (2 * self.lines.len()).max(MANY);
        }
    }

    /// Those whose requests are under way, or of which more waits to be written.
    fn lines(&self) -> Vec<Range<u64>> {
        let open = self.lines.iter().filter(|(mark, _)| mark.strong_count() > 0);
        open.map(|(_, line)| line.clone()).collect()
    }
}

/// Takes ranges, which are in order, out of a file of so many bytes.
fn cut(file: &File, ranges: &[Range<u64>], end: u64) -> io::Result<()> {
    let Some(first) = ranges.first() else { return Ok(()) };
    let mut to = first.start;
    let nexts = ranges.iter().skip(1).map(|range| range.start).chain([end]);
    let mut buffer = vec![0; PIECE];
    for (range, next) in ranges.iter().zip(nexts) {
        let mut from = range.end;
        while from < next {
            let piece = usize::try_from(next - from).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = buffer.get_mut(..piece) else { break };
            file.read_exact_at(piece, from)?;
            file.write_all_at(piece, to)?;
            let length = u64::try_from(piece.len()).unwrap_or_default();
            (from, to) = (from + length, to + length);
        }
    }
    file.set_len(to)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_taken_out_of_a_file() {
        let parts: [(&[Range<u64>], &str); 4] = [
            (&[], "0123456789"),
            (&[0..10, 10..10], ""),
            (&[2..3, 3..5, 9..10], "015678"),
            (&[0..1, 4..6], "1236789"),
        ];
        for (ranges, left) in parts {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"0123456789").unwrap();
            cut(&file, ranges, 10).unwrap();
            let mut text = vec![0; 20];
            let length = file.read_at(&mut text, 0).unwrap();
            assert_eq!(std::str::from_utf8(&text[..length]), Ok(left), "{ranges:?}");
        }
    }

    #[test]
    fn lines_are_open_as_long_as_their_requests_are() {
        let (mut open, marks) = (Open::default(), [Arc::new(()), Arc::new(())]);
        open.add(&marks[0], 0..1);
        open.add(&marks[1], 1..2);
        open.add(&marks[0], 2..3);
        let [first, second] = marks;
        drop(second);
        assert_eq!(open.lines(), [0..1, 2..3]);
        drop(first);
        assert!(open.lines().is_empty());
        let last = Arc::new(());
        (0..=u64::try_from(MANY).unwrap()).for_each(|at| open.add(&Arc::new(()), at..at + 1));
        open.add(&last, 0..1);
        assert!(open.lines.len() < MANY, "what is over is forgotten");
    }
}
