//! The waker of one upstream connection.
//!
//! A connection and what waits for it (an answer, a body) are polled in turn by the same future,
//! and wake each other through channels inside hyper. With the task's own waker each of those
//! wake-ups would poll the whole task once more for nothing; an idle connection would even wake
//! the task that used it last. So the connection gets this waker: while it is being driven, and
//! while it is idle, wake-ups are only noted, else they go to the task that drove it last.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Where the wake-ups of a connection go. Lives as long as the connection.
///
/// The atomics need no ordering: all that holds the waker lives on the worker's thread.
pub(super) struct Wakeups {
    task: Mutex<Waker>,
    /// What `task` wakes, to know it again without the lock. `task` keeps it from being reused.
    known: AtomicPtr<()>,
    quiet: AtomicBool,
    noted: AtomicBool,
}

impl Wakeups {
    /// Quiet, and without a task.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            task: Mutex::new(Waker::noop().clone()),
            known: AtomicPtr::new(ptr::null_mut()),
            quiet: AtomicBool::new(true),
            noted: AtomicBool::new(false),
        })
    }

    /// From now on wake-ups are noted only; later ones go to `task`.
    pub(super) fn begin(&self, task: &Waker) {
        self.quiet.store(true, Ordering::Relaxed);
        let known = task.data().cast_mut();
        if known.is_null() || known != self.known.load(Ordering::Relaxed) {
            self.known.store(known, Ordering::Relaxed);
            self.task().clone_from(task);
        }
    }

    /// From now on wake-ups go to the task. True if some were noted since [`clear`](Self::clear).
    pub(super) fn end(&self) -> bool {
        self.quiet.store(false, Ordering::Relaxed);
        self.noted()
    }

    /// Nobody waits for the connection any more: wake-ups are noted only.
    pub(super) fn park(&self) {
        self.quiet.store(true, Ordering::Relaxed);
        self.clear();
    }

    /// Lets go of the task that drove the connection last, whose memory its waker keeps.
    pub(super) fn leave_task(&self) {
        if !self.known.swap(ptr::null_mut(), Ordering::Relaxed).is_null() {
            *self.task() = Waker::noop().clone();
        }
    }

    /// Forgets what was noted.
    pub(super) fn clear(&self) {
        self.noted.store(false, Ordering::Relaxed);
    }

    /// Whether something woke the connection since [`clear`](Self::clear).
    pub(super) fn noted(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.noted.store(true, Ordering::Relaxed);
        if !self.quiet.load(Ordering::Relaxed) {
            self.task().wake_by_ref();
        }
    }
}
