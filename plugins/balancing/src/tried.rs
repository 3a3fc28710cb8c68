//! What has been tried for a request, in the 64 bits that travel with it: nothing of a request is
//! kept in the balancer, so requests do not disturb each other.

/// Endpoints that were tried, as the token of a choice.
///
/// There is a bit for each endpoint of a cluster of up to 56, and for each 56th of a larger one: of
/// such a cluster a request sees at most 56. The upper byte tells lists apart, because the bits of
/// one mean nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried(u64);

const BITS: usize = 56;

impl Tried {
    /// None of a list of that number.
    #[must_use]
    pub fn nobody(list: u8) -> Self {
        Self(u64::from(list) << BITS)
    }

    /// What a token says, if it is of a list of that number.
    #[must_use]
    pub fn read(token: u64, list: u8) -> Option<Self> {
        (token >> BITS == u64::from(list)).then_some(Self(token))
    }

    /// The token that says it.
    #[must_use]
    pub fn token(self) -> u64 {
        self.0
    }

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
        fn up_to_56_are_told_apart(of in 1_usize..=56, one: usize, other: usize) {
            let (one, other) = (one % of, other % of);
            let tried = Tried::nobody(7).with(one, of);
            prop_assert_eq!(tried.has(other, of), one == other);
            prop_assert_eq!(Tried::read(tried.token(), 7), Some(tried));
            prop_assert_eq!(Tried::read(tried.token(), 8), None);
        }

        #[test]
        fn of_more_each_56th_counts_as_one(of in 57_usize..20_000) {
            let mut tried = Tried::nobody(0);
            let mut tries = 0;
            while let Some(number) = (0..of).find(|number| !tried.has(*number, of)) {
                tried = tried.with(number, of);
                tries += 1;
            }
            prop_assert_eq!(tries, 56);
            prop_assert_eq!(tried.token() >> 56, 0);
        }
    }
}
