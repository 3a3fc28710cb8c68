//! What balancers are told of a cluster: the plugin module's trait, answered from the cluster.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Cluster, health};
use crate::plugin::{self, EndpointId, Figure, Members};

/// A cluster as its balancers see it. It stays the same over reloads, so that balancers that are
/// configured alike go on with their state; what it shows is replaced with the snapshot.
#[derive(Debug)]
pub struct View(ArcSwap<Cluster>);

impl View {
    /// Shows a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self(ArcSwap::new(cluster))
    }

    /// Shows another state of the same cluster from now on.
    pub fn show(&self, cluster: Arc<Cluster>) {
        self.0.store(cluster);
    }
}

fn state(cluster: &Cluster, member: &super::Member, now: u64) -> plugin::EndpointState {
    let super::EndpointState { usable, draining, weight } = cluster.state_of(member, now);
    plugin::EndpointState { usable, draining, weight }
}

impl Members for View {
    fn cluster(&self) -> u32 {
        self.0.load().id()
    }

    fn membership_version(&self) -> u64 {
        self.0.load().membership().version()
    }

    fn states_version(&self) -> u64 {
        self.0.load().refresh(health::now())
    }

    fn endpoints(&self) -> (u64, Vec<plugin::Endpoint>) {
        let (cluster, now) = (self.0.load(), health::now());
        let membership = cluster.membership();
        let endpoint = |member: &super::Member| plugin::Endpoint {
            id: member.endpoint.id(),
            address: member.endpoint.label().to_string(),
            state: state(&cluster, member, now),
            attributes: member.attributes.to_vec(),
        };
        (membership.version(), membership.members().iter().map(endpoint).collect())
    }

    fn states(&self) -> Vec<(EndpointId, plugin::EndpointState)> {
        let (cluster, now) = (self.0.load(), health::now());
        let membership = cluster.membership();
        let members = membership.members().iter();
        members.map(|member| (member.endpoint.id(), state(&cluster, member, now))).collect()
    }

    fn has(&self, id: EndpointId) -> bool {
        self.0.load().membership().endpoint(id).is_some()
    }

    fn figure(&self, id: EndpointId, figure: Figure) -> u64 {
        let cluster = self.0.load();
        let membership = cluster.membership();
        let Some(endpoint) = membership.endpoint(id) else { return 0 };
        match figure {
            Figure::InFlight => u64::from(endpoint.in_flight()),
            Figure::Total => endpoint.total(),
            Figure::Failures => endpoint.failures(),
            Figure::BytesSent => endpoint.bytes_sent(),
            Figure::BytesReceived => endpoint.bytes_received(),
            Figure::Latency => endpoint.latency(),
        }
    }

    fn reported(&self, id: EndpointId, name: &str) -> Option<u64> {
        self.0.load().membership().endpoint(id)?.report().number(name)
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        let (cluster, now) = (self.0.load(), health::now());
        let membership = cluster.membership();
        let number = |member: &super::Member| {
            let report = member.endpoint.report();
            report.number(name).filter(|_| report.age(now).is_some_and(|age| age < younger_than))
        };
        membership.members().iter().map(number).collect()
    }

    fn report_age(&self, id: EndpointId) -> Option<u64> {
        self.0.load().membership().endpoint(id)?.report().age(health::now())
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        let cluster = self.0.load();
        let membership = cluster.membership();
        membership.members().iter().map(|member| member.endpoint.in_flight()).collect()
    }
}
