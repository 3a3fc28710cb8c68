//! One shutdown signal, and waiting for the work that holds a guard.
//!
//! [`Drain`] stays with whoever ends the process; each task that has to know gets a [`Watcher`], and
//! holds a [`Guard`] while it must not be cut off. All three work across threads and runtimes. The
//! signal is given once and never taken back. How long is waited, and what becomes of work that takes
//! longer, is up to the caller.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// The signal's owner.
#[derive(Debug)]
pub struct Drain(Arc<Shared>);

impl Drain {
    /// A signal that has not been given.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            lingering: AtomicBool::new(false),
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

    /// Announces the signal: whoever comes to its end by itself does not go on, and nobody else ends.
    pub fn linger(&self) {
        self.0.lingering.store(true, Ordering::SeqCst);
    }

    /// Gives the signal.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::SeqCst);
        self.0.signal.send_replace(());
    }

    /// Waits until no guard is held. Guards may still be taken meanwhile, and are waited for.
    pub async fn wait(&self) {
        self.0.guards.closed().await;
    }

    /// How many guards are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.guards.receiver_count()
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

    /// Whether the signal has been given, or announced.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_lingering() || self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether the signal has been announced. One load.
    #[must_use]
    pub fn is_lingering(&self) -> bool {
        self.0.lingering.load(Ordering::Relaxed)
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
    lingering: AtomicBool,
    begun: AtomicBool,
    signal: watch::Sender<()>,
    /// Its receivers are the guards: it counts them and wakes who waits for the last to go.
    guards: watch::Sender<()>,
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use tokio::runtime;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn the_end_waits_for_guards() {
        let drain = Drain::new();
        let watcher = drain.watch();
        drain.wait().await;
        let guard = watcher.guard();
        assert!(!watcher.is_draining());
        drain.begin();
        assert!(watcher.is_draining());
        assert_eq!(drain.held(), 1);
        assert!(timeout(SHORT, drain.wait()).await.is_err());
        drop(guard);
        drain.wait().await;
        assert_eq!(drain.held(), 0);
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

    #[tokio::test]
    async fn what_is_announced_wakes_nobody() {
        let drain = Drain::new();
        let watcher = drain.watch();
        drain.linger();
        assert!(watcher.is_draining() && watcher.is_lingering());
        assert!(timeout(SHORT, watcher.draining()).await.is_err());
        drain.begin();
        watcher.draining().await;
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
                assert!(timeout(SHORT, drain.wait()).await.is_err());
                drain.begin();
                timeout(LONG, drain.wait()).await.unwrap();
            });
        });
    }
}
