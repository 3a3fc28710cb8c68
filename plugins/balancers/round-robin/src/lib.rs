//! Balancer: every endpoint in turn.
//!
//! In the order of the list, where an endpoint that is listed twice gets two turns; the turn after
//! an attempt is that of the place after it, so an endpoint that cannot be reached is skipped and
//! the order follows the one that answered. As soon as a weight differs from that of an endpoint
//! without one, requests are spread in the smooth weighted order of Apache's `byrequests` instead.
//! After a failed attempt the next one of the list is tried, each once. An endpoint that is being
//! drained gets no turn.

use crate::bindings::exports::linkspan::plugin::balancer;
use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::linkspan::plugin::types::Picked;
use linkspan_plugin_common::config;
use linkspan_plugin_common::members::{Choice, Member, Members};
use std::cell::RefCell;
use std::collections::BTreeMap;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "balancer-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

/// The weight of an endpoint for which none is configured.
const USUAL_WEIGHT: u32 = 100;

/// Whose turn it is.
struct RoundRobin {
    members: Members,
    /// The place whose turn is next.
    next: usize,
    /// What each place is owed, in hundredths of a request: the sum of its weights minus what it
    /// was given. Empty while all weights are the usual one.
    owed: Vec<i64>,
}

impl RoundRobin {
    const fn new() -> Self {
        Self { members: Members::new(), next: 0, owed: Vec::new() }
    }

    /// Takes a new list. The turn stays with the endpoint that had it, and debts with theirs.
    fn update(&mut self, list: Vec<Member>) {
        let old = self.members.update(list);
        let list = self.members.list();
        let next =
            old.get(self.next).and_then(|next| list.iter().position(|member| member.id == next.id));
        self.next = next.unwrap_or(0);
        let debts: BTreeMap<u32, i64> =
            old.iter().map(|member| member.id).zip(self.owed.drain(..)).collect();
        self.owed = list.iter().map(|member| debts.get(&member.id).copied().unwrap_or(0)).collect();
        self.weigh();
    }

    fn change(&mut self, changed: Vec<Member>) {
        self.members.change(changed);
        self.weigh();
    }

    fn weigh(&mut self) {
        let list = self.members.list();
        let length =
            if list.iter().all(|member| member.weight == USUAL_WEIGHT) { 0 } else { list.len() };
        self.owed.resize(length, 0);
    }

    fn pick(&mut self, previous: Option<Picked>) -> Option<Choice> {
        let choice = match previous {
            Some(Picked { id, token }) => self.members.next(id, token),
            None if self.owed.is_empty() => self.members.first(self.next),
            None => self.elect().and_then(|place| self.members.at(place)),
        }?;
        self.next = (choice.place + 1) % self.members.list().len();
        Some(choice)
    }

    /// Everyone open is owed its weight more; who is owed most, the earliest of equals, gives all
    /// of that back.
    fn elect(&mut self) -> Option<usize> {
        let mut best: Option<(usize, i64)> = None;
        let mut sum = 0;
        for (place, (member, owed)) in self.members.list().iter().zip(&mut self.owed).enumerate() {
            if member.open {
                *owed += i64::from(member.weight);
                sum += i64::from(member.weight);
                if best.is_none_or(|(_, most)| *owed > most) {
                    best = Some((place, *owed));
                }
            }
        }
        let (place, _) = best?;
        *self.owed.get_mut(place)? -= sum;
        Some(place)
    }
}

struct Plugin;

thread_local! {
    static STATE: RefCell<RoundRobin> = const { RefCell::new(RoundRobin::new()) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        config::refuse_keys(&config)
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        let list = endpoints.iter().map(|endpoint| member(endpoint.id, endpoint.state)).collect();
        STATE.with_borrow_mut(|state| state.update(list));
    }

    fn changed(_cluster: u32, states: Vec<(u32, balancer::EndpointState)>) {
        let changed = states.into_iter().map(|(id, state)| member(id, state)).collect();
        STATE.with_borrow_mut(|state| state.change(changed));
    }

    fn pick(_cluster: u32, _attempt: u32, previous: Option<Picked>) -> balancer::Choice {
        STATE
            .with_borrow_mut(|state| state.pick(previous))
            .map_or(balancer::Choice::None, |choice| {
                balancer::Choice::Endpoint(Picked { id: choice.id, token: choice.token })
            })
    }
}

fn member(id: u32, state: balancer::EndpointState) -> Member {
    Member { id, open: state.usable && !state.draining, weight: state.weight }
}

#[cfg(test)]
mod tests;
