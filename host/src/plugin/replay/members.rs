//! A cluster and the endpoints that might have answered, as a recording tells of them.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::plugin::members::{
    Endpoint, EndpointId, EndpointState, Figures, Members, Siblings, is_one_of,
};
use crate::plugin::recording::{Member, Picking};

/// A cluster at the moments of the recorded calls.
pub(super) struct Recorded {
    number: u32,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    membership: u64,
    states: u64,
    members: Vec<Member>,
}

impl Recorded {
    /// At the first of them.
    pub(super) fn new(pick: &Picking) -> Self {
        let facts = Facts { membership: 1, states: 1, members: pick.endpoints.clone() };
        Self { number: pick.number, facts: Mutex::new(facts) }
    }

    /// At the next.
    pub(super) fn show(&self, pick: &Picking) {
        let mut facts = self.facts();
        let who = |member: &Member| (member.id, member.address.clone(), member.attributes.clone());
        let same = facts.members.iter().map(who).eq(pick.endpoints.iter().map(who));
        let alike = facts.members.iter().map(state).eq(pick.endpoints.iter().map(state));
        facts.membership += u64::from(!same);
        facts.states += u64::from(!alike);
        facts.members.clone_from(&pick.endpoints);
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of<T>(&self, id: EndpointId, read: impl FnOnce(&Member) -> T) -> Option<T> {
        self.facts().members.iter().find(|member| member.id == id).map(read)
    }
}

/// What `changed` tells of.
fn state(member: &Member) -> (EndpointId, bool, bool, u32) {
    (member.id, member.usable, member.draining, member.weight)
}

fn told(member: &Member) -> EndpointState {
    let (_, usable, draining, weight) = state(member);
    EndpointState { usable, draining, weight }
}

fn number(member: &Member, name: &str) -> Option<u64> {
    let numbers = &member.report.as_ref()?.numbers;
    numbers.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
}

impl Members for Recorded {
    fn cluster(&self) -> u32 {
        self.number
    }

    fn membership_version(&self) -> u64 {
        self.facts().membership
    }

    fn states_version(&self) -> u64 {
        self.facts().states
    }

    fn endpoints(&self) -> (u64, Vec<Endpoint>) {
        let facts = self.facts();
        let endpoint = |member: &Member| Endpoint {
            id: member.id,
            address: member.address.clone(),
            state: told(member),
            attributes: member.attributes.clone(),
        };
        (facts.membership, facts.members.iter().map(endpoint).collect())
    }

    fn states(&self) -> Vec<(EndpointId, EndpointState)> {
        self.facts().members.iter().map(|member| (member.id, told(member))).collect()
    }

    fn has(&self, id: EndpointId) -> bool {
        self.of(id, |_| ()).is_some()
    }

    fn figures(&self, id: EndpointId) -> Option<Figures> {
        self.of(id, |member| Figures {
            in_flight: member.in_flight,
            total: member.total,
            failures: member.failures,
            bytes_sent: member.bytes_sent,
            bytes_received: member.bytes_received,
            latency: member.latency,
        })
    }

    fn reported(&self, id: EndpointId, name: &str) -> Option<u64> {
        self.of(id, |member| number(member, name)).flatten()
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        let young = |member: &&Member| {
            member.report.as_ref().is_some_and(|report| report.age < younger_than)
        };
        let read = |member| Some(member).filter(young).and_then(|member| number(member, name));
        self.facts().members.iter().map(read).collect()
    }

    fn report_age(&self, id: EndpointId) -> Option<u64> {
        self.of(id, |member| member.report.as_ref().map(|report| report.age)).flatten()
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        self.facts().members.iter().map(|member| member.in_flight).collect()
    }

    fn in_flight_from(&self, first: usize, room: &mut [u32]) {
        let facts = self.facts();
        let members = facts.members.iter().skip(first);
        room.iter_mut().zip(members).for_each(|(it, member)| *it = member.in_flight);
    }
}

/// The endpoints that might have answered.
#[derive(Debug)]
pub(super) struct Known(pub(super) Vec<(Option<SocketAddr>, String)>);

impl Siblings for Known {
    fn include(&self, authority: &str) -> bool {
        is_one_of(authority, self.0.iter().map(|(at, called)| (*at, Some(called.as_str()))))
    }

    fn all(&self) -> Vec<(Option<SocketAddr>, String)> {
        self.0.clone()
    }
}
