//! Times of this process as times of the day.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use crate::cluster::health::now;
use crate::log::timestamp;
use crate::status::Moment;

/// The time of day at the beginning of the process. Looked at once, so that a moment is told the same
/// whenever it is told; a clock that is set later moves none.
pub(super) fn beginning() -> SystemTime {
    static BEGINNING: LazyLock<SystemTime> =
        LazyLock::new(|| SystemTime::now() - Duration::from_millis(now()));
    *BEGINNING
}

/// The time of day of a time in milliseconds since the process began.
pub(super) fn time_of_day(at: u64) -> SystemTime {
    beginning() + Duration::from_millis(at)
}

/// A time in milliseconds since the process began, seen at another.
pub(super) fn moment(at: u64, now: u64) -> Moment {
    Moment { time: timestamp(time_of_day(at)), ago: Duration::from_millis(now.saturating_sub(at)) }
}
