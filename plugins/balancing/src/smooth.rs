//! Apache's smooth weighted election (`byrequests`): everyone who competes is owed its weight more;
//! who is owed most gives all of that back.
//!
//! An election looks at everyone. Who wins repeats, though, after as many elections as the weights
//! come to: those of one such period are remembered, and from then on looked up.

use crate::Turn;
use crate::host::Host;
use crate::members::Members;
use std::collections::BTreeMap;

/// What each place of the list is owed.
#[derive(Debug, Default)]
pub struct Smooth {
    ids: Vec<u32>,
    owed: Vec<i64>,
    weights: Vec<i64>,
    period: Period,
}

/// Elections among the same, one after another.
#[derive(Debug, Default)]
struct Period {
    /// Who competes; nobody before the first election.
    places: Vec<usize>,
    /// What these weigh together.
    sum: i64,
    /// After how many elections it should end; 0 if that is more than can be remembered.
    length: usize,
    /// What everyone was owed at the beginning.
    begun: Vec<i64>,
    /// Who has won.
    winners: Vec<usize>,
    /// Where in the period it is, once that is whole and known to end where it began. What is owed
    /// is then as at the beginning.
    at: Option<usize>,
}

/// The most elections that are remembered.
const LONGEST: i64 = 1 << 16;

impl Smooth {
    /// Takes the members. Debts stay with their endpoints.
    pub fn update(&mut self, members: &Members) {
        self.settle();
        let list = members.list();
        if !self.ids.iter().eq(list.iter().map(|member| &member.id)) {
            let debts: BTreeMap<_, _> = self.ids.drain(..).zip(self.owed.drain(..)).collect();
            self.ids = list.iter().map(|member| member.id).collect();
            self.owed = self.ids.iter().map(|id| debts.get(id).copied().unwrap_or(0)).collect();
        }
        self.weights = list.iter().map(|member| i64::from(member.state.weight)).collect();
    }

    /// What each endpoint is owed.
    pub fn debts(&mut self) -> Vec<(u32, i64)> {
        self.settle();
        self.ids.iter().copied().zip(self.owed.iter().copied()).collect()
    }

    /// Owes these endpoints so much, where they are members.
    pub fn owe(&mut self, debts: &[(u32, i64)]) {
        self.settle();
        let debts: BTreeMap<_, _> = debts.iter().copied().collect();
        for (id, owed) in self.ids.iter().zip(&mut self.owed) {
            *owed = debts.get(id).copied().unwrap_or(*owed);
        }
    }

    /// Elects who is owed most, the earliest of equals.
    pub fn elect(&mut self, turn: &Turn<'_, impl Host>) -> Option<usize> {
        if turn.tried.is_some() {
            // Others compete than usually.
            self.settle();
            return self.elect_least(turn, |_| 0);
        }
        if let Some(at) = &mut self.period.at {
            let winner = self.period.winners.get(*at).copied();
            *at = if *at + 1 < self.period.winners.len() { *at + 1 } else { 0 };
            return winner;
        }
        if self.period.winners.is_empty() {
            self.begin(turn.competitors.places());
        }
        let winner = self.elect_least(turn, |_| 0)?;
        self.note(winner);
        Some(winner)
    }

    /// Elects who has the least of something, of equals who is owed most, of these the earliest.
    pub fn elect_least(
        &mut self,
        turn: &Turn<'_, impl Host>,
        burden: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let mut best: Option<(usize, u64, i64)> = None;
        let mut sum = 0;
        for place in turn.competitors.places() {
            let (Some(owed), Some(weight)) =
                (self.owed.get_mut(*place), self.weights.get(*place).copied())
            else {
                continue;
            };
            *owed += weight;
            sum += weight;
            let burden = burden(*place);
            if best.is_none_or(|(_, least, most)| burden < least || burden == least && *owed > most)
            {
                best = Some((*place, burden, *owed));
            }
        }
        let (place, ..) = best?;
        *self.owed.get_mut(place)? -= sum;
        Some(place)
    }

    fn begin(&mut self, places: &[usize]) {
        let weights = || places.iter().filter_map(|place| self.weights.get(*place).copied());
        let (sum, divisor) = (weights().sum(), weights().fold(0, gcd));
        let length = Some(sum / divisor.max(1)).filter(|length| *length <= LONGEST);
        let begun = if length.is_some() { self.owed.clone() } else { Vec::new() };
        self.period = Period {
            places: places.to_vec(),
            sum,
            length: length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0),
            begun,
            winners: Vec::new(),
            at: None,
        };
    }

    fn note(&mut self, winner: usize) {
        let period = &mut self.period;
        if period.length == 0 {
            return;
        }
        period.winners.push(winner);
        if period.winners.len() == period.length {
            if period.begun == self.owed {
                period.at = Some(0);
            } else {
                // Debts of before are still being paid.
                period.winners.clear();
            }
        }
    }

    /// Works out what everyone is owed, and forgets the period.
    fn settle(&mut self) {
        let period = std::mem::take(&mut self.period);
        let Some(at) = period.at else { return };
        let (elections, sum) = (i64::try_from(at).unwrap_or(0), period.sum);
        for place in period.places {
            if let (Some(owed), Some(weight)) = (self.owed.get_mut(place), self.weights.get(place))
            {
                *owed += elections * weight;
            }
        }
        for winner in period.winners.into_iter().take(at) {
            if let Some(owed) = self.owed.get_mut(winner) {
                *owed -= sum;
            }
        }
    }
}

fn gcd(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { gcd(other, one.checked_rem(other).unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::linkspan::plugin::balancer::EndpointState;
    use crate::testing::{self, OPEN, Script, endpoints, instance, pick};
    use crate::{Balancer, Choice};
    use proptest::prelude::*;

    /// Elections, remembered or not.
    struct Elections<const REMEMBERED: bool>(Smooth);

    impl<const REMEMBERED: bool> Balancer for Elections<REMEMBERED> {
        fn configure(_config: &str) -> Result<Self, String> {
            Ok(Self(Smooth::default()))
        }

        fn update(&mut self, members: &Members) {
            self.0.update(members);
        }

        fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
            match REMEMBERED {
                true => self.0.elect(turn).into(),
                false => self.0.elect_least(turn, |_| 0).into(),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_elected(
            weights in prop::collection::vec(1_u32..8, 1..7),
            steps in prop::collection::vec((0_usize..60, 0_u32..7, 0_u32..4), 0..12),
        ) {
            let script = Script::default();
            let count = u32::try_from(weights.len()).unwrap();
            let mut list = endpoints(count);
            for (endpoint, weight) in list.iter_mut().zip(&weights) {
                endpoint.state.weight = weight * 50;
            }
            let mut exact = instance::<Elections<false>>("{}", list.clone(), &script);
            let mut quick = instance::<Elections<true>>("{}", list, &script);
            for (picks, id, what) in steps {
                for _ in 0..picks {
                    prop_assert_eq!(pick(&mut quick, &script), pick(&mut exact, &script));
                }
                if what == 0 {
                    let tries = testing::tries(&mut quick, &script);
                    prop_assert_eq!(tries, testing::tries(&mut exact, &script));
                    continue;
                }
                let weight = if what == 1 { 250 } else { 100 };
                let states = vec![(id % count, EndpointState { usable: what < 3, weight, ..OPEN })];
                quick.change(states.clone());
                exact.change(states);
            }
        }
    }
}
