//! Balancer: every endpoint in turn.
//!
//! In the order of the list, where an endpoint that is listed twice gets two turns; the turn after
//! an attempt is that of the place after it, so an endpoint that cannot be reached is skipped and
//! the order follows the one that answered. As soon as weights differ, requests are spread in the
//! smooth weighted order of Apache's `byrequests` instead.
//!
//! A later version goes on with the turn and, where there are any, the debts of that order. It is told
//! them in lines: `next ID`, and `owed ID WEIGHT` for each endpoint that is owed anything.

use linkspan_plugin_balancing::smooth::Smooth;
use linkspan_plugin_balancing::{
    Balancer, Choice, HandsOver, Host, Members, Turn, balancer, hands_over,
};
use linkspan_plugin_common::config;

/// The balancer.
#[derive(Default)]
pub struct RoundRobin {
    /// The place whose turn is next, and the endpoint there: the turn stays with it when the list
    /// changes.
    next: (usize, Option<u32>),
    weighted: Smooth,
}

impl RoundRobin {
    fn pass(&mut self, place: usize, members: &Members) {
        let next = if place + 1 < members.list().len() { place + 1 } else { 0 };
        self.next = (next, members.at(next).map(|member| member.id));
    }
}

impl Balancer for RoundRobin {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self::default())
    }

    fn update(&mut self, members: &Members) {
        let (place, id) = self.next;
        if members.at(place).map(|member| member.id) != id {
            let found = members.list().iter().position(|member| Some(member.id) == id);
            let place = found.unwrap_or(0);
            self.next = (place, members.at(place).map(|member| member.id));
        }
        if members.even() {
            self.weighted = Smooth::default();
        } else {
            self.weighted.update(members);
        }
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let place = if turn.members.even() {
            turn.competitors.at_or_after(self.next.0)
        } else {
            self.weighted.elect(turn)
        };
        if let Some(place) = place {
            self.pass(place, turn.members);
        }
        place.into()
    }
}

impl HandsOver for RoundRobin {
    fn save(&mut self) -> Vec<u8> {
        let next = self.next.1.map(|id| format!("next {id}\n"));
        let debts = self.weighted.debts().into_iter().filter(|(_, owed)| *owed != 0);
        let debts = debts.map(|(id, owed)| format!("owed {id} {owed}\n"));
        next.into_iter().chain(debts).collect::<String>().into_bytes()
    }

    fn restore(&mut self, state: &[u8], members: &Members) -> Result<(), String> {
        let unknown = |line: &str| format!("a line that is not understood: {line:?}");
        let text = std::str::from_utf8(state).map_err(|_bytes| "not text".to_owned())?;
        let mut debts = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["next", id] => {
                    let id = id.parse().map_err(|_text| unknown(line))?;
                    let place = members.list().iter().position(|member| member.id == id);
                    self.next = place.map_or(self.next, |place| (place, Some(id)));
                }
                ["owed", id, owed] => {
                    let debt = id.parse().ok().zip(owed.parse().ok());
                    debts.push(debt.ok_or_else(|| unknown(line))?);
                }
                _ => return Err(unknown(line)),
            }
        }
        self.weighted.owe(&debts);
        Ok(())
    }
}

balancer!(RoundRobin);
hands_over!();

#[cfg(test)]
mod tests;
