//! Components that take the places of others while the configuration stays.
//!
//! Each plugin is judged by itself: one that is refused goes on as it was, and keeps nobody else's
//! successor from serving. All uses of a plugin change together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Refused, Snapshot, Staffed, Staffing, Use, uses};
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
    /// Since when, in milliseconds since this process began.
    pub since: u64,
}

/// What has come of looking for components.
#[derive(Debug, Default)]
pub struct Swapped {
    /// The plugins that serve by another version.
    pub taken: BTreeSet<Name>,
    /// Those whose successor is refused, if that is news.
    pub refused: BTreeSet<Name>,
}

impl Swapped {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.refused.is_empty()
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
        plugins || self.refused.len() != before.refused.len() || !self.refused.iter().all(same)
    }

    /// The same configuration with the components that are there by now. A plugin whose component is
    /// refused is as it was.
    pub async fn swap(host: &Host, previous: &Self, workers: usize) -> (Self, Swapped) {
        let mut next = Self {
            generation: previous.generation + 1,
            config: previous.config.clone(),
            clusters: previous.clusters.clone(),
            addresses: previous.addresses.clone(),
            listening: previous.listening.clone(),
            names: Arc::clone(&previous.names),
            unresolved: previous.unresolved.clone(),
            views: previous.views.clone(),
            plugins: previous.plugins.clone(),
            stores: previous.stores.clone(),
            refused: BTreeMap::new(),
        };
        let mut swapped = Swapped::default();
        let mut all: BTreeMap<Name, Vec<(Use, BTreeSet<Kind>)>> = BTreeMap::new();
        for (used, kinds) in uses(&next.config) {
            all.entry(Arc::clone(&used.plugin)).or_default().push((used, kinds));
        }
        for (name, uses) in all {
            match next.successor(host, previous, &name, &uses, workers).await {
                Ok(None) => {}
                Ok(Some(staffed)) => {
                    next.plugins.extend(staffed);
                    swapped.taken.insert(name);
                }
                Err(candidate) => {
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
        &self,
        host: &Host,
        previous: &Self,
        name: &Name,
        uses: &[(Use, BTreeSet<Kind>)],
        workers: usize,
    ) -> Result<Option<Vec<(Use, Staffed)>>, Arc<Candidate>> {
        let Some(plugin) = self.config.plugins.get(name) else { return Ok(None) };
        let before = previous.refused.get(name);
        let refused = |source: Option<Source>, digest: Option<Arc<str>>, refusal: Refusal| {
            let refused = Refused {
                plugin: Arc::clone(name),
                component: plugin.component.clone(),
                source: source.clone(),
                cluster: None,
                refusal,
            };
            let (reason, since) = (refused.to_string(), now());
            Arc::new(Candidate { source, digest, reason, since })
        };
        let (source, bytes) = match host.find(&plugin.component) {
            Ok(found) => found,
            Err(refusal) => {
                let candidate = refused(host.source(&plugin.component), None, refusal);
                let same = before.filter(|before| before.reason == candidate.reason);
                return Err(same.map_or(candidate, Arc::clone));
            }
        };
        let digest: Arc<str> = digest(&bytes).into();
        let serves = |used: &Use| {
            let staffed = previous.plugins.get(used);
            staffed.is_some_and(|staffed| staffed.definition.component.digest == digest)
        };
        if uses.iter().all(|(used, _)| serves(used)) {
            return Ok(None);
        }
        // What was judged once is not judged again: that may take minutes.
        if let Some(before) = before.filter(|before| before.digest.as_ref() == Some(&digest)) {
            return Err(Arc::clone(before));
        }
        let staffing = Staffing { host, previous: Some(previous), workers };
        let mut successors = Vec::new();
        for (used, kinds) in uses {
            match self.staff(staffing, used, plugin, (&source, &bytes), kinds).await {
                Ok(staffed) => successors.push((used.clone(), staffed)),
                Err(refusal) => return Err(refused(Some(source), Some(digest), refusal)),
            }
        }
        Ok(Some(successors))
    }
}
