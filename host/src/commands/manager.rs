//! The service manager: what it is told of the process, as systemd's `sd_notify` has it. Without one that wants to
//! know, nothing happens.

use std::future::pending;
use std::process;
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Serves from now on, and is the process that the service consists of.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::MainPid(process::id())]);
}

/// Reads its configuration again; [`ready`] ends that, whatever has come of it.
pub(super) fn reloading() {
    // What `Type=notify-reload` compares with the time of its signal.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Leaves.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// The longest that it waits for a sign of life, if it wants one. It tells whom it has started.
pub(super) fn watchdog() -> Option<Duration> {
    watchdog_enabled().filter(|time| !time.is_zero())
}

/// Shows the service manager that all workers are alive, if it wants to be shown (`WatchdogSec`).
pub(super) struct Watchdog {
    /// Twice in the time that it gives.
    due: Option<Interval>,
    /// What the workers' beats were then.
    beats: Vec<u64>,
}

impl Watchdog {
    /// Feeds one that waits so long.
    pub(super) fn new(time: Option<Duration>) -> Self {
        let due = time.map(|time| {
            let mut due = interval((time / 2).max(Duration::from_millis(1)));
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            due
        });
        Self { due, beats: Vec::new() }
    }

    /// Waits until it is to be fed again.
    pub(super) async fn due(&mut self) {
        match &mut self.due {
            Some(due) => drop(due.tick().await),
            None => pending().await,
        }
    }

    /// Feeds it if every worker has had time since it was last looked; says which has not.
    pub(super) fn feed(&mut self, beats: Vec<u64>) {
        let stuck = beats.iter().zip(&self.beats).position(|(now, before)| now == before);
        self.beats = beats;
        match stuck {
            None => tell(&[NotifyState::Watchdog]),
            Some(worker) => {
                tracing::error!(worker, "has had no time since the watchdog was last fed");
            }
        }
    }
}
