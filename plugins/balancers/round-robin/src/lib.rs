//! Balancer: every endpoint in turn.
//!
//! In the order of the list, where an endpoint that is listed twice gets two turns; the turn after
//! an attempt is that of the place after it, so an endpoint that cannot be reached is skipped and
//! the order follows the one that answered. As soon as weights differ, requests are spread in the
//! smooth weighted order of Apache's `byrequests` instead.

use linkspan_plugin_balancing::smooth::Smooth;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
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

balancer!(RoundRobin);

#[cfg(test)]
mod tests;
