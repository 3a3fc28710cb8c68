//! One shutdown signal, and waiting for the work that holds a guard.
//!
//! [`Drain`] stays with whoever ends the process; each task that has to know gets a [`Watcher`], and
//! holds a [`Guard`] while it must not be cut off. All three work across threads and runtimes. The
//! signal is given once and never taken back. What becomes of work that outlasts the grace is up to
//! the caller.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

/// The signal's owner.
#[derive(Debug)]
pub struct Drain(Arc<Shared>);

impl Drain {
    /// A signal that has not been given.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            begun: AtomicBool::new(false),
            signal: watch::Sender::new(()),
            guards: watch::Sender::new(()),
        };
        Self(Arc::new(shared))
    }

    /// A handle for those who obey the signal.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        Watcher(Arc::clone(&self.0))
    }

    /// Gives the signal.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::SeqCst);
        self.0.signal.send_replace(());
    }

    /// Waits until no guard is held, without limit if `grace` is absent. Answers whether that came
    /// to be. Guards may still be taken meanwhile, and are waited for.
    pub async fn wait(&self, grace: Option<Duration>) -> bool {
        let released = self.0.guards.closed();
        match grace {
            Some(grace) => time::timeout(grace, released).await.is_ok(),
            None => {
                released.await;
                true
            }
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// Learns of the signal. Cheap to clone: one shared pointer.
#[derive(Debug, Clone)]
pub struct Watcher(Arc<Shared>);

impl Watcher {
    /// Holds off the end until the guard is dropped.
    pub fn guard(&self) -> Guard {
        Guard { _held: self.0.guards.subscribe() }
    }

    /// Whether the signal has been given. One load.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Waits for the signal.
    ///
    /// The first poll registers with a lock that all waiters share. Where it is polled often, as
    /// beside each request of a connection, make it once and keep it.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.0);
        async move {
            let mut signal = shared.signal.subscribe();
            // Subscribed before looking, so that a signal given in between is seen one way or the
            // other.
            if !shared.begun.load(Ordering::SeqCst) {
                // The sender is in `shared`, so it cannot have gone.
                let _ = signal.changed().await;
            }
        }
    }
}

/// Work that is waited for. Dropped, it no longer is.
#[derive(Debug)]
#[must_use = "the work is waited for as long as this is held"]
pub struct Guard {
    _held: watch::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    begun: AtomicBool,
    signal: watch::Sender<()>,
    /// Its receivers are the guards: it counts them and wakes who waits for the last to go.
    guards: watch::Sender<()>,
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));
    const SHORT: Option<Duration> = Some(Duration::from_millis(20));

    #[tokio::test]
    async fn the_end_waits_for_guards_as_long_as_the_grace() {
        let drain = Drain::new();
        let watcher = drain.watch();
        assert!(drain.wait(SHORT).await, "nothing is held");
        let guard = watcher.guard();
        assert!(!watcher.is_draining());
        drain.begin();
        assert!(watcher.is_draining());
        let before = time::Instant::now();
        assert!(!drain.wait(SHORT).await);
        assert!(before.elapsed() >= Duration::from_millis(20));
        drop(guard);
        assert!(drain.wait(None).await);
    }

    #[tokio::test]
    async fn the_signal_reaches_those_who_wait_and_those_who_come_late() {
        let drain = Drain::new();
        let early = tokio::spawn(drain.watch().draining());
        tokio::task::yield_now().await;
        assert!(!early.is_finished());
        drain.begin();
        early.await.unwrap();
        drain.watch().draining().await;
        drain.begin();
        drain.watch().draining().await;
    }

    #[test]
    fn threads_with_runtimes_of_their_own_are_reached_and_waited_for() {
        let local = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let drain = Drain::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                let watcher = drain.watch();
                let guards: Vec<_> = (0..100).map(|_| watcher.guard()).collect();
                scope.spawn(move || {
                    local().block_on(async {
                        let mut tasks = tokio::task::JoinSet::new();
                        for guard in guards {
                            let draining = watcher.draining();
                            tasks.spawn(async move {
                                draining.await;
                                drop(guard);
                            });
                        }
                        while tasks.join_next().await.is_some() {}
                    });
                });
            }
            local().block_on(async {
                assert!(!drain.wait(SHORT).await);
                drain.begin();
                assert!(drain.wait(LONG).await);
            });
        });
    }
}
