//! How many frames a client may send that do nothing, and how many requests it may take back.
//!
//! Both are stores that are used up by such frames and grow with time, and with what makes them
//! plausible: who gets much has to say that it has room for more, and who has got answers to many
//! requests takes back few of them. The clock is read only when a store is empty.

use tokio::time::Instant;

/// What a client may send at once of frames that do nothing, and each second.
const IDLE: (u64, u64) = (2_000, 500);

/// One more such frame may come for each so many bytes that the client gets.
const BYTES_EACH: u64 = 512;

/// What a client may take back at once of its requests, and each second.
const RESETS: (u64, u64) = (200, 50);

/// What one client may still send.
#[derive(Debug)]
pub(super) struct Budget {
    idle: Store,
    resets: Store,
}

#[derive(Debug)]
struct Store {
    left: u64,
    /// When it has grown for the last time.
    at: Instant,
    /// What there was by then of what makes it grow.
    earned: u64,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        let store = |left| Store { left, at: now, earned: 0 };
        Self { idle: store(IDLE.0), resets: store(RESETS.0) }
    }

    /// A frame has come that does nothing. Whether it may: by the time and the bytes that the client got.
    pub(super) fn nothing(&mut self, now: impl FnOnce() -> (Instant, u64)) -> bool {
        self.idle.take(IDLE, || {
            let (now, written) = now();
            (now, written / BYTES_EACH)
        })
    }

    /// A request was taken back. Whether it may be: by the time and the requests that were answered.
    pub(super) fn reset(&mut self, now: impl FnOnce() -> (Instant, u64)) -> bool {
        self.resets.take(RESETS, now)
    }
}

impl Store {
    fn take(
        &mut self,
        (most, each_second): (u64, u64),
        now: impl FnOnce() -> (Instant, u64),
    ) -> bool {
        if self.left == 0 {
            let (now, earned) = now();
            let seconds = now.saturating_duration_since(self.at).as_millis() / 1_000;
            let grown = u64::try_from(seconds).unwrap_or(u64::MAX).saturating_mul(each_second);
            let grown = grown.saturating_add(earned.saturating_sub(self.earned)).min(most);
            if grown == 0 {
                return false;
            }
            *self = Self { left: grown, at: now, earned };
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Duration;

    use super::*;

    #[test]
    fn a_flood_ends_and_what_is_seldom_goes_on() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let flood = (0..).find(|_| !budget.nothing(|| (start, 0))).unwrap();
        assert_eq!(flood, 2_000);
        for second in 1..10_000_u64 {
            let now = start + Duration::from_secs(second);
            assert!((0..500).all(|_| budget.nothing(|| (now, 0))), "{second}");
        }
    }

    #[test]
    fn who_gets_much_may_ask_for_more() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut written = 0;
        for _ in 0..100_000 {
            written += 1_000;
            assert!(budget.nothing(|| (start, written)));
        }
    }

    #[test]
    fn taken_back_may_be_as_many_requests_as_were_answered() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let rapid = (0..).find(|_| !budget.reset(|| (start, 0))).unwrap();
        assert_eq!(rapid, 200);
        for answered in 1..100_000 {
            assert!(budget.reset(|| (start, answered)));
        }
    }
}
