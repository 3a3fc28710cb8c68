//! A deadline that is moved often and reached rarely.
//!
//! Arming and disarming a runtime timer for each request costs more than the request's own
//! bookkeeping, and a timer earlier than all others even costs a system call. So the timer of a
//! [`Deadline`] is armed when it is first waited for and then left alone: moving the deadline
//! later only stores the new time, and when the timer fires too early it is set again. A
//! connection that serves a thousand requests within its timeout touches the timer once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// A time that can be waited for. Without a time it is never reached.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Moves the deadline to `duration` from now, at most a year.
    pub fn set(&mut self, duration: Duration) {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let at = Instant::now() + duration.min(YEAR);
        self.at = Some(at);
        if let Some(timer) = &mut self.timer
            && timer.deadline() > at
        {
            timer.as_mut().reset(at);
        }
    }

    /// Forgets the deadline. The timer stays as it is, and may wake its task once for nothing.
    pub fn clear(&mut self) {
        self.at = None;
    }

    /// How long it is until the deadline. Nothing if none is set, or it is reached.
    pub fn left(&self) -> Duration {
        self.at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether a deadline is set, reached or not.
    pub fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready once the deadline is reached, and from then on until it is moved.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_time_last_set() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(5));
        let waited = poll_fn(|context| deadline.poll(context));
        assert!(tokio::time::timeout(Duration::from_secs(2), waited).await.is_err());

        deadline.set(Duration::from_secs(10));
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed().as_secs(), 12);

        deadline.set(Duration::from_secs(3));
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn can_be_moved_earlier_and_cleared() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(60));
        assert!(poll_fn(|context| Poll::Ready(deadline.poll(context))).await.is_pending());
        deadline.set(Duration::from_secs(1));
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed().as_secs(), 1);

        deadline.clear();
        assert!(!deadline.is_set());
        assert!(poll_fn(|context| Poll::Ready(deadline.poll(context))).await.is_pending());
    }
}
