//! When certificates are asked for; pure functions over values.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use crate::tls::issued::Validity;

/// The longest between two tries, unless the authority wants it longer.
const MOST: Duration = Duration::from_hours(6);

/// How long it is until another certificate is to be asked for: `before` its end, or when a third of its
/// lifetime is left. Each is used for a tenth of its lifetime at least, or there would be no end of orders.
pub(super) fn rest(
    validity: Option<Validity>,
    before: Option<Duration>,
    now: SystemTime,
) -> Duration {
    let Some(validity) = validity else { return Duration::ZERO };
    let lifetime = validity.lifetime();
    let before = before.unwrap_or(lifetime / 3).min(lifetime - lifetime / 10);
    let due = validity.ends.checked_sub(before);
    due.and_then(|due| due.duration_since(now).ok()).unwrap_or_default()
}

/// How long to wait after so many failures in a row, at least one: doubled with each of them, and a quarter
/// more or less, as `jitter` from 0 to 1 says, so that not all come back at once.
pub(super) fn pause(first: Duration, failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let pause = first.saturating_mul(1 << doublings).min(MOST.max(first));
    pause.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1.
pub(super) fn jitter() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_third_of_the_lifetime_is_left_when_it_is_renewed() {
        let now = SystemTime::now();
        let of = |age: u32, lifetime: u32| {
            let begins = now - DAY * age;
            Some(Validity { begins, ends: begins + DAY * lifetime })
        };
        assert_eq!(rest(None, None, now), Duration::ZERO);
        assert_eq!(rest(of(0, 90), None, now), DAY * 60);
        assert_eq!(rest(of(50, 90), None, now), DAY * 10);
        assert_eq!(rest(of(60, 90), None, now), Duration::ZERO);
        assert_eq!(rest(of(100, 90), None, now), Duration::ZERO);
        assert_eq!(rest(of(0, 90), Some(DAY * 10), now), DAY * 80);
        // Whatever is configured.
        assert_eq!(rest(of(0, 90), Some(DAY * 100), now), DAY * 9);
    }

    #[test]
    fn pauses_double_up_to_six_hours() {
        let minutes = |failures| pause(Duration::from_mins(1), failures, 0.5).as_secs() / 60;
        let pauses: Vec<_> = (1..=4).map(minutes).collect();
        assert_eq!(pauses, [1, 2, 4, 8]);
        assert_eq!((minutes(10), minutes(u32::MAX)), (360, 360));
        assert_eq!(pause(DAY, 7, 0.5), DAY);
        let (least, most) = (pause(DAY, 1, 0.0), pause(DAY, 1, 1.0));
        assert_eq!((least, most), (DAY * 3 / 4, DAY * 5 / 4));
        assert!((0.0..=1.0).contains(&jitter()));
    }
}
