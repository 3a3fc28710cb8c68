//! What is reckoned without a server.

use super::*;

#[test]
fn expiries_are_rounded_up_and_long_ones_become_dates() {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let month = LONGEST_RELATIVE * 1_000;
    for (milliseconds, expected) in [
        (None, 0),
        (Some(0), -1),
        (Some(1), 2),
        (Some(1_000), 2),
        (Some(1_001), 3),
        (Some(month - 1_000), 2_592_000),
        (Some(month), 1_700_000_000 + 2_592_001),
        (Some(u64::MAX), 0),
    ] {
        assert_eq!(expiry(milliseconds, now), expected, "{milliseconds:?}");
    }
}
