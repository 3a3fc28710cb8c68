//! How long a client may keep us waiting for its body.
//!
//! Two limits at one timer: the longest silence, and the least rate. Only the time in which we wait
//! for the client counts, so that a slow upstream is nobody's fault here. What may be waited is a
//! store of time: it begins with a grace, is used up by waiting, and grows with each byte by as
//! much as a byte takes at the least rate, up to the longest silence. So a client that has been quick
//! may pause, and one that sends single bytes is found out whatever it has sent before.

use std::num::NonZero;
use std::task::{Context, Poll, ready};

use tokio::time::Duration;

use super::{TrailerFilter, UploadError};
use crate::deadline::Deadline;

/// The least rate of a client.
#[derive(Debug, Clone, Copy)]
pub struct LeastRate {
    /// What it is.
    pub bytes_per_second: NonZero<u64>,
    /// How long a client may keep us waiting before its rate counts.
    pub grace: Duration,
}

/// What bounds and filters a request body.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// The largest body.
    pub max_body_bytes: u64,
    /// The longest silence of the client within the body, while we wait for it.
    pub body_timeout: Duration,
    /// The least bytes per second, until the response has begun.
    pub min_body_rate: Option<LeastRate>,
    /// How much is recorded for a repetition.
    pub replay_bytes: usize,
    /// What trailers lose.
    pub filter_trailers: TrailerFilter,
}

/// The patience with one client.
pub(super) struct Patience {
    /// The longest silence.
    silence: Duration,
    rate: Option<LeastRate>,
    /// How long we may still wait before that is not kept.
    store: Duration,
    deadline: Deadline,
    /// How far ahead the deadline was set.
    granted: Duration,
}

impl Patience {
    pub(super) fn new(limits: &UploadLimits) -> Self {
        let (silence, rate) = (limits.body_timeout, limits.min_body_rate);
        let store = rate.map(|rate| rate.grace).unwrap_or_default();
        Self { silence, rate, store, deadline: Deadline::default(), granted: Duration::ZERO }
    }

    /// Whether we wait.
    pub(super) fn waits(&self) -> bool {
        self.deadline.is_set()
    }

    /// Nothing is there: waits until it has been too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<UploadError> {
        if !self.deadline.is_set() {
            self.granted = self.bearable();
            self.deadline.set(self.granted);
        }
        loop {
            ready!(self.deadline.poll(context));
            let bearable = self.bearable();
            if bearable <= self.granted {
                let silent = self.granted == self.silence;
                return Poll::Ready(if silent { UploadError::Silent } else { UploadError::Slow });
            }
            self.deadline.set(bearable - self.granted);
            self.granted = bearable;
        }
    }

    /// So many bytes are there, or the end.
    pub(super) fn came(&mut self, bytes: usize) {
        let waited = match self.deadline.is_set() {
            true if self.rate.is_some() => self.granted.saturating_sub(self.deadline.left()),
            _ => Duration::ZERO,
        };
        self.deadline.clear();
        if let Some(rate) = &self.rate {
            let most = self.silence.max(rate.grace);
            let left = self.store.saturating_sub(waited);
            self.store = left.saturating_add(rate.worth(bytes)).min(most);
        }
    }

    /// The upstream has answered: what still comes is between it and the client, and may take the
    /// time that they like.
    pub(super) fn lift_rate(&mut self) {
        self.rate = None;
    }

    /// How long a silence is borne that begins now.
    fn bearable(&self) -> Duration {
        self.rate.map_or(self.silence, |_| self.store.min(self.silence))
    }
}

impl LeastRate {
    /// How long so many bytes may take.
    fn worth(&self, bytes: usize) -> Duration {
        const SECOND: u64 = 1_000_000_000;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Duration::from_nanos(bytes.saturating_mul(SECOND) / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, sleep};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn patience() -> Patience {
        let (bytes_per_second, grace) = (NonZero::new(100).unwrap(), Duration::from_secs(10));
        Patience::new(&UploadLimits {
            max_body_bytes: 0,
            body_timeout: MINUTE,
            min_body_rate: Some(LeastRate { bytes_per_second, grace }),
            replay_bytes: 0,
            filter_trailers: |_| (),
        })
    }

    /// What a client gets that sends so many bytes each time, and after how many seconds.
    async fn sends(patience: &mut Patience, bytes: usize, every: Duration) -> (String, u64) {
        let start = Instant::now();
        loop {
            let next = sleep(every);
            let given_up = poll_fn(|context| patience.poll(context));
            tokio::select! {
                biased;
                error = given_up => return (format!("{error:?}"), start.elapsed().as_secs()),
                () = next => patience.came(bytes),
            }
            if start.elapsed() > 100 * MINUTE {
                return ("nothing".to_owned(), 0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_given_up_and_one_at_the_least_rate_is_not() {
        let second = Duration::from_secs(1);
        assert_eq!(sends(&mut patience(), 1, second).await, ("Slow".to_owned(), 10));
        assert_eq!(sends(&mut patience(), 50, second).await, ("Slow".to_owned(), 19));
        assert_eq!(sends(&mut patience(), 100, second).await.0, "nothing");
        assert_eq!(sends(&mut patience(), 900, 9 * second).await.0, "nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_quick_may_pause_and_not_dawdle() {
        let mut patience = patience();
        patience.came(1 << 30);
        assert_eq!(sends(&mut patience, 1, MINUTE / 2).await, ("Slow".to_owned(), 60));
        patience.came(1 << 30);
        assert_eq!(sends(&mut patience, 1, 2 * MINUTE).await, ("Silent".to_owned(), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_answer_silence_alone_counts() {
        let mut patience = patience();
        assert!(poll_fn(|context| Poll::Ready(patience.poll(context))).await.is_pending());
        patience.lift_rate();
        assert_eq!(sends(&mut patience, 0, 2 * MINUTE).await, ("Silent".to_owned(), 60));
    }
}
