//! Keeps what happens often from filling a log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Lets a number of events pass each second.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    second: AtomicU64,
    passed: AtomicU32,
}

impl Gate {
    /// Whether one more may pass, at a time since the process began.
    pub(crate) fn pass(&self, now: Duration, rate: u32) -> bool {
        let second = now.as_secs() + 1;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.passed.store(0, Ordering::Relaxed);
        }
        self.passed.fetch_add(1, Ordering::Relaxed) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_its_rate_pass_each_second() {
        let gate = Gate::default();
        let passed = |ms| (0..10).filter(|_| gate.pass(Duration::from_millis(ms), 3)).count();
        assert_eq!(passed(100), 3);
        assert_eq!(passed(900), 0);
        assert_eq!(passed(1_000), 3);
    }
}
