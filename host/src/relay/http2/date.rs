//! The date of a response that brings none (RFC 9110, 6.6.1).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

thread_local! {
    /// The second for which it was written last.
    static LATEST: RefCell<(u64, HeaderValue)> =
        const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// Now, as a field has it. Written once a second at most.
pub(super) fn now() -> HeaderValue {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LATEST.with_borrow_mut(|(latest, value)| {
        if *latest != second
            && let Ok(fresh) = HeaderValue::try_from(httpdate::fmt_http_date(now))
        {
            (*latest, *value) = (second, fresh);
        }
        value.clone()
    })
}
