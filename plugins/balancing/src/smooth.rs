//! Apache's smooth weighted election (`byrequests`): everyone who competes is owed its weight more;
//! who is owed most gives all of that back.

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
}

impl Smooth {
    /// Takes the members. Debts stay with their endpoints.
    pub fn update(&mut self, members: &Members) {
        let list = members.list();
        if !self.ids.iter().eq(list.iter().map(|member| &member.id)) {
            let debts: BTreeMap<_, _> = self.ids.drain(..).zip(self.owed.drain(..)).collect();
            self.ids = list.iter().map(|member| member.id).collect();
            self.owed = self.ids.iter().map(|id| debts.get(id).copied().unwrap_or(0)).collect();
        }
        self.weights = list.iter().map(|member| i64::from(member.state.weight)).collect();
    }

    /// Elects who is owed most, the earliest of equals.
    pub fn elect(&mut self, turn: &Turn<'_, impl Host>) -> Option<usize> {
        self.elect_least(turn, |_| 0)
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
}
