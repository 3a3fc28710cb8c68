//! A cluster: its members, and which of them may be used right now.
//!
//! What balancers are told about an endpoint and what the host lets through come from the same two
//! facts, the endpoint's [health] and the configuration, so that they cannot disagree for long.
//! When every endpoint that is in service is offline, all of them count as usable and all attempts are admitted:
//! a cluster that is wholly down is tried on every request, in the balancer's order and at most
//! `max-attempts` times, instead of staying dark until an offline time has elapsed. The first
//! connection that succeeds ends that.
//!
//! Nothing here knows of requests, plugins or sockets. Time is passed in, in milliseconds since the
//! process began ([`health::now`]).

pub mod budget;
pub mod condition;
pub mod connect;
pub mod endpoint;
pub mod health;
pub mod members;
pub mod membership;
pub mod peer;
pub mod pool;
pub mod registry;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use self::endpoint::Endpoint;
use self::health::{Gate, Offline, Rule};
use crate::config;

pub use self::condition::{Check, Condition, State};
pub use self::membership::{EndpointState, Member, Membership, Standing};

/// A named set of endpoints, as one snapshot sees it.
///
/// Shared by all workers. After a reload there is a new one, which shares what outlives a reload
/// with the old: the endpoints and the states' version.
#[derive(Debug)]
pub struct Cluster {
    id: u32,
    settings: config::Cluster,
    rule: Rule,
    membership: ArcSwap<Membership>,
    states: Arc<States>,
    /// What the last scan found: the version that it looked at, and in the lowest bit whether every
    /// endpoint was offline. One word, so that the two always belong together.
    scanned: AtomicU64,
    /// When the next offline time elapses; no scan is needed before, unless the version rises.
    due: AtomicU64,
    /// Held during a scan; the time of the last one.
    scanning: Mutex<u64>,
}

impl Cluster {
    fn new(
        id: u32,
        settings: config::Cluster,
        membership: Arc<Membership>,
        states: Arc<States>,
    ) -> Self {
        Self {
            id,
            rule: Rule::new(settings.health),
            settings,
            membership: ArcSwap::new(membership),
            states,
            // No version is that high, so the first refresh scans.
            scanned: AtomicU64::new(u64::MAX),
            due: AtomicU64::new(0),
            scanning: Mutex::new(0),
        }
    }

    /// Its number, the same over reloads as long as the name is.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &config::Name {
        &self.settings.name
    }

    /// What is configured about it.
    #[must_use]
    pub fn settings(&self) -> &config::Cluster {
        &self.settings
    }

    /// The members now. Meant to be held for a moment; [`Guard::into_inner`] makes it an [`Arc`].
    #[must_use]
    pub fn membership(&self) -> Guard<Arc<Membership>> {
        self.membership.load()
    }

    /// Replaces the members.
    pub fn replace_membership(&self, membership: Arc<Membership>) {
        self.membership.store(membership);
        self.states.changed();
    }

    /// The most attempts at one request.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        let distinct = || u32::try_from(self.membership().endpoints().len()).unwrap_or(u32::MAX);
        self.settings.max_attempts.unwrap_or_else(|| distinct().max(1))
    }

    /// A number that has risen when [`Self::state_of`] may answer differently for any member.
    ///
    /// To be called before each pick. Costs three loads, unless an endpoint went offline or came
    /// back, or an offline time has elapsed since the last call on any worker: then one look at
    /// every endpoint.
    pub fn refresh(&self, now: u64) -> u64 {
        let version = self.states.version.load(Ordering::Acquire);
        if self.is_current(version, now) { version } else { self.scan(now) }
    }

    /// What a balancer is told about a member. Exact after a [`refresh`](Self::refresh).
    #[must_use]
    pub fn state_of(&self, member: &Member, now: u64) -> EndpointState {
        let health = member.endpoint.health().gate(self.rule, now);
        EndpointState {
            usable: member.standing != Standing::Disabled
                && (health != Gate::Shut || self.all_offline()),
            draining: member.standing == Standing::Draining,
            weight: member.weight,
        }
    }

    /// Whether a connection to an endpoint could be tried, without trying.
    #[must_use]
    pub fn gate(&self, endpoint: &Endpoint, now: u64) -> Gate {
        endpoint.health().gate(self.rule, now)
    }

    /// Whether a connection to an endpoint may be tried now.
    ///
    /// The outcome is to be told to [`Self::connected`] or [`Self::connect_failed`]. A pooled
    /// connection counts as connected once a response has come over it.
    pub fn admit(&self, endpoint: &Arc<Endpoint>, now: u64) -> Admission {
        match endpoint.health_cell().admit(self.rule, now) {
            (Gate::Open, _) => Admission::Yes,
            (Gate::Probe, state) => {
                self.states.changed();
                Admission::Probe(Probe {
                    endpoint: Arc::clone(endpoint),
                    granted_after: state.last_failure,
                    states: Arc::clone(&self.states),
                })
            }
            (Gate::Shut, _) => {
                self.refresh(now);
                if self.all_offline() { Admission::Yes } else { Admission::No }
            }
        }
    }

    /// Notes that an endpoint could be connected to.
    pub fn connected(&self, endpoint: &Endpoint) {
        let before = endpoint.health_cell().connected();
        if before.is_offline(self.rule) {
            self.states.changed();
            let (cluster, endpoint) = (self.name(), endpoint.label());
            tracing::info!(%cluster, %endpoint, failures = before.failures, "endpoint is back");
        }
    }

    /// How many endpoints are in service, and how many of them are offline.
    #[must_use]
    pub fn census(&self) -> (usize, usize) {
        let membership = self.membership();
        let ready = membership.members().iter().filter(|each| each.standing == Standing::Ready);
        let mut ready: Vec<_> = ready.map(|each| &each.endpoint).collect();
        ready.sort_unstable_by_key(|endpoint| endpoint.id());
        ready.dedup_by_key(|endpoint| endpoint.id());
        let offline = ready.iter().filter(|endpoint| endpoint.health().is_offline(self.rule));
        (ready.len(), offline.count())
    }

    /// Notes that an endpoint could not be connected to, and counts the failure. Answers what is
    /// news about the endpoint: that it is offline from now on, or still is after a probe.
    pub fn connect_failed(&self, endpoint: &Endpoint, now: u64) -> Option<Offline> {
        endpoint.count_failure();
        let (before, after) = endpoint.health_cell().connect_failed(self.rule, now);
        let went_offline = !before.is_offline(self.rule) && after.is_offline(self.rule);
        // After a probe the time of the next one is not yet known to the scans.
        let gate_moved = before.gate(self.rule, now) != after.gate(self.rule, now);
        if went_offline || before.probing || gate_moved {
            self.states.changed();
        }
        let offline = after.is_offline(self.rule) && (went_offline || before.probing);
        offline.then_some(Offline { failures: after.failures, pause: self.settings.health.offline })
    }

    /// The endpoint that is used when no balancer can be asked: the first usable one in the order
    /// of the configuration, or, if all are offline, the one whose last failure is longest ago.
    /// None that is in `tried`, none that is draining.
    #[must_use]
    pub fn first_usable(&self, now: u64, tried: &[u32]) -> Option<Arc<Endpoint>> {
        self.refresh(now);
        let membership = self.membership();
        let mut usable = membership.members().iter().filter(|member| {
            let state = self.state_of(member, now);
            state.usable && !state.draining && !tried.contains(&member.endpoint.id())
        });
        let member = if self.all_offline() {
            usable.min_by_key(|member| member.endpoint.health().last_failure)
        } else {
            usable.next()
        };
        member.map(|member| Arc::clone(&member.endpoint))
    }

    /// Whether the last scan found every endpoint offline.
    fn all_offline(&self) -> bool {
        let scanned = self.scanned.load(Ordering::Acquire);
        scanned != u64::MAX && scanned & 1 == 1
    }

    fn is_current(&self, version: u64, now: u64) -> bool {
        self.scanned.load(Ordering::Acquire) >> 1 == version
            && now < self.due.load(Ordering::Acquire)
    }

    /// Looks at every endpoint and gives the version that then holds. Rare, hence the lock: without
    /// it, one worker could overwrite what another found later.
    #[cold]
    fn scan(&self, now: u64) -> u64 {
        let mut last = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.states.version.load(Ordering::Acquire);
        if self.is_current(version, now) {
            return version;
        }
        let membership = self.membership();
        let (mut any_offline, mut any_online) = (false, false);
        let mut elapsed = false;
        let mut due = u64::MAX;
        for member in membership.members() {
            let health = member.endpoint.health();
            // Whoever takes no new requests is no reason to leave the others alone.
            let ready = member.standing == Standing::Ready;
            if !health.is_offline(self.rule) {
                any_online |= ready;
                continue;
            }
            any_offline |= ready;
            let until = health.offline_until(self.rule);
            if until > now {
                due = due.min(until);
            } else if until > *last {
                elapsed = true;
            }
        }
        *last = now.max(*last);
        // A change that came in between raised the version as well, and is scanned next time.
        let risen = elapsed && self.states.changed() == version;
        let scanned = version + u64::from(risen);
        self.due.store(due, Ordering::Release);
        self.scanned.store(scanned << 1 | u64::from(any_offline && !any_online), Ordering::Release);
        version + u64::from(elapsed)
    }
}

/// What is shared by all versions of a cluster: the number that tells that a state has changed.
#[derive(Debug, Default)]
struct States {
    version: AtomicU64,
}

impl States {
    /// Raises the version and gives the one before.
    fn changed(&self) -> u64 {
        self.version.fetch_add(1, Ordering::Release)
    }
}

/// Whether a connection may be tried.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// It may.
    Yes,
    /// It may, as the one attempt that finds out whether the endpoint is back.
    Probe(Probe),
    /// The endpoint is left alone. Not a failure, and not an attempt.
    No,
}

/// The right to the one attempt. Dropped before an outcome is known, it goes to another request.
#[derive(Debug)]
pub struct Probe {
    endpoint: Arc<Endpoint>,
    /// The failure whose offline time has elapsed. It tells this probe from a later one.
    granted_after: u64,
    states: Arc<States>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.endpoint.health_cell().release_probe(self.granted_after) {
            self.states.changed();
        }
    }
}

#[cfg(test)]
mod tests;
