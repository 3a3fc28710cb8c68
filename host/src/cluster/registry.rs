//! Clusters made from configurations, each with what the one before knew.
//!
//! Owned by the control thread. An endpoint lives as long as a snapshot or a request holds it, and
//! is found again by cluster and address for that long; the registry itself keeps none alive.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::endpoint::Endpoint;
use super::peer::Peer;
use super::{Cluster, Member, Membership, Standing, States};
use crate::config;
use crate::config::{Address, Config, Name};
use crate::log::in_milliseconds;

/// The longest that resolving a name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Names that are resolved at a time. Each takes a thread of the resolver.
const RESOLVE_AT_ONCE: usize = 64;

/// Makes clusters, and carries over what outlives a reload.
#[derive(Debug, Default)]
pub struct Registry {
    known: BTreeMap<Name, Known>,
    /// The last addresses of each name, which are held on to when resolution fails.
    resolved: HashMap<Host, Vec<SocketAddr>>,
    next_endpoint: u32,
    next_membership: u64,
}

type Host = (Arc<str>, u16);

/// The names of a configuration, in order.
fn hosts(config: &Config) -> Vec<Host> {
    let addresses = config.clusters.values().flat_map(|cluster| &cluster.endpoints);
    let mut hosts: Vec<Host> = addresses
        .filter_map(|endpoint| match &endpoint.address {
            Address::Name(host, port) => Some((Arc::clone(host), *port)),
            Address::Socket(_) | Address::Unix(_) => None,
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// What is remembered of a cluster.
#[derive(Debug)]
struct Known {
    id: u32,
    states: Arc<States>,
    endpoints: HashMap<Peer, Vec<(AskedBy, Weak<Endpoint>)>>,
    membership: Weak<Membership>,
}

/// The name that stands for an endpoint in the configuration, if it is not an address. Together with
/// the address it makes an endpoint the same one: two names of one address are two endpoints, as
/// what serves them may tell them apart by Host.
type AskedBy = Option<Arc<str>>;

impl Registry {
    /// Resolves the names of a configuration and makes its clusters.
    ///
    /// A name that does not resolve keeps the addresses it had; without any, the cluster lacks those
    /// members. That is logged, not fatal: one upstream's DNS must not keep the others from being
    /// served.
    pub async fn load(&mut self, config: &Config) -> BTreeMap<Name, Arc<Cluster>> {
        self.resolve(config).await;
        self.build(config)
    }

    /// A cluster that is not configured, of the address that a router named and what that resolves
    /// to. It has no name and no balancers; nothing of it is remembered here.
    #[must_use]
    pub fn unnamed(address: Address, resolved: Vec<SocketAddr>) -> Arc<Cluster> {
        let mut registry = Self::default();
        if let Address::Name(host, port) = &address {
            registry.resolved.insert((Arc::clone(host), *port), resolved);
        }
        let endpoint = config::Endpoint {
            address,
            weight: 100,
            max_connections: None,
            attributes: Vec::new(),
        };
        registry.cluster(&config::Cluster {
            endpoints: vec![endpoint],
            balancers: Vec::new(),
            ..config::Cluster::default()
        })
    }

    /// The endpoints of a configuration, as clusters and places in their lists, whose names stand for
    /// no address. To be asked after [`Registry::load`].
    #[must_use]
    pub fn unresolved(&self, config: &Config) -> Vec<(Name, usize)> {
        let mut unresolved = Vec::new();
        for (name, cluster) in &config.clusters {
            for (place, endpoint) in cluster.endpoints.iter().enumerate() {
                let Address::Name(host, port) = &endpoint.address else { continue };
                let known = self.resolved.get(&(Arc::clone(host), *port));
                if known.is_none_or(Vec::is_empty) {
                    unresolved.push((Arc::clone(name), place));
                }
            }
        }
        unresolved
    }

    /// Forgets the addresses of names that a configuration no longer has. To be called when it has
    /// been taken: one that is refused must not cost what is held.
    pub fn forget(&mut self, config: &Config) {
        let hosts = hosts(config);
        self.resolved.retain(|host, _| hosts.binary_search(host).is_ok());
    }

    async fn resolve(&mut self, config: &Config) {
        let hosts = hosts(config);
        let mut lookups = JoinSet::new();
        for host in hosts {
            if lookups.len() >= RESOLVE_AT_ONCE
                && let Some(Ok((host, answer, took))) = lookups.join_next().await
            {
                self.note(host, answer, took);
            }
            lookups.spawn(async move {
                let begun = Instant::now();
                let answer = lookup(&host).await;
                (host, answer, begun.elapsed())
            });
        }
        while let Some(joined) = lookups.join_next().await {
            if let Ok((host, answer, took)) = joined {
                self.note(host, answer, took);
            }
        }
    }

    fn note(
        &mut self,
        (host, port): Host,
        answer: Result<Vec<SocketAddr>, ResolveError>,
        took: Duration,
    ) {
        match answer {
            Ok(addresses) => {
                tracing::trace!(%host, port, ?addresses, took_ms = in_milliseconds(took), "resolved");
                self.resolved.insert((host, port), addresses);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(%host, port, error, took_ms = in_milliseconds(took), "name does not resolve");
            }
        }
    }

    /// Makes the clusters from what is resolved.
    fn build(&mut self, config: &Config) -> BTreeMap<Name, Arc<Cluster>> {
        let clusters = &config.clusters;
        clusters.iter().map(|(name, cluster)| (Arc::clone(name), self.cluster(cluster))).collect()
    }

    fn cluster(&mut self, settings: &config::Cluster) -> Arc<Cluster> {
        let next_id = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let name = Arc::clone(&settings.name);
        let known = self.known.entry(name).or_insert_with(|| Known::new(next_id));
        // Numbers are given across clusters, so that none comes twice even if a cluster goes and
        // returns.
        let mut members = Vec::new();
        for endpoint in &settings.endpoints {
            let attributes: Arc<[_]> = endpoint.attributes.clone().into();
            for (peer, host) in peers(&endpoint.address, &self.resolved) {
                members.push(Member {
                    endpoint: known.endpoint(peer, host, endpoint, &mut self.next_endpoint),
                    weight: endpoint.weight,
                    standing: standing(&attributes),
                    max_connections: endpoint.max_connections.or(settings.max_connections),
                    attributes: Arc::clone(&attributes),
                });
            }
        }
        known.forget_the_dead();
        // Balancers are told of a new version, so one that changes nothing must not look new.
        let before = known.membership.upgrade();
        tell_of_changes(&settings.name, before.as_deref(), &members);
        start_slowly(before.as_deref(), &members);
        let before = before.filter(|before| before.members() == members);
        let membership = before.unwrap_or_else(|| {
            self.next_membership += 1;
            Arc::new(Membership::new(self.next_membership, members))
        });
        known.membership = Arc::downgrade(&membership);
        known.states.changed();
        Arc::new(Cluster::new(known.id, settings.clone(), membership, Arc::clone(&known.states)))
    }
}

/// Lets those begin slowly who join a cluster that others serve already.
fn start_slowly(before: Option<&Membership>, now: &[Member]) {
    let Some(before) = before.filter(|before| !before.members().is_empty()) else { return };
    let new = now.iter().filter(|member| before.endpoint(member.endpoint.id()).is_none());
    new.for_each(|member| member.endpoint.vitals().rose(super::health::now()));
}

/// Traces which addresses join a cluster and which leave it.
fn tell_of_changes(cluster: &Name, before: Option<&Membership>, now: &[Member]) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let before = before.map_or(&[][..], Membership::members);
    let has = |list: &[Member], one: &Member| {
        list.iter().any(|other| Arc::ptr_eq(&other.endpoint, &one.endpoint))
    };
    let cluster = &**cluster;
    for member in now.iter().filter(|member| !has(before, member)) {
        let (endpoint, weight) = (&**member.endpoint.label(), member.weight);
        tracing::trace!(cluster, endpoint, weight, "endpoint joins");
    }
    for member in before.iter().filter(|member| !has(now, member)) {
        tracing::trace!(cluster, endpoint = &**member.endpoint.label(), "endpoint leaves");
    }
}

impl Known {
    fn new(id: u32) -> Self {
        Self { id, states: Arc::default(), endpoints: HashMap::new(), membership: Weak::new() }
    }

    fn endpoint(
        &mut self,
        peer: Peer,
        host: AskedBy,
        configured: &config::Endpoint,
        next_id: &mut u32,
    ) -> Arc<Endpoint> {
        let there = self.endpoints.entry(peer.clone()).or_default();
        let same = there.iter().find(|(asked_by, _)| *asked_by == host);
        if let Some(endpoint) = same.and_then(|(_, endpoint)| endpoint.upgrade()) {
            return endpoint;
        }
        there.retain(|(_, endpoint)| endpoint.strong_count() > 0);
        // One label must not stand for two endpoints, in hashes as in metrics.
        let label = if there.is_empty() {
            peer.to_string()
        } else {
            format!("{peer}#{}", host.as_deref().unwrap_or("address"))
        };
        let authority = authority(&configured.address);
        let endpoint = Arc::new(Endpoint::new(*next_id, peer, label.into(), authority));
        *next_id = next_id.wrapping_add(1);
        there.push((host, Arc::downgrade(&endpoint)));
        endpoint
    }

    fn forget_the_dead(&mut self) {
        self.endpoints.retain(|_, there| {
            there.retain(|(_, endpoint)| endpoint.strong_count() > 0);
            !there.is_empty()
        });
    }
}

fn peers(address: &Address, resolved: &HashMap<Host, Vec<SocketAddr>>) -> Vec<(Peer, AskedBy)> {
    match address {
        Address::Socket(address) => vec![(Peer::Tcp(*address), None)],
        Address::Unix(path) => vec![(Peer::Unix(path.clone()), None)],
        Address::Name(host, port) => {
            let addresses = resolved.get(&(Arc::clone(host), *port)).into_iter().flatten();
            addresses.map(|address| (Peer::Tcp(*address), Some(Arc::clone(host)))).collect()
        }
    }
}

/// What a client would send as Host; without the port where it is HTTP's own.
fn authority(address: &Address) -> HeaderValue {
    let (host, port) = match address {
        Address::Socket(SocketAddr::V4(address)) => (address.ip().to_string(), address.port()),
        Address::Socket(SocketAddr::V6(address)) => (format!("[{}]", address.ip()), address.port()),
        Address::Name(host, port) => (host.to_string(), *port),
        Address::Unix(_) => ("localhost".to_owned(), 80),
    };
    let text = if port == 80 { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
}

fn standing(attributes: &[(String, String)]) -> Standing {
    let status = attributes.iter().find(|(key, _)| key == "status");
    match status.map(|(_, status)| status.as_str()) {
        Some("drain") => Standing::Draining,
        Some("disabled") => Standing::Disabled,
        _ => Standing::Ready,
    }
}

/// Each address once, in a fixed order: resolvers rotate theirs, and a list that rotates would move
/// what balancers take from positions.
async fn lookup((host, port): &Host) -> Result<Vec<SocketAddr>, ResolveError> {
    let answer = time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((&**host, *port))).await;
    let mut addresses: Vec<_> = answer.map_err(ResolveError::Timeout)??.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(ResolveError::Empty) } else { Ok(addresses) }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error("no answer in time")]
    Timeout(#[source] time::error::Elapsed),
    #[error("the lookup failed")]
    Lookup(#[from] std::io::Error),
    #[error("it has no address")]
    Empty,
}

#[cfg(test)]
mod tests;
