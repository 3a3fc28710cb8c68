//! Components that take the places of others while the configuration stays.
//!
//! Each plugin is judged by itself: one that is refused goes on as it was, and keeps nobody else's
//! successor from serving. All uses of a plugin change together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Crew, Refused, Snapshot, Staffed, Staffing, Trial, Use, uses};
use crate::cluster::health::now;
use crate::config::Name;
use crate::plugin::{Host, Kind, Refusal, Source, digest};

/// Bytes that were to serve as a plugin, and do not.
#[derive(Debug)]
pub struct Candidate {
    /// Where they come from, if they are anywhere.
    pub source: Option<Source>,
    /// The SHA-256 of the bytes; none where there are none.
    pub digest: Option<Arc<str>>,
    /// Why they are refused.
    pub reason: String,
    /// Whether they have served, and were withdrawn.
    pub withdrawn: bool,
    /// Since when, in milliseconds since this process began.
    pub since: u64,
}

/// A version that is fit to take a plugin's place.
struct Fit {
    uses: Vec<(Use, Staffed)>,
    source: Source,
    digest: Arc<str>,
}

/// What has come of looking for components.
#[derive(Debug, Default)]
pub struct Swapped {
    /// The plugins that serve by another version.
    pub taken: BTreeSet<Name>,
    /// Those of which another version is on trial from now on.
    pub tried: BTreeSet<Name>,
    /// Those whose successor is refused, if that is news.
    pub refused: BTreeSet<Name>,
}

impl Swapped {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.tried.is_empty() && self.refused.is_empty()
    }
}

impl Snapshot {
    /// Whether anybody has to be shown this in place of what it was made of.
    #[must_use]
    pub fn differs_from(&self, before: &Self) -> bool {
        let same = |(name, candidate): (&Name, &Arc<Candidate>)| {
            before.refused.get(name).is_some_and(|old| Arc::ptr_eq(old, candidate))
        };
        let plugins = self.plugins.iter().any(|(used, staffed)| {
            let old = before.plugins.get(used);
            !old.is_some_and(|old| Arc::ptr_eq(&old.definition, &staffed.definition))
        });
        let trials = |(name, trial): (&Name, &Arc<Trial>)| {
            before.trials.get(name).is_some_and(|old| Arc::ptr_eq(old, trial))
        };
        plugins
            || self.trials.len() != before.trials.len()
            || !self.trials.iter().all(trials)
            || self.refused.len() != before.refused.len()
            || !self.refused.iter().all(same)
    }

    /// The same configuration with the components that are there by now. A plugin whose component is
    /// refused is as it was.
    pub async fn swap(host: &Host, previous: &Self, crew: &Crew) -> (Self, Swapped) {
        let mut next = previous.successor_of();
        next.refused.clear();
        let mut swapped = Swapped::default();
        let mut all: BTreeMap<Name, Vec<(Use, BTreeSet<Kind>)>> = BTreeMap::new();
        for (used, kinds) in uses(&next.config) {
            all.entry(Arc::clone(&used.plugin)).or_default().push((used, kinds));
        }
        for (name, uses) in all {
            match next.successor(host, previous, &name, &uses, crew).await {
                Ok(None) => {}
                Ok(Some(fit)) => match next.config.plugins.get(&name).and_then(|p| p.canary) {
                    Some(canary) => {
                        next.end_trial(&name);
                        let trial = Trial::begin(fit.uses, fit.source, fit.digest, canary);
                        next.watch(&trial);
                        next.trials.insert(Arc::clone(&name), Arc::new(trial));
                        swapped.tried.insert(name);
                    }
                    None => {
                        next.take(&name, fit.uses);
                        swapped.taken.insert(name);
                    }
                },
                Err(candidate) => {
                    next.end_trial(&name);
                    if !previous.refused.get(&name).is_some_and(|old| Arc::ptr_eq(old, &candidate))
                    {
                        swapped.refused.insert(Arc::clone(&name));
                    }
                    next.refused.insert(name, candidate);
                }
            }
        }
        (next, swapped)
    }

    /// All uses of a plugin with the component that is there by now; none if that is the one that
    /// serves.
    async fn successor(
        &mut self,
        host: &Host,
        previous: &Self,
        name: &Name,
        uses: &[(Use, BTreeSet<Kind>)],
        crew: &Crew,
    ) -> Result<Option<Fit>, Arc<Candidate>> {
        let Some(plugin) = self.config.plugins.get(name) else { return Ok(None) };
        let before = previous.refused.get(name);
        let refused = |source: Option<Source>, digest: Option<Arc<str>>, refusal: Refusal| {
            let refused = Refused::new(plugin, source.clone(), None, refusal);
            let (reason, since) = (refused.to_string(), now());
            Arc::new(Candidate { source, digest, reason, withdrawn: false, since })
        };
        let found = match host.find(&plugin.component) {
            Ok(found) => found,
            Err(refusal) => {
                let candidate = refused(host.source(&plugin.component), None, refusal);
                let same = before.filter(|before| before.reason == candidate.reason);
                return Err(same.map_or(candidate, Arc::clone));
            }
        };
        let digest: Arc<str> = digest(&found.1).into();
        let serves = |used: &Use| {
            let staffed = previous.plugins.get(used);
            staffed.is_some_and(|staffed| staffed.definition.component.digest == digest)
        };
        if uses.iter().all(|(used, _)| serves(used)) {
            // Whatever was on trial is not there any more.
            self.end_trial(name);
            return Ok(None);
        }
        if self.trials.get(name).is_some_and(|trial| trial.digest == digest) {
            return Ok(None);
        }
        // What was judged once is not judged again: that may take minutes.
        if let Some(before) = before.filter(|before| before.digest.as_ref() == Some(&digest)) {
            return Err(Arc::clone(before));
        }
        let staffing = Staffing { host, previous: Some(previous), committed: None, crew };
        let mut successors = Vec::new();
        for (used, kinds) in uses {
            match self.staff(staffing, used, plugin, &found, kinds).await {
                Ok(staffed) => successors.push((used.clone(), staffed)),
                Err(refusal) => return Err(refused(Some(found.0), Some(digest), refusal)),
            }
        }
        Ok(Some(Fit { uses: successors, source: found.0, digest }))
    }
}
