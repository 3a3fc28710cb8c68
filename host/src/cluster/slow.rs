//! Slow start: how the weight of an endpoint that begins to take requests grows to what is configured.
//!
//! It grows in tenths, the first at once: few enough steps for balancers that prepare tables by weight,
//! and enough of them for caches to warm up and code to be compiled.

use std::time::Duration;

use super::health::milliseconds;

/// Steps from nothing to the whole weight.
const STEPS: u64 = 10;

/// The window over which weights grow, in milliseconds; 0 where they do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowStart(u64);

impl SlowStart {
    pub(super) fn new(window: Duration) -> Self {
        Self(milliseconds(window))
    }

    /// The weight, in hundredths, of an endpoint that began to take requests at `up_since`; 0 stands for
    /// one that has always done so.
    pub(super) fn weight(self, configured: u32, up_since: u64, now: u64) -> u32 {
        let age = now.saturating_sub(up_since);
        if self.0 == 0 || up_since == 0 || age >= self.0 {
            return configured;
        }
        let step = age.saturating_mul(STEPS) / self.0 + 1;
        let weight = u64::from(configured) * step / STEPS;
        u32::try_from(weight).unwrap_or(configured).max(1)
    }

    /// When such an endpoint's weight last grew after `last`, if it did by now, and when it grows next.
    pub(super) fn steps(self, up_since: u64, last: u64, now: u64) -> [Option<u64>; 2] {
        if self.0 == 0 || up_since == 0 || last >= up_since.saturating_add(self.0) {
            return [None, None];
        }
        let at = |step: u64| up_since.saturating_add((self.0 * step).div_ceil(STEPS));
        let step = (now.saturating_sub(up_since).saturating_mul(STEPS) / self.0).min(STEPS);
        [(step > 0).then(|| at(step)), (step < STEPS).then(|| at(step + 1))]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_weight_grows_by_tenths() {
        let slow = SlowStart::new(Duration::from_secs(10));
        let weights = |times: &[u64]| -> Vec<u32> {
            times.iter().map(|now| slow.weight(200, 1_000, *now)).collect()
        };
        assert_eq!(
            weights(&[1_000, 1_999, 2_000, 5_999, 10_999, 11_000]),
            [20, 20, 40, 100, 200, 200]
        );
        assert_eq!(slow.weight(200, 0, 0), 200, "always there");
        assert_eq!(slow.weight(1, 1_000, 1_000), 1, "never nothing");
        assert_eq!(SlowStart::new(Duration::ZERO).weight(200, 1_000, 1_000), 200);
    }

    proptest! {
        #[test]
        fn every_growth_is_announced(
            window in 1..5_000_u64, up_since in 1..1_000_u64, waits in proptest::collection::vec(0..400_u64, 1..50),
        ) {
            let slow = SlowStart(window);
            let (mut now, mut last) = (up_since, up_since);
            for wait in waits {
                now += wait;
                let [grown, next] = slow.steps(up_since, last, now);
                let grew = slow.weight(1_000, up_since, last) != slow.weight(1_000, up_since, now);
                prop_assert!(!grew || grown.is_some_and(|at| at > last && at <= now));
                if let Some(next) = next {
                    prop_assert!(next > now);
                    prop_assert_eq!(slow.weight(1_000, up_since, next - 1), slow.weight(1_000, up_since, now));
                }
                last = now;
            }
        }
    }
}
