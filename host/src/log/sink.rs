//! Lines on their way to a target: a bounded buffer, and the thread that writes it out.
//!
//! Two buffers take turns: while the thread writes one, callers fill the other. Nothing is allocated
//! per line, and the lock is held for as long as it takes to copy what is handed over.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write;
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::LogError;
use crate::config::LogTarget;

/// The most bytes that wait for one target.
pub const MAX_PENDING_BYTES: usize = 4 << 20;

/// What a buffer keeps for the next turn.
const KEPT_BYTES: usize = 256 << 10;

/// Takes lines for one target. A shared pointer: cheap to clone.
#[derive(Debug, Clone)]
pub struct Sink(Arc<Shared>);

impl Sink {
    /// Hands over whole lines, `lines` of them. Never waits for the target.
    pub fn push(&self, bytes: &[u8], lines: u64) {
        let mut state = self.0.lock();
        if state.closed || state.pending.len() + bytes.len() > MAX_PENDING_BYTES {
            drop(state);
            self.0.dropped.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        state.pending.extend_from_slice(bytes);
        state.lines += lines;
        drop(state);
        self.0.work.notify_one();
    }

    /// Has a file opened anew before the next write.
    pub fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.work.notify_one();
    }

    /// Waits until all that was handed over is written. Answers whether that came to be in time.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let state = self.0.lock();
        let busy = |state: &mut State| state.writing || state.has_work();
        let waited = self.0.idle.wait_timeout_while(state, timeout, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Lines that did not fit, or that the target did not take.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Write for Sink {
    /// Takes one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line, 1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The owner of a target's thread. Dropped, it waits a moment for the last lines; a target that
/// takes them no more does not keep the process alive.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    thread: Option<JoinHandle<()>>,
    last_lines: Duration,
}

impl Writer {
    /// Opens the target and starts the thread.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the thread not started.
    pub fn start(target: &LogTarget, last_lines: Duration) -> Result<Self, LogError> {
        Self::start_with(Output::open(target)?, last_lines)
    }

    /// The handle for those who write.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    fn start_with(mut output: Output, last_lines: Duration) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::default());
        let sink = Sink(Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.run(&mut output))
            .map_err(LogError::Thread)?;
        Ok(Self { sink, thread: Some(thread), last_lines })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let written = self.sink.flush(self.last_lines);
        self.sink.0.lock().closed = true;
        self.sink.0.work.notify_one();
        if written && let Some(thread) = self.thread.take() {
            // It has nothing left to do; had it panicked, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells those who flush that there is nothing left.
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    lines: u64,
    reopen: bool,
    writing: bool,
    closed: bool,
}

impl State {
    fn has_work(&self) -> bool {
        self.reopen || !self.pending.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, output: &mut Output) {
        let mut buffer = Vec::new();
        let mut state = self.lock();
        loop {
            state.writing = false;
            if !state.has_work() {
                self.idle.notify_all();
                if state.closed {
                    return;
                }
                let idle = |state: &mut State| !state.has_work() && !state.closed;
                let waited = self.work.wait_while(state, idle);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            mem::swap(&mut state.pending, &mut buffer);
            let lines = mem::take(&mut state.lines);
            let reopen = mem::take(&mut state.reopen);
            state.writing = true;
            drop(state);
            if reopen {
                output.reopen();
            }
            if output.write_all(&buffer).is_err() {
                // Nowhere to say it but in the count.
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
            state = self.lock();
        }
    }
}

#[derive(Debug)]
enum Output {
    Stderr,
    Stdout,
    File(PathBuf, File),
    #[cfg(test)]
    Pipe(io::PipeWriter),
}

impl Output {
    fn open(target: &LogTarget) -> Result<Self, LogError> {
        Ok(match target {
            LogTarget::Off | LogTarget::Stderr => Self::Stderr,
            LogTarget::Stdout => Self::Stdout,
            LogTarget::File(path) => {
                let opened = open_file(path);
                let file =
                    opened.map_err(|source| LogError::Open { path: path.clone(), source })?;
                Self::File(path.clone(), file)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().write_all(bytes),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(_, file) => file.write_all(bytes),
            #[cfg(test)]
            Self::Pipe(pipe) => pipe.write_all(bytes),
        }
    }

    /// Keeps the old file if there cannot be a new one.
    fn reopen(&mut self) {
        let Self::File(path, file) = self else { return };
        match open_file(path) {
            Ok(opened) => *file = opened,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(path = %path.display(), error, "cannot reopen the log file");
            }
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_target_that_takes_nothing_costs_lines_but_no_time() {
        let (mut reader, pipe) = io::pipe().unwrap();
        let writer = Writer::start_with(Output::Pipe(pipe), LONG).unwrap();
        let sink = writer.sink().clone();
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let lines = 3 * MAX_PENDING_BYTES as u64 / 1_000;
        for _ in 0..lines {
            sink.push(&line, 1);
        }
        let dropped = sink.dropped();
        assert!(dropped > lines / 4, "{dropped} of {lines}");
        assert!(!sink.flush(Duration::from_millis(10)));
        let read = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map(|_| text)
        });
        drop(writer);
        let text = read.join().unwrap().unwrap();
        assert_eq!(text.len() as u64, (lines - dropped) * 1_000);
        assert!(text.chunks(1_000).all(|chunk| chunk == line));
        sink.push(b"late\n", 1);
        assert_eq!(sink.dropped(), dropped + 1);
    }

    #[test]
    fn a_target_that_is_stuck_does_not_keep_the_process() {
        let (_reader, pipe) = io::pipe().unwrap();
        let writer = Writer::start_with(Output::Pipe(pipe), Duration::from_millis(10)).unwrap();
        writer.sink().push(&b"x".repeat(1 << 20), 1);
        drop(writer);
    }

    #[test]
    fn what_a_target_refuses_is_counted() {
        let (reader, pipe) = io::pipe().unwrap();
        drop(reader);
        let writer = Writer::start_with(Output::Pipe(pipe), LONG).unwrap();
        writer.sink().push(b"a\nb\n", 2);
        assert!(writer.sink().flush(LONG));
        assert_eq!(writer.sink().dropped(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_reopened_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let target = LogTarget::File(inner.join("log"));
        let writer = Writer::start(&target, LONG).unwrap();
        std::fs::rename(&inner, directory.path().join("moved")).unwrap();
        writer.sink().reopen();
        writer.sink().push(b"kept\n", 1);
        drop(writer);
        let text = std::fs::read_to_string(directory.path().join("moved/log")).unwrap();
        assert_eq!(text, "kept\n");
    }
}
