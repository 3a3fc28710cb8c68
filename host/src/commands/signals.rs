//! What the one who runs the process wishes for, by signals above all.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::admin::Wanted;
use crate::log::Logs;
use crate::takeover::{Offer, Step};

/// What is to be done.
pub(super) enum Wish {
    /// To end after all open requests.
    Finish,
    /// To end after them, or after the grace period.
    Leave,
    /// To read the configuration again, as soon as nobody writes to files.
    Reload,
    /// To read it again.
    Read,
    /// To go on with what waits for files: nobody writes to them.
    Settled,
    /// To look for other components.
    Swap,
    /// To judge versions that are on trial.
    Judge,
    /// What an administrator wants.
    Order(Wanted),
    /// To open the log files again.
    Reopen,
    /// To give back memory.
    Tidy,
    /// To feed the watchdog.
    Feed,
    /// To give the listening sockets to the process that is to serve on.
    HandOver,
    /// To leave to it what listens, and end.
    Yield,
    /// To do again whatever is wanted: there is no such process any more.
    GoOn,
}

impl Wish {
    /// What a successor needs.
    pub(super) fn by(step: Step) -> Self {
        match step {
            Step::Asks => Self::HandOver,
            Step::Serves => Self::Yield,
            Step::Ends => Self::GoOn,
        }
    }
}

/// The signals that are obeyed.
pub(super) struct Signals {
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
}

impl Signals {
    /// Obeys them from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.quit.recv() => Wish::Finish,
            _ = self.terminate.recv() => Wish::Leave,
            _ = self.interrupt.recv() => Wish::Leave,
            _ = self.hang_up.recv() => Wish::Reload,
            _ = self.user1.recv() => Wish::Reopen,
        }
    }

    /// One to end before there is anything to wait for.
    pub(super) async fn leave(&mut self) {
        tokio::select! {
            _ = self.quit.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// While the process leaves: waits until what is open is to be cut off, which is after `grace`. Where
    /// there is none (QUIT), TERM or INT ask for the `usual` one; where there is one, they ask for the cut.
    pub(super) async fn cut(&mut self, grace: Option<Duration>, usual: Duration, logs: &Logs) {
        let mut end = grace.map(|grace| Instant::now() + grace);
        loop {
            let wish = tokio::select! {
                () = at(end) => return,
                wish = self.next() => wish,
            };
            match (wish, end) {
                (Wish::Leave, Some(_)) => return,
                (Wish::Leave, None) => {
                    tracing::info!(grace = ?usual, "to be waited no longer");
                    end = Some(Instant::now() + usual);
                }
                (Wish::Reopen, _) => logs.reopen(),
                (Wish::Reload, _) => tracing::warn!("leaving: nothing is taken any more"),
                // It is under way, or no signal asks for it.
                _ => {}
            }
        }
    }
}

/// The next step of a successor, if this process can have one.
pub(super) async fn step(offer: &mut Option<Offer>) -> Step {
    match offer {
        Some(offer) => offer.next().await,
        None => pending().await,
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}
