//! The time since the process began to count it: what never goes back and fits into an atomic.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time since the first call of this function.
pub(crate) fn since_start() -> Duration {
    START.elapsed()
}
