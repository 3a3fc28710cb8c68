//! What happens to endpoints, and what follows for their cluster: attempts are admitted, succeed and
//! fail; checks pass and fail; somebody sets a state by hand.

use std::sync::Arc;

use super::condition::Check;
use super::endpoint::Endpoint;
use super::health::{Gate, Health, Offline, Rule};
use super::{Cluster, Hand, Member, Standing, States};

impl Cluster {
    /// Whether a connection to an endpoint may be tried now.
    ///
    /// The outcome is to be told to [`Self::connected`] or [`Self::connect_failed`], and then to
    /// [`Self::responded`] or [`Self::broke`]. A pooled connection counts as connected once a response has
    /// come over it.
    pub fn admit(&self, endpoint: &Arc<Endpoint>, now: u64) -> Admission {
        let vitals = endpoint.vitals();
        if vitals.hand() == Some(Hand::Maintenance) {
            return Admission::No;
        }
        let gate = self.gate(endpoint, now);
        if gate == Gate::Open {
            return Admission::Yes;
        }
        let mut probe = Probe {
            endpoint: Arc::clone(endpoint),
            granted_after: [None, None],
            states: Arc::clone(&self.states),
        };
        // Another worker may be faster: then what is taken here is given back with the probe.
        if gate == Gate::Probe
            && probe.take(0, self.rules.connecting, now)
            && probe.take(1, self.rules.responding, now)
        {
            self.states.changed();
            return Admission::Probe(probe);
        }
        drop(probe);
        self.refresh(now);
        if self.all_out() { Admission::Yes } else { Admission::No }
    }

    /// Notes that an endpoint could be connected to.
    pub fn connected(&self, endpoint: &Endpoint, now: u64) {
        let before = endpoint.vitals().connecting.succeeded();
        if before.is_offline(self.rules.connecting) {
            self.turned(endpoint, now);
            let (cluster, endpoint) = (self.name(), endpoint.label());
            tracing::info!(%cluster, %endpoint, failures = before.failures, "endpoint is back");
        }
    }

    /// Notes that an endpoint could not be connected to, and counts the failure. Answers what is
    /// news about the endpoint: that it is offline from now on, or still is after a probe.
    pub fn connect_failed(&self, endpoint: &Endpoint, now: u64) -> Option<Offline> {
        endpoint.count_failure();
        self.failed(endpoint, &endpoint.vitals().connecting, self.rules.connecting, now)
    }

    /// Notes that an endpoint has answered, with which status. Answers what is news about it: that its
    /// answers count as failures too often, so that it is left alone, or still do after a probe.
    pub fn responded(&self, endpoint: &Endpoint, status: u16, now: u64) -> Option<Offline> {
        self.connected(endpoint, now);
        if self.settings().fail_on_status.is_empty() {
            return None;
        }
        if self.settings().fail_on_status.contains(status) {
            return self.failed(
                endpoint,
                &endpoint.vitals().responding,
                self.rules.responding,
                now,
            );
        }
        let before = endpoint.vitals().responding.succeeded();
        if before.is_offline(self.rules.responding) {
            self.turned(endpoint, now);
            let (cluster, endpoint) = (self.name(), endpoint.label());
            tracing::info!(%cluster, %endpoint, failures = before.failures, "endpoint answers well again");
        }
        None
    }

    /// Notes that an endpoint has not answered, for which the client gets that status: 502 or 504. It
    /// counts as if the endpoint had answered so, and is news likewise.
    pub fn broke(&self, endpoint: &Endpoint, status: u16, now: u64) -> Option<Offline> {
        if !self.settings().fail_on_status.contains(status) {
            return None;
        }
        self.failed(endpoint, &endpoint.vitals().responding, self.rules.responding, now)
    }

    /// Notes what came of an active check. `healthy` is what follows of it and those before, where that is
    /// news; `reached`: it could be connected to where requests go.
    ///
    /// What can be reached is not offline any more. An endpoint that is healthy again is forgiven its
    /// responses as well, as in Apache; one whose checks have always passed is not, as then they do not see
    /// what is wrong.
    pub fn checked(&self, endpoint: &Endpoint, check: Check, healthy: Option<bool>, reached: bool) {
        let (now, vitals) = (check.at, endpoint.vitals());
        let found = check.found.clone();
        vitals.note_check(check);
        if reached {
            self.connected(endpoint, now);
        }
        let Some(healthy) = healthy else { return };
        let turned = vitals.judge(Some(healthy));
        let (cluster, label) = (self.name(), endpoint.label());
        if turned && healthy {
            vitals.responding.succeeded();
            self.turned(endpoint, now);
            tracing::info!(%cluster, endpoint = %label, check = found, "endpoint is healthy");
        } else if turned {
            vitals.turned(now);
            self.states.changed();
            tracing::warn!(%cluster, endpoint = %label, check = found, "endpoint is unhealthy");
        }
    }

    /// Forgets what active checks have found.
    pub fn unchecked(&self, endpoint: &Endpoint) {
        if endpoint.vitals().judge(None) {
            self.turned(endpoint, super::health::now());
        }
    }

    /// Sets the state of a member by hand, until the process ends or it is set anew. What is configured
    /// to be ready and set to [`Hand::Ready`] is as if it had never been set.
    pub fn set_by_hand(&self, member: &Member, hand: Hand, now: u64) {
        let vitals = member.endpoint.vitals();
        let before = Self::standing(member);
        let natural = hand == Hand::Ready && member.standing == Standing::Ready;
        vitals.set_hand((!natural).then_some(hand));
        let now_standing = Self::standing(member);
        if now_standing != before {
            vitals.turned(now);
            if hand == Hand::Ready {
                vitals.rose(now);
            }
        }
        self.states.changed();
        // Who is in service again is to be checked.
        self.states.moved.notify_waiters();
        self.offer(&member.endpoint);
        if now_standing == before {
            return;
        }
        let (cluster, endpoint) = (&**self.name(), &**member.endpoint.label());
        if natural {
            tracing::warn!(cluster, endpoint, "endpoint is not set by hand any more");
        } else {
            let state = hand.word();
            tracing::warn!(
                cluster,
                endpoint,
                state,
                "endpoint is set by hand, until the process ends"
            );
        }
    }

    fn failed(
        &self,
        endpoint: &Endpoint,
        machine: &Health,
        rule: Rule,
        now: u64,
    ) -> Option<Offline> {
        let (before, after) = machine.failed(rule, now);
        let went_offline = !before.is_offline(rule) && after.is_offline(rule);
        // After a probe the time of the next one is not yet known to the scans.
        let gate_moved = before.gate(rule, now) != after.gate(rule, now);
        if went_offline {
            endpoint.vitals().turned(now);
        }
        if went_offline || before.probing || gate_moved {
            self.states.changed();
        }
        let offline = after.is_offline(rule) && (went_offline || before.probing);
        offline
            .then_some(Offline { failures: after.failures, pause: self.settings().health.offline })
    }

    /// It takes requests again.
    fn turned(&self, endpoint: &Endpoint, now: u64) {
        endpoint.vitals().turned(now);
        endpoint.vitals().rose(now);
        self.states.changed();
        self.offer(endpoint);
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
    /// The failures whose offline times have elapsed, of connecting and of responding. They tell this probe
    /// from a later one.
    granted_after: [Option<u64>; 2],
    states: Arc<States>,
}

impl Probe {
    fn machine(&self, which: usize) -> &Health {
        let vitals = self.endpoint.vitals();
        if which == 0 { &vitals.connecting } else { &vitals.responding }
    }

    /// Takes the probe of one of the machines, if it has one to give. Answers whether the machine allows
    /// an attempt.
    fn take(&mut self, which: usize, rule: Rule, now: u64) -> bool {
        let (gate, state) = self.machine(which).admit(rule, now);
        if gate == Gate::Probe
            && let Some(granted) = self.granted_after.get_mut(which)
        {
            *granted = Some(state.last_failure);
        }
        gate != Gate::Shut
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let granted = self.granted_after.into_iter().enumerate();
        let mut given_back = false;
        for (which, after) in granted.filter_map(|(which, after)| Some((which, after?))) {
            given_back |= self.machine(which).release_probe(after);
        }
        if given_back {
            self.states.changed();
        }
    }
}
