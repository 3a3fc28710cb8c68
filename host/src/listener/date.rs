//! The date of a response that brings none (RFC 9110, 6.6.1).

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// The second for which it was written last.
    static LATEST: RefCell<(u64, HeaderValue)> =
        const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// Now, as a field has it.
pub fn now() -> HeaderValue {
    with_now(HeaderValue::clone)
}

/// The same, to be looked at. Written once a second at most.
pub fn with_now<T>(look: impl FnOnce(&HeaderValue) -> T) -> T {
    // The seconds are all that is of interest, and this clock costs a fifth.
    let clock = clock_gettime(ClockId::RealtimeCoarse);
    let now = UNIX_EPOCH + Duration::from_secs(clock.tv_sec.unsigned_abs());
    let second = clock.tv_sec.unsigned_abs();
    LATEST.with_borrow_mut(|(latest, value)| {
        if *latest != second
            && let Ok(fresh) = HeaderValue::try_from(httpdate::fmt_http_date(now))
        {
            (*latest, *value) = (second, fresh);
        }
        look(value)
    })
}
