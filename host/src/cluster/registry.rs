//! Clusters made from configurations, each with what the one before knew, and kept to what their
//! names stand for.
//!
//! Shared by the tasks of the control thread. An endpoint lives as long as a snapshot or a request
//! holds it, and is found again by cluster and address for that long; the registry itself keeps none
//! alive.
//!
//! What names stand for is known in one place, so that a reload and a resolution cannot undo each
//! other's work: a candidate has names of its own until it is [served](Registry::serve), and what
//! was found meanwhile for those that are served goes before what it found earlier.

mod changes;
mod names;
mod place;
mod refresh;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::endpoint::Endpoint;
use super::peer::Peer;
use super::{Cluster, Member, Membership, Standing, States};
use crate::config;
use crate::config::{Config, Location, Name, UpstreamTls};
use crate::dns::{Found, Inquiries, Resolver};
use crate::tls::client::{ClientTls, Secure};

use changes::{start_slowly, tell_of_changes};
use names::{Names, question};
use place::{Place, places};

/// Makes clusters, and carries over what outlives a reload. Clones share it.
#[derive(Clone, Default)]
pub struct Registry {
    state: Arc<Mutex<State>>,
    /// Notified when other names are to be kept fresh.
    changed: Arc<Notify>,
    /// Where names are asked for that are of no cluster.
    inquiries: Inquiries,
}

#[derive(Default)]
struct State {
    known: BTreeMap<Name, Known>,
    /// What the names of the clusters that are served stand for.
    names: Names,
    /// The same for a configuration that has been loaded, and is not served yet.
    candidate: Option<Names>,
    served: BTreeMap<Name, Weak<Cluster>>,
    next_cluster: u32,
    next_endpoint: u32,
    next_membership: u64,
}

/// What is remembered of a cluster.
#[derive(Debug)]
struct Known {
    id: u32,
    states: Arc<States>,
    endpoints: HashMap<Peer, Vec<(AskedBy, Weak<Endpoint>)>>,
    membership: Weak<Membership>,
    /// Those that somebody has set by hand, which is to last although they leave for a while.
    by_hand: Vec<Arc<Endpoint>>,
}

/// What makes an endpoint the same one, together with its address.
#[derive(Debug, Clone, PartialEq)]
struct AskedBy {
    /// The name that stands for it in the configuration, if it is not an address: two names of one address
    /// are two endpoints, as what serves them may tell them apart by Host.
    host: Option<Arc<str>>,
    /// How TLS is spoken to it: what has failed by other settings may succeed by these, and what was believed
    /// by others may not be any more.
    tls: Option<Secure>,
}

impl Registry {
    /// Resolves the names of a configuration and makes its clusters.
    ///
    /// A name that does not resolve keeps the addresses it had; without any, the cluster lacks those
    /// members. That is logged, not fatal: one upstream's DNS must not keep the others from being
    /// served.
    pub async fn load(&self, config: &Config) -> BTreeMap<Name, Arc<Cluster>> {
        let resolver = Resolver::new(&config.dns);
        let held = self.lock().names.of(config);
        let names = names::resolve(resolver, held).await;
        let mut state = self.lock();
        let clusters = state.build(config, &names);
        state.candidate = Some(names);
        clusters
    }

    /// Keeps these clusters to what their names stand for from now on, and no others. To be called
    /// when the configuration that was loaded last has been taken: one that is refused must not cost
    /// what is held.
    pub fn serve(&self, clusters: &BTreeMap<Name, Arc<Cluster>>) {
        let mut state = self.lock();
        if let Some(candidate) = state.candidate.take() {
            state.names.give_way(candidate);
        }
        let weak = |(name, cluster): (&Name, _)| (Arc::clone(name), Arc::downgrade(cluster));
        state.served = clusters.iter().map(weak).collect();
        for cluster in clusters.values() {
            state.renew(cluster);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A cluster that is not configured, of the address that a router named and what that resolves
    /// to, with which TLS is spoken like this. It has no name and no balancers; nothing of it is remembered here.
    #[must_use]
    pub fn unnamed(
        location: Location,
        resolved: Vec<SocketAddr>,
        tls: Option<&Arc<ClientTls>>,
    ) -> Arc<Cluster> {
        let Location { scheme, address } = location;
        let mut names = Names::default();
        if let Some(question) = question(&address) {
            let found = |socket: SocketAddr| Found { service: None, address: socket.ip() };
            names.know(question, resolved.into_iter().map(found).collect());
        }
        let endpoint = config::Endpoint {
            address,
            scheme,
            weight: 100,
            max_connections: None,
            attributes: Vec::new(),
        };
        let settings = config::Cluster {
            endpoints: vec![endpoint],
            tls: tls.map(|client| UpstreamTls::usual(Arc::clone(client))),
            balancers: Vec::new(),
            ..config::Cluster::default()
        };
        State::default().cluster(&settings, &names)
    }

    /// The endpoints of a configuration, as clusters and places in their lists, whose names stand for
    /// no address. To be asked after [`Registry::load`].
    #[must_use]
    pub fn unresolved(&self, config: &Config) -> Vec<(Name, usize)> {
        let state = self.lock();
        let names = state.candidate.as_ref().unwrap_or(&state.names);
        let mut unresolved = Vec::new();
        for (name, cluster) in &config.clusters {
            for (place, endpoint) in cluster.endpoints.iter().enumerate() {
                let question = question(&endpoint.address);
                if question.is_some_and(|question| names.found(&question).is_empty()) {
                    unresolved.push((Arc::clone(name), place));
                }
            }
        }
        unresolved
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl State {
    /// Makes the clusters from what names stand for.
    fn build(&mut self, config: &Config, names: &Names) -> BTreeMap<Name, Arc<Cluster>> {
        // Also of clusters that go.
        self.known.values_mut().for_each(Known::hold);
        let clusters = config.clusters.iter();
        let built =
            clusters.map(|(name, it)| (Arc::clone(name), self.cluster(it, names))).collect();
        self.known
            .retain(|_, known| known.membership.strong_count() > 0 || !known.by_hand.is_empty());
        built
    }

    fn cluster(&mut self, settings: &config::Cluster, names: &Names) -> Arc<Cluster> {
        let name = &settings.name;
        let next_cluster = &mut self.next_cluster;
        let known = self.known.entry(Arc::clone(name)).or_insert_with(|| {
            let id = *next_cluster;
            *next_cluster = id.wrapping_add(1);
            Known::new(id)
        });
        let members = known.members(settings, names, &mut self.next_endpoint);
        // Balancers are told of a new version, so one that changes nothing must not look new.
        let served = self.served.get(name).and_then(Weak::upgrade);
        let served = served.map(|cluster| Arc::clone(&cluster.membership()));
        let before = served.or_else(|| known.membership.upgrade());
        tell_of_changes(name, before.as_deref(), &members, false);
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

    /// Makes a cluster's members what its names stand for by now.
    fn renew(&mut self, cluster: &Cluster) {
        let (name, settings) = (cluster.name(), cluster.settings());
        let Some(known) = self.known.get_mut(name) else { return };
        let members = known.members(settings, &self.names, &mut self.next_endpoint);
        let before = cluster.membership();
        if before.members() == members {
            return;
        }
        tell_of_changes(name, Some(&before), &members, true);
        start_slowly(Some(&before), &members);
        self.next_membership += 1;
        let membership = Arc::new(Membership::new(self.next_membership, members));
        known.membership = Arc::downgrade(&membership);
        cluster.replace_membership(membership);
    }

    /// Takes the answer to a question, and lets the clusters that ask it follow.
    fn note(&mut self, looked_up: names::LookedUp) {
        let question = looked_up.question.clone();
        if !self.names.note(looked_up) {
            return;
        }
        let served: Vec<_> = self.served.values().filter_map(Weak::upgrade).collect();
        let asks = |cluster: &&Arc<Cluster>| {
            let mut endpoints = cluster.settings().endpoints.iter();
            endpoints.any(|endpoint| names::question(&endpoint.address).as_ref() == Some(&question))
        };
        for cluster in served.iter().filter(asks) {
            self.renew(cluster);
        }
    }
}

impl Known {
    fn new(id: u32) -> Self {
        Self {
            id,
            states: Arc::default(),
            endpoints: HashMap::new(),
            membership: Weak::new(),
            by_hand: Vec::new(),
        }
    }

    /// Holds those endpoints that somebody has set by hand, and no others.
    fn hold(&mut self) {
        let alive =
            self.endpoints.values().flatten().filter_map(|(_, endpoint)| endpoint.upgrade());
        self.by_hand = alive.filter(|endpoint| endpoint.vitals().hand().is_some()).collect();
    }

    /// The members of the cluster, with the endpoints that are known.
    fn members(
        &mut self,
        settings: &config::Cluster,
        names: &Names,
        next_endpoint: &mut u32,
    ) -> Vec<Member> {
        // Numbers are given across clusters, so that none comes twice even if a cluster goes and
        // returns.
        let mut all = Vec::new();
        for configured in &settings.endpoints {
            let tls = settings.tls_of(configured);
            all.extend(
                places(&configured.address, tls, names).into_iter().map(|it| (configured, it)),
            );
        }
        let mut members = Vec::new();
        for (configured, place) in &all {
            let attributes: Arc<[_]> = configured.attributes.clone().into();
            let (weight, attributes) = match place.rank_and_weight {
                Some((rank, weight)) => {
                    (scaled(configured.weight, weight), ranked(&attributes, rank))
                }
                None => (configured.weight, attributes),
            };
            let is_wanted = |peer: &Peer, by: &AskedBy| {
                all.iter().any(|(_, other)| other.peer == *peer && other.by == *by)
            };
            members.push(Member {
                endpoint: self.endpoint(place, is_wanted, next_endpoint),
                weight,
                standing: standing(&attributes),
                max_connections: configured.max_connections.or(settings.max_connections),
                attributes,
            });
        }
        self.hold();
        self.forget_the_dead();
        members
    }

    /// The endpoint of a place: the one that is known, or a new one. `is_wanted` tells which others there are
    /// to be.
    fn endpoint(
        &mut self,
        place: &Place,
        is_wanted: impl Fn(&Peer, &AskedBy) -> bool,
        next_id: &mut u32,
    ) -> Arc<Endpoint> {
        let Place { peer, by, authority, .. } = place;
        let there = self.endpoints.entry(peer.clone()).or_default();
        let same = there.iter().find(|(asked_by, _)| asked_by == by);
        if let Some(endpoint) = same.and_then(|(_, endpoint)| endpoint.upgrade()) {
            return endpoint;
        }
        there.retain(|(_, endpoint)| endpoint.strong_count() > 0);
        // What is spoken to otherwise from now on gives way to what it becomes, with the name that it had.
        let (before, others): (Vec<_>, Vec<_>) = there
            .iter()
            .filter_map(|(asked_by, endpoint)| Some((asked_by, endpoint.upgrade()?)))
            .partition(|(asked_by, _)| asked_by.host == by.host && !is_wanted(peer, asked_by));
        // One label must not stand for two endpoints, in hashes as in metrics.
        let taken = |label: &str| others.iter().any(|(_, other)| &**other.label() == label);
        let host = by.host.as_deref().unwrap_or("address");
        let scheme = if by.tls.is_some() { "https" } else { "http" };
        let labels =
            [format!("{peer}"), format!("{peer}#{host}"), format!("{peer}#{scheme}:{host}")];
        let free = labels.iter().find(|label| !taken(label));
        let label = Arc::from(free.map_or("", String::as_str));
        let mut endpoint = Endpoint::new(*next_id, peer.clone(), label, authority.clone());
        if let Some((_, before)) = before.last() {
            endpoint = endpoint.in_place_of(before);
        }
        let endpoint = Arc::new(endpoint.over(by.tls.clone()));
        *next_id = next_id.wrapping_add(1);
        there.push((by.clone(), Arc::downgrade(&endpoint)));
        endpoint
    }

    fn forget_the_dead(&mut self) {
        self.endpoints.retain(|_, there| {
            there.retain(|(_, endpoint)| endpoint.strong_count() > 0);
            !there.is_empty()
        });
    }
}

/// The weight of a configured endpoint times that of a service's target, both in hundredths.
fn scaled(configured: u32, weight: u32) -> u32 {
    let scaled = u64::from(configured) * u64::from(weight) / 100;
    u32::try_from(scaled.clamp(1, 1_000_000)).unwrap_or(1_000_000)
}

/// The attributes of a service's target: its priority makes the set, unless one is configured.
fn ranked(attributes: &Arc<[(String, String)]>, rank: u8) -> Arc<[(String, String)]> {
    if attributes.iter().any(|(key, _)| key == "lbset") {
        return Arc::clone(attributes);
    }
    let mut ranked = attributes.to_vec();
    ranked.push(("lbset".to_owned(), rank.to_string()));
    ranked.sort_unstable();
    ranked.into()
}

fn standing(attributes: &[(String, String)]) -> Standing {
    let status = attributes.iter().find(|(key, _)| key == "status");
    match status.map(|(_, status)| status.as_str()) {
        Some("drain") => Standing::Draining,
        Some("disabled" | "stopped") => Standing::Disabled,
        _ => Standing::Ready,
    }
}

#[cfg(test)]
mod tests;
