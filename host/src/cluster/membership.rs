//! Who belongs to a cluster, as one configuration and one resolution of its names have it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::endpoint::Endpoint;
use crate::plugin::Attributes;

/// The members of a cluster at one time. Never changes.
#[derive(Debug)]
pub struct Membership {
    version: u64,
    members: Vec<Member>,
    /// Each endpoint once, by number.
    distinct: Vec<Arc<Endpoint>>,
}

impl Membership {
    /// `version` must differ from that of every other membership of the cluster.
    #[must_use]
    pub fn new(version: u64, members: Vec<Member>) -> Self {
        let mut distinct: Vec<_> =
            members.iter().map(|member| Arc::clone(&member.endpoint)).collect();
        distinct.sort_unstable_by_key(|endpoint| endpoint.id());
        distinct.dedup_by_key(|endpoint| endpoint.id());
        Self { version, members, distinct }
    }

    /// Rises with every change of the cluster's members.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// In the order of the configuration, with repetitions. The addresses of a name are in the
    /// order of the addresses.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Each endpoint once, by number.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.distinct
    }

    /// Each endpoint with the most requests that it may have in flight: the lowest number that
    /// stands in one of its entries, if the address is listed several times.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&Arc<Endpoint>, Option<u32>)> {
        let mut limits = vec![None; self.distinct.len()];
        for member in &self.members {
            let limit = self.place(member.endpoint.id()).and_then(|place| limits.get_mut(place));
            if let (Some(limit), Some(own)) = (limit, member.max_connections) {
                *limit = Some(limit.map_or(own, |other: u32| other.min(own)));
            }
        }
        self.distinct.iter().zip(limits)
    }

    /// The endpoint of that number.
    #[must_use]
    pub fn endpoint(&self, id: u32) -> Option<&Arc<Endpoint>> {
        self.distinct.get(self.place(id)?)
    }

    /// The place of that number among the distinct ones.
    fn place(&self, id: u32) -> Option<usize> {
        self.distinct.binary_search_by_key(&id, |endpoint| endpoint.id()).ok()
    }

    /// The tables of the endpoint of that number, one for each of its places on the list.
    #[must_use]
    pub fn attributes(&self, id: u32) -> SmallVec<[Attributes; 1]> {
        let own = self.members.iter().filter(|member| member.endpoint.id() == id);
        own.map(|member| Arc::clone(&member.attributes)).collect()
    }
}

/// One entry of a cluster's list.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint; that of another entry if the address is listed twice.
    pub endpoint: Arc<Endpoint>,
    /// In hundredths.
    pub weight: u32,
    /// What only balancers read.
    pub attributes: Attributes,
    /// Whether the configuration takes it out of service.
    pub standing: Standing,
    /// The most requests that it may have in flight.
    pub max_connections: Option<u32>,
}

impl PartialEq for Member {
    /// The same endpoint with the same settings; its figures and health are not looked at.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoint, &other.endpoint)
            && self.weight == other.weight
            && self.attributes == other.attributes
            && self.standing == other.standing
            && self.max_connections == other.max_connections
    }
}

/// Whether an endpoint is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It is.
    #[default]
    Ready,
    /// Only by requests that belong to it: `status = "drain"`.
    Draining,
    /// It is not: `status = "disabled"`.
    Disabled,
    /// It is not, by hand. Unlike one that is disabled, it is not tried even if a balancer picks it.
    Maintenance,
}

/// What a balancer is told about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointState {
    /// Whether new requests may be sent to it.
    pub usable: bool,
    /// Whether it is being emptied.
    pub draining: bool,
    /// In hundredths.
    pub weight: u32,
}
