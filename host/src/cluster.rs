//! A cluster: its members, and which of them may be used right now.
//!
//! What balancers are told about an endpoint and what the host lets through come from the same facts,
//! the endpoint's [condition](State) and the configuration, so that they cannot disagree for long. An
//! endpoint is out when it could not be connected to, when its responses count as failures, and when its
//! active [checks](check) fail. When every endpoint that is in service is out, all of them count as usable
//! and all attempts are admitted: a cluster that is wholly down is tried on every request, in the
//! balancer's order and at most `max-attempts` times, instead of staying dark until an offline time has
//! elapsed. The first connection that succeeds ends that. `force-recovery = false` turns it off.
//!
//! Nothing here knows of requests, plugins or sockets. Time is passed in, in milliseconds since the
//! process began ([`health::now`]).

pub mod budget;
pub mod check;
pub mod condition;
pub mod connect;
pub mod endpoint;
pub mod events;
pub mod health;
mod limit;
pub mod members;
pub mod membership;
pub mod peer;
pub mod pool;
pub mod queue;
pub mod registry;
pub mod report;
mod slow;
mod vitals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use self::endpoint::Endpoint;
use self::health::{Gate, Rule};
use self::queue::Queue;
use self::slow::SlowStart;
use self::vitals::Rules;
use crate::config;

pub use self::condition::{Check, Condition, State};
pub use self::events::{Admission, Probe};
pub use self::membership::{EndpointState, Member, Membership, Standing};
pub use self::vitals::Hand;

/// A named set of endpoints, as one snapshot sees it.
///
/// Shared by all workers. After a reload there is a new one, which shares what outlives a reload
/// with the old: the endpoints and the states' version.
#[derive(Debug)]
pub struct Cluster {
    id: u32,
    settings: config::Cluster,
    rules: Rules,
    slow: SlowStart,
    membership: ArcSwap<Membership>,
    states: Arc<States>,
    /// What the last scan found: the version that it looked at, and in the lowest bit whether every
    /// endpoint was out. One word, so that the two always belong together.
    scanned: AtomicU64,
    /// When the next offline time or step of a slow start elapses; no scan is needed before, unless the version rises.
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
            rules: rules(&settings),
            slow: SlowStart::new(settings.slow_start),
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
        self.states.moved.notify_waiters();
        self.take_effect();
    }

    /// Ready when the members are others than at the time of the call, or, better, of
    /// [`Notified::enable`].
    pub fn moved(&self) -> Notified<'_> {
        self.states.moved.notified()
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

    /// The same at this time, which is not looked up while nothing is to happen at any.
    pub fn refresh_now(&self) -> u64 {
        let version = self.states.version.load(Ordering::Acquire);
        let is_current = self.is_current(version, u64::MAX - 1);
        if is_current { version } else { self.refresh(health::now()) }
    }

    /// What a balancer is told about a member. Exact after a [`refresh`](Self::refresh).
    #[must_use]
    pub fn state_of(&self, member: &Member, now: u64) -> EndpointState {
        let standing = Self::standing(member);
        let in_service = !matches!(standing, Standing::Disabled | Standing::Maintenance);
        EndpointState {
            usable: in_service
                && (self.gate(&member.endpoint, now) != Gate::Shut || self.all_out()),
            draining: standing == Standing::Draining,
            weight: self.slow.weight(member.weight, member.endpoint.vitals().up_since(), now),
        }
    }

    /// Whether a member is meant to be used: as somebody has set it, or as it is configured.
    #[must_use]
    pub fn standing(member: &Member) -> Standing {
        match member.endpoint.vitals().hand() {
            None => member.standing,
            Some(Hand::Ready) => Standing::Ready,
            Some(Hand::Drain) => Standing::Draining,
            Some(Hand::Maintenance) => Standing::Maintenance,
        }
    }

    /// Whether a request could be sent to an endpoint, without trying.
    #[must_use]
    pub fn gate(&self, endpoint: &Endpoint, now: u64) -> Gate {
        let vitals = endpoint.vitals();
        if vitals.is_unhealthy(self.rules) { Gate::Shut } else { vitals.gate(self.rules, now) }
    }

    /// How many endpoints are in service, and how many of them are out.
    #[must_use]
    pub fn census(&self) -> (usize, usize) {
        let membership = self.membership();
        let members = membership.members().iter();
        let ready = members.filter(|each| Self::standing(each) == Standing::Ready);
        let mut ready: Vec<_> = ready.map(|each| &each.endpoint).collect();
        ready.sort_unstable_by_key(|endpoint| endpoint.id());
        ready.dedup_by_key(|endpoint| endpoint.id());
        let out = ready.iter().filter(|endpoint| endpoint.vitals().is_out(self.rules));
        (ready.len(), out.count())
    }

    /// The endpoint that is used when no balancer can be asked: the first usable one in the order
    /// of the configuration, or, if all are out, the one whose last failure is longest ago.
    /// None that is in `tried`, none that is draining; spares and standbys after all others.
    #[must_use]
    pub fn first_usable(&self, now: u64, tried: &[u32]) -> Option<Arc<Endpoint>> {
        self.refresh(now);
        let membership = self.membership();
        let usable = membership.members().iter().filter(|member| {
            let state = self.state_of(member, now);
            state.usable && !state.draining && !tried.contains(&member.endpoint.id())
        });
        let all_out = self.all_out();
        let rank = |member: &&Member| {
            let failed = if all_out { member.endpoint.vitals().last_failure() } else { 0 };
            (member.is_reserve(), failed)
        };
        usable.min_by_key(rank).map(|member| Arc::clone(&member.endpoint))
    }

    /// Whether the last scan found every endpoint out, which then counts for nothing.
    fn all_out(&self) -> bool {
        let scanned = self.scanned.load(Ordering::Acquire);
        self.settings.force_recovery && scanned != u64::MAX && scanned & 1 == 1
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
        let (mut any_out, mut any_in) = (false, false);
        let mut elapsed = false;
        let mut due = u64::MAX;
        let mut look = |at: u64| match at {
            _ if at > now => due = due.min(at),
            _ if at > *last => elapsed = true,
            _ => {}
        };
        for member in membership.members() {
            let vitals = member.endpoint.vitals();
            self.slow
                .steps(vitals.up_since(), *last, now)
                .into_iter()
                .flatten()
                .for_each(&mut look);
            for (state, rule) in vitals.machines(self.rules) {
                if state.is_offline(rule) {
                    look(state.offline_until(rule));
                }
            }
            // Whoever takes no new requests is no reason to leave the others alone.
            let ready = Self::standing(member) == Standing::Ready;
            let out = vitals.is_out(self.rules);
            any_out |= ready && out;
            any_in |= ready && !out;
        }
        *last = now.max(*last);
        // A change that came in between raised the version as well, and is scanned next time.
        let risen = elapsed && self.states.changed() == version;
        let scanned = version + u64::from(risen);
        self.due.store(due, Ordering::Release);
        self.scanned.store(scanned << 1 | u64::from(any_out && !any_in), Ordering::Release);
        version + u64::from(elapsed)
    }
}

/// What is shared by all versions of a cluster.
#[derive(Debug, Default)]
struct States {
    /// Tells that a state has changed.
    version: AtomicU64,
    /// Told when the members are replaced.
    moved: Notify,
    /// Where requests wait.
    queue: Arc<Queue>,
}

impl States {
    /// Raises the version and gives the one before.
    fn changed(&self) -> u64 {
        self.version.fetch_add(1, Ordering::Release)
    }
}

fn rules(settings: &config::Cluster) -> Rules {
    let offline = settings.health.offline;
    let responding = match settings.fail_on_status.is_empty() {
        true => Rule::NEVER,
        false => Rule::new(settings.fail_attempts, offline),
    };
    Rules {
        connecting: Rule::new(settings.health.attempts, offline),
        responding,
        checked: settings.health.check.is_some(),
    }
}

#[cfg(test)]
mod tests;
