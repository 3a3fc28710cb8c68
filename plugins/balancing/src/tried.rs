//! What has been tried for a request, as a set that costs nothing to hand on.

/// Endpoints that were tried.
///
/// There is a bit for each endpoint of a cluster of up to 64, and for each 64th of a larger one: of
/// such a cluster a request sees at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

const BITS: usize = 64;

impl Tried {
    /// With one more, whose number it is among `of` endpoints.
    #[must_use]
    pub fn with(self, number: usize, of: usize) -> Self {
        Self(self.0 | bit(number, of))
    }

    /// Whether the endpoint of that number counts as tried.
    #[must_use]
    pub fn has(self, number: usize, of: usize) -> bool {
        self.0 & bit(number, of) != 0
    }
}

fn bit(number: usize, of: usize) -> u64 {
    let place = if of <= BITS { number } else { number.saturating_mul(BITS) / of };
    1 << place.min(BITS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn up_to_64_are_told_apart(of in 1_usize..=BITS, one: usize, other: usize) {
            let (one, other) = (one % of, other % of);
            prop_assert_eq!(Tried::default().with(one, of).has(other, of), one == other);
        }

        #[test]
        fn of_more_each_64th_counts_as_one(of in BITS + 1..20_000) {
            let mut tried = Tried::default();
            let mut tries = 0;
            while let Some(number) = (0..of).find(|number| !tried.has(*number, of)) {
                tried = tried.with(number, of);
                tries += 1;
            }
            prop_assert_eq!(tries, BITS);
        }
    }
}
