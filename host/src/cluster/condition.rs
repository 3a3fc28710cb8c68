//! What people are told of an endpoint's condition: one word, since when, and what led to it.

use std::fmt;
use std::sync::Arc;

use super::{Cluster, Member, Standing};

/// The condition of an endpoint in its cluster.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The word for it.
    pub state: State,
    /// When that began, in milliseconds of [`now`](super::health::now); 0 if it was never another.
    pub since: u64,
    /// Whether somebody has set it by hand, which lasts until the process ends.
    pub by_hand: bool,
    /// Failures to connect since it could last be connected to.
    pub failures_in_a_row: u32,
    /// When the last of these was, likewise; 0 without one.
    pub last_failure: u64,
    /// Responses since the last good one that count as failures; 0 where none does.
    pub bad_responses_in_a_row: u32,
    /// Whether its weight is still growing to what is configured.
    pub starting: bool,
    /// Active checks ever made.
    pub checks: u64,
    /// How many of them failed.
    pub checks_failed: u64,
    /// The last active check, if there was one.
    pub check: Option<Arc<Check>>,
}

/// An endpoint's state in a word. Where several hold, the first of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Set aside by hand: it gets no requests.
    Maintenance,
    /// Out of service by configuration: `status = "disabled"`.
    Disabled,
    /// It gets only requests that belong to it.
    Draining,
    /// Its active checks fail.
    Unhealthy,
    /// It could not be connected to.
    Offline,
    /// It answered too often with a status that counts as a failure.
    Failing,
    /// None of these.
    Alive,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Maintenance,
        Self::Disabled,
        Self::Draining,
        Self::Unhealthy,
        Self::Offline,
        Self::Failing,
        Self::Alive,
    ];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
            Self::Offline => "offline",
            Self::Failing => "failing",
            Self::Alive => "alive",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// What came of an active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// When it ended, in milliseconds of [`now`](super::health::now).
    pub at: u64,
    /// Whether the endpoint passed.
    pub passed: bool,
    /// What it found, in a few words: `200 in 1.2 ms`, `connection refused`.
    pub found: String,
}

impl Cluster {
    /// The condition of one of its members.
    #[must_use]
    pub fn condition(&self, member: &Member, now: u64) -> Condition {
        let vitals = member.endpoint.vitals();
        let connecting = vitals.connecting.state();
        let (checks, checks_failed) = vitals.checks();
        let state = match Self::standing(member) {
            Standing::Maintenance => State::Maintenance,
            Standing::Disabled => State::Disabled,
            Standing::Draining => State::Draining,
            Standing::Ready if vitals.is_unhealthy(self.rules) => State::Unhealthy,
            Standing::Ready if connecting.is_offline(self.rules.connecting) => State::Offline,
            Standing::Ready if vitals.is_out(self.rules) => State::Failing,
            Standing::Ready => State::Alive,
        };
        let weight = self.state_of(member, now).weight;
        Condition {
            state,
            since: vitals.since(),
            by_hand: vitals.hand().is_some(),
            failures_in_a_row: connecting.failures,
            last_failure: connecting.last_failure,
            bad_responses_in_a_row: vitals.responding.state().failures,
            starting: weight < member.weight,
            checks,
            checks_failed,
            check: vitals.last_check(),
        }
    }
}
