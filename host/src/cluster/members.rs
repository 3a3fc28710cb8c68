//! What plugins are told of a cluster: the plugin module's traits, answered from the cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::membership::Membership;
use super::peer::Peer;
use super::{Cluster, health};
use crate::plugin::{self, EndpointId, Figures, Members, Siblings};

/// A cluster as its balancers see it. It stays the same over reloads, so that balancers that are
/// configured alike go on with their state; what it shows is replaced with the snapshot.
#[derive(Debug)]
pub struct View {
    id: u32,
    cluster: ArcSwap<Cluster>,
}

impl View {
    /// Shows a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { id: cluster.id(), cluster: ArcSwap::new(cluster) }
    }

    /// Shows another state of the same cluster from now on.
    pub fn show(&self, cluster: Arc<Cluster>) {
        self.cluster.store(cluster);
    }
}

fn state(cluster: &Cluster, member: &super::Member, now: u64) -> plugin::EndpointState {
    let super::EndpointState { usable, draining, weight } = cluster.state_of(member, now);
    plugin::EndpointState { usable, draining, weight }
}

impl Members for View {
    fn cluster(&self) -> u32 {
        self.id
    }

    fn membership_version(&self) -> u64 {
        self.cluster.load().membership().version()
    }

    fn states_version(&self) -> u64 {
        self.cluster.load().refresh_now()
    }

    fn versions(&self) -> (u64, u64) {
        let cluster = self.cluster.load();
        (cluster.membership().version(), cluster.refresh_now())
    }

    fn endpoints(&self) -> (u64, Vec<plugin::Endpoint>) {
        let (cluster, now) = (self.cluster.load(), health::now());
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
        let (cluster, now) = (self.cluster.load(), health::now());
        let membership = cluster.membership();
        let members = membership.members().iter();
        members.map(|member| (member.endpoint.id(), state(&cluster, member, now))).collect()
    }

    fn has(&self, id: EndpointId) -> bool {
        self.cluster.load().membership().endpoint(id).is_some()
    }

    fn figures(&self, id: EndpointId) -> Option<Figures> {
        let cluster = self.cluster.load();
        let membership = cluster.membership();
        let endpoint = membership.endpoint(id)?;
        Some(Figures {
            in_flight: endpoint.in_flight(),
            total: endpoint.total(),
            failures: endpoint.failures(),
            bytes_sent: endpoint.bytes_sent(),
            bytes_received: endpoint.bytes_received(),
            latency: endpoint.latency(),
        })
    }

    fn reported(&self, id: EndpointId, name: &str) -> Option<u64> {
        self.cluster.load().membership().endpoint(id)?.report().number(name)
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        let (cluster, now) = (self.cluster.load(), health::now());
        let membership = cluster.membership();
        let number = |member: &super::Member| {
            let report = member.endpoint.report();
            report.number(name).filter(|_| report.age(now).is_some_and(|age| age < younger_than))
        };
        membership.members().iter().map(number).collect()
    }

    fn report(&self, id: EndpointId) -> Vec<(String, u64)> {
        let cluster = self.cluster.load();
        let membership = cluster.membership();
        let endpoint = membership.endpoint(id);
        endpoint.map(|endpoint| endpoint.report().numbers()).unwrap_or_default()
    }

    fn report_age(&self, id: EndpointId) -> Option<u64> {
        self.cluster.load().membership().endpoint(id)?.report().age(health::now())
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        let cluster = self.cluster.load();
        let membership = cluster.membership();
        membership.members().iter().map(|member| member.endpoint.in_flight()).collect()
    }

    fn in_flight_from(&self, first: usize, room: &mut [u32]) {
        let cluster = self.cluster.load();
        let membership = cluster.membership();
        let members = membership.members().iter().skip(first);
        room.iter_mut().zip(members).for_each(|(it, member)| *it = member.endpoint.in_flight());
    }
}

impl Siblings for Membership {
    fn include(&self, authority: &str) -> bool {
        plugin::is_one_of(authority, self.endpoints().iter().map(|endpoint| known(endpoint)))
    }

    fn all(&self) -> Vec<(Option<SocketAddr>, String)> {
        let told = |(at, called): (_, Option<&str>)| (at, called.unwrap_or_default().to_owned());
        self.endpoints().iter().map(|endpoint| told(known(endpoint))).collect()
    }
}

/// The address that an endpoint has, and what it is called.
fn known(endpoint: &super::Endpoint) -> (Option<SocketAddr>, Option<&str>) {
    let at = match endpoint.peer() {
        Peer::Tcp(at) => Some(*at),
        Peer::Unix(_) => None,
    };
    (at, endpoint.authority().to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::endpoint::Endpoint;
    use super::super::membership::{Member, Standing};
    use super::*;

    #[test]
    fn endpoints_are_known_by_their_addresses_and_names() {
        let member = |id, peer: Peer, authority| Member {
            endpoint: Arc::new(Endpoint::new(
                id,
                peer,
                "a label".into(),
                HeaderValue::from_static(authority),
            )),
            weight: 100,
            attributes: Arc::default(),
            standing: Standing::default(),
            max_connections: None,
        };
        let tcp = |address: &str| Peer::Tcp(address.parse().unwrap());
        let members = vec![
            member(0, tcp("10.0.0.1:8080"), "app.internal:8080"),
            member(1, tcp("[fd00::2]:80"), "[fd00::2]"),
        ];
        let all = Membership::new(1, members);
        let known = [
            "10.0.0.1:8080",
            "App.Internal:8080",
            "[FD00:0::2]:80",
            "app.internal",
            "10.0.0.1",
            "[fd00::2]",
        ];
        for known in known {
            assert!(all.include(known), "{known}");
        }
        for other in
            ["", ":80", "10.0.0.1:80", "app.internal:x", "internal", "10.0.0.1:", "[", "a label"]
        {
            assert!(!all.include(other), "{other}");
        }
    }
}
