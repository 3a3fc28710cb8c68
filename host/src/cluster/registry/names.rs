//! What the names of one configuration stand for, and when each is to be asked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Address, Config, Dns};
use crate::dns::{Answer, Failure, Found, Question, Resolver};
use crate::log::in_milliseconds;

/// Names that are resolved at a time.
pub(super) const AT_ONCE: usize = 64;

/// The longest time after which a name that does not resolve is asked for again, unless more is
/// configured for the first time.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The names of one configuration.
#[derive(Debug, Default)]
pub(super) struct Names {
    resolver: Option<Resolver>,
    entries: BTreeMap<Question, Entry>,
    /// How often the servers have been changed: what the former ones still answer is not wanted.
    epoch: u64,
}

/// What is known of a name.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What it stood for when it last resolved.
    found: Vec<Found>,
    /// When it was last known whether it resolves; `None` if that never was.
    answered: Option<Instant>,
    due: Instant,
    /// How often it has not resolved since it last did.
    failures: u32,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct LookedUp {
    pub(super) question: Question,
    pub(super) answer: Result<Answer, Failure>,
    pub(super) took: Duration,
    pub(super) epoch: u64,
}

/// What has to be asked to know the addresses of an endpoint.
pub(super) fn question(address: &Address) -> Option<Question> {
    match address {
        Address::Name(host, _) => Some(Question::Host(Arc::clone(host))),
        Address::Service(name) => Some(Question::Service(Arc::clone(name))),
        Address::Socket(_) | Address::Unix(_) => None,
    }
}

/// Asks a question.
pub(super) async fn look_up(
    resolver: Resolver,
    question: Question,
    held: Vec<Found>,
    epoch: u64,
) -> LookedUp {
    let begun = Instant::now();
    let answer = resolver.ask(&question, &held).await;
    LookedUp { question, answer, took: begun.elapsed(), epoch }
}

/// Resolves names, given what is held of them.
pub(super) async fn resolve(resolver: Resolver, held: BTreeMap<Question, Entry>) -> Names {
    let questions: Vec<_> =
        held.iter().map(|(question, entry)| (question.clone(), entry.found.clone())).collect();
    let mut names = Names { resolver: Some(resolver.clone()), entries: held, epoch: 0 };
    let mut lookups = JoinSet::new();
    for (question, held) in questions {
        if lookups.len() >= AT_ONCE
            && let Some(Ok(looked_up)) = lookups.join_next().await
        {
            names.note(looked_up);
        }
        lookups.spawn(look_up(resolver.clone(), question, held, 0));
    }
    while let Some(joined) = lookups.join_next().await {
        if let Ok(looked_up) = joined {
            names.note(looked_up);
        }
    }
    names
}

impl Names {
    /// Who resolves them.
    pub(super) fn resolver(&self) -> Resolver {
        self.resolver.clone().unwrap_or_else(|| Resolver::new(&Dns::default()))
    }

    /// Whether it has been said who resolves them.
    pub(super) fn can_resolve(&self) -> bool {
        self.resolver.is_some()
    }

    /// What a name stands for; nothing if it has never resolved.
    pub(super) fn found(&self, question: &Question) -> &[Found] {
        self.entries.get(question).map_or(&[], |entry| &entry.found)
    }

    /// Notes what a name stands for, for good.
    pub(super) fn know(&mut self, question: Question, found: Vec<Found>) {
        self.entries.insert(question, Entry { found, ..Entry::unknown() });
    }

    /// The names of a configuration, with what is known of them here.
    pub(super) fn of(&self, config: &Config) -> BTreeMap<Question, Entry> {
        let endpoints = config.clusters.values().flat_map(|cluster| &cluster.endpoints);
        let questions = endpoints.filter_map(|endpoint| question(&endpoint.address));
        let known = |question| {
            let entry = self.entries.get(&question).cloned().unwrap_or_else(Entry::unknown);
            (question, entry)
        };
        questions.map(known).collect()
    }

    /// Becomes the names of another configuration, and keeps what was found here after those were
    /// asked for, if the same servers said it.
    pub(super) fn give_way(&mut self, mut next: Self) {
        let settings = |names: &Self| names.resolver.as_ref().map(|of| of.settings().clone());
        next.epoch = self.epoch;
        if settings(self) == settings(&next) {
            for (question, entry) in &mut next.entries {
                let own = self.entries.remove(question);
                if let Some(own) = own.filter(|own| own.answered > entry.answered) {
                    *entry = own;
                }
            }
        } else {
            next.epoch += 1;
        }
        *self = next;
    }

    /// A lookup that is due, if there is one. It is due again if nothing comes of it.
    pub(super) fn next_due(
        &mut self,
        now: Instant,
    ) -> Option<impl Future<Output = LookedUp> + use<>> {
        let resolver = self.resolver.clone()?;
        let (question, entry) = self.entries.iter_mut().find(|(_, entry)| entry.due <= now)?;
        // An answer takes two timeouts at most.
        entry.due = now + 3 * resolver.settings().timeout;
        Some(look_up(resolver, question.clone(), entry.found.clone(), self.epoch))
    }

    /// When the next lookup is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.due).min()
    }

    /// Takes an answer, and says whether the name stands for something else from now on.
    pub(super) fn note(&mut self, looked_up: LookedUp) -> bool {
        let LookedUp { question, answer, took, epoch } = looked_up;
        let Some(resolver) = self.resolver.as_ref().filter(|_| epoch == self.epoch) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(&question) else { return false };
        let now = Instant::now();
        let (host, took_ms) = (&**question.name(), in_milliseconds(took));
        entry.answered = Some(now);
        match answer {
            Ok(Answer { found, believed, lacking }) => {
                let addresses: Vec<_> = found.iter().map(|found| found.address).collect();
                tracing::trace!(host, ?addresses, ?believed, took_ms, "resolved");
                if let Some(error) = lacking {
                    if entry.failures == 0 {
                        tracing::warn!(host, error, took_ms, "name resolves in part");
                    }
                    let soon = pause(resolver.settings().retry, entry.failures).min(believed);
                    (entry.failures, entry.due) = (entry.failures.saturating_add(1), now + soon);
                } else {
                    if entry.failures > 0 {
                        tracing::info!(host, failures = entry.failures, "name resolves again");
                    }
                    (entry.failures, entry.due) = (0, now + believed);
                }
                let changed = entry.found != found;
                entry.found = found;
                changed
            }
            Err(error) => {
                if entry.failures == 0 {
                    let (error, held): (&dyn std::error::Error, _) = (&error, entry.found.len());
                    tracing::warn!(host, error, held, took_ms, "name does not resolve");
                }
                entry.due = now + pause(resolver.settings().retry, entry.failures);
                entry.failures = entry.failures.saturating_add(1);
                false
            }
        }
    }
}

impl Entry {
    /// A name that has never been asked for.
    fn unknown() -> Self {
        Self { found: Vec::new(), answered: None, due: Instant::now(), failures: 0 }
    }
}

/// How long to wait after a failure that so many came before.
fn pause(first: Duration, before: u32) -> Duration {
    let doubled = first.saturating_mul(1 << before.min(16));
    doubled.min(LONGEST_RETRY.max(first))
}

#[cfg(test)]
mod tests;
