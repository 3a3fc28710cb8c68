//! Lines on their way to a target: a bounded buffer, and the thread that writes it out.
//!
//! Two buffers take turns: while the thread writes one, callers fill the other. Nothing is allocated
//! per line, and the lock is held for as long as it takes to copy what is handed over. What a target
//! does not take is counted, and when it takes lines again an error says how many were lost.

mod output;

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use self::output::Output;
use super::LogError;
use crate::config::LogTarget;

/// The most bytes that wait for one target.
pub const MAX_PENDING_BYTES: usize = 4 << 20;

/// What a buffer keeps for the next turn.
const KEPT_BYTES: usize = 256 << 10;

/// The logs, which can have one target. Lines count for theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What happens.
    Diagnostics,
    /// A line per request.
    Access,
}

/// Takes lines of one log for one target. A shared pointer: cheap to clone.
#[derive(Debug, Clone)]
pub struct Sink {
    shared: Arc<Shared>,
    stream: Stream,
}

impl Sink {
    /// Hands over whole lines, `lines` of them. Never waits for the target.
    pub fn push(&self, bytes: &[u8], lines: u64) {
        let mut state = self.shared.lock();
        if state.closed || state.pending.len() + bytes.len() > MAX_PENDING_BYTES {
            drop(state);
            self.shared.dropped.add(self.stream, lines);
            return;
        }
        state.pending.extend_from_slice(bytes);
        state.lines.add(self.stream, lines);
        drop(state);
        self.shared.work.notify_one();
    }

    /// The same target, for another log.
    #[must_use]
    pub fn of(&self, stream: Stream) -> Self {
        Self { shared: Arc::clone(&self.shared), stream }
    }

    /// Has a file opened anew before the next write.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.work.notify_one();
    }

    /// Waits until all that was handed over is written. Answers whether that came to be in time.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let state = self.shared.lock();
        let busy = |state: &mut State| state.writing || state.has_work();
        let waited = self.shared.idle.wait_timeout_while(state, timeout, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Lines of this log that did not fit, or that the target did not take.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.of(self.stream)
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
        let sink = Sink { shared: Arc::clone(&shared), stream: Stream::Diagnostics };
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
        self.sink.shared.lock().closed = true;
        self.sink.shared.work.notify_one();
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
    dropped: Counts,
}

/// Lines, by log.
#[derive(Debug, Default)]
struct Counts {
    diagnostics: AtomicU64,
    access: AtomicU64,
}

impl Counts {
    fn add(&self, stream: Stream, lines: u64) {
        self.cell(stream).fetch_add(lines, Ordering::Relaxed);
    }

    fn of(&self, stream: Stream) -> u64 {
        self.cell(stream).load(Ordering::Relaxed)
    }

    fn cell(&self, stream: Stream) -> &AtomicU64 {
        match stream {
            Stream::Diagnostics => &self.diagnostics,
            Stream::Access => &self.access,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    lines: Counts,
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
        let told = Counts::default();
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
            // A pipe that nobody empties any more is not to keep its successor waiting.
            match output.write_lines(&buffer, || self.lock().reopen) {
                Ok(()) => self.tell_of_lost(&told),
                // Nowhere to say it yet but in the count. Where the logs share a target it is not
                // known whose lines the last ones are.
                Err(left) => {
                    let access = left.min(lines.of(Stream::Access));
                    self.dropped.add(Stream::Access, access);
                    let others = (left - access).min(lines.of(Stream::Diagnostics));
                    self.dropped.add(Stream::Diagnostics, others);
                }
            }
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
            state = self.lock();
        }
    }

    /// Says how many lines were lost since that was last said, now that the target takes lines.
    fn tell_of_lost(&self, told: &Counts) {
        for (stream, log) in [(Stream::Access, "access"), (Stream::Diagnostics, "diagnostics")] {
            let lost = self.dropped.of(stream).saturating_sub(told.of(stream));
            if lost > 0 {
                told.add(stream, lost);
                tracing::error!(log, lines = lost, "lines were lost: the log's target took none");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::Read;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_target_that_takes_nothing_costs_lines_but_no_time() {
        let (mut reader, pipe) = io::pipe().unwrap();
        let writer = Writer::start_with(Output::pipe(pipe), LONG).unwrap();
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
        let writer = Writer::start_with(Output::pipe(pipe), Duration::from_millis(10)).unwrap();
        writer.sink().push(&b"x".repeat(1 << 20), 1);
        drop(writer);
    }

    #[test]
    fn what_a_target_refuses_is_counted() {
        let (reader, pipe) = io::pipe().unwrap();
        drop(reader);
        let writer = Writer::start_with(Output::pipe(pipe), LONG).unwrap();
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

    #[test]
    fn a_pipe_that_is_stuck_gives_way_to_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        // Opened for both, which does not wait for another; nothing is read.
        let _reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let writer = Writer::start(&LogTarget::File(path.clone()), LONG).unwrap();
        let sink = writer.sink().clone();
        sink.push(&b"stuck\n".repeat(1 << 16), 1 << 16);
        assert!(!sink.flush(Duration::from_millis(10)));
        std::fs::remove_file(&path).unwrap();
        sink.reopen();
        assert!(sink.flush(LONG), "the pipe is left");
        sink.push(b"kept\n", 1);
        drop(writer);
        assert!(sink.dropped() > 0);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "kept\n");
    }

    #[test]
    fn a_full_disk_costs_lines_until_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let writer = Writer::start(&LogTarget::File(path.clone()), LONG).unwrap();
        let (sink, access) = (writer.sink().clone(), writer.sink().of(Stream::Access));
        for _ in 0..3 {
            sink.push(b"lost\n", 1);
            access.push(b"lost\nlost\n", 2);
            assert!(sink.flush(LONG));
        }
        assert_eq!((sink.dropped(), access.dropped()), (3, 6));
        std::fs::remove_file(&path).unwrap();
        sink.reopen();
        sink.push(b"kept\n", 1);
        drop(writer);
        assert_eq!((sink.dropped(), access.dropped()), (3, 6));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "kept\n");
    }
}
