//! Plugins that are called beside others: which uses they have, what comes of one that is refused, and
//! what is counted of them.
//!
//! To a snapshot they are plugins like all, with a name of their own: found, judged, staffed and swapped
//! likewise. But what decides does not depend on them: one that is refused keeps nothing from serving
//! that serves already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Candidate, Refused, Snapshot, Use};
use crate::cluster::health::now;
use crate::config::{Config, Name};
use crate::plugin::{Comparison, Kind};

/// A version of a plugin, and one of its shadow.
pub struct Pair {
    /// What comes of asking both.
    pub comparison: Arc<Comparison>,
    /// Since when, in milliseconds since this process began.
    pub since: u64,
    /// The numbers of their definitions.
    between: BTreeSet<u64>,
}

/// Adds the uses of what is called beside others: the same as theirs.
pub(super) fn add_uses(config: &Config, uses: &mut BTreeMap<Use, BTreeSet<Kind>>) {
    let beside = |plugin: &Name| config.plugins.get(plugin)?.beside.clone();
    for shadow in config.plugins.keys() {
        let Some(plugin) = beside(shadow) else { continue };
        let theirs = uses.iter().filter(|(used, _)| used.plugin == plugin);
        let own = theirs.map(|(used, kinds)| {
            (Use { plugin: Arc::clone(shadow), cluster: used.cluster.clone() }, kinds.clone())
        });
        let own: Vec<_> = own.collect();
        uses.extend(own);
    }
}

impl Snapshot {
    /// What comes of calling another beside a plugin.
    #[must_use]
    pub fn pair(&self, plugin: &str) -> Option<&Arc<Pair>> {
        self.pairs.get(plugin)
    }

    /// The uses of plugins that others are called beside, each with the use of that other.
    pub fn shadowed(&self) -> impl Iterator<Item = (Use, &Use, &Arc<Pair>)> {
        self.plugins.iter().filter_map(|(shadow, staffed)| {
            let plugin = staffed.definition.config.beside.clone()?;
            let pair = self.pair(&plugin)?;
            Some((Use { plugin, cluster: shadow.cluster.clone() }, shadow, pair))
        })
    }

    /// Begins to compare what has not been compared before: it is counted from nothing.
    pub(super) fn compare(&mut self) {
        let mut pairs = BTreeMap::new();
        for (shadow, plugin) in &self.config.plugins {
            let Some(plugin) = &plugin.beside else { continue };
            let staffed = self.uses_of(plugin).next().zip(self.uses_of(shadow).next());
            let Some(((_, serving), _)) = staffed else { continue };
            let both = self.uses_of(plugin).chain(self.uses_of(shadow));
            let between: BTreeSet<u64> = both.map(|(_, staffed)| staffed.definition.id).collect();
            let known = self.pairs.get(plugin).filter(|known| known.between == between).cloned();
            let pair = known.unwrap_or_else(|| {
                let comparison = Arc::new(Comparison::with(&serving.definition));
                Arc::new(Pair { comparison, since: now(), between })
            });
            pairs.insert(Arc::clone(plugin), pair);
        }
        self.pairs = pairs;
    }

    /// Does without a shadow that is refused.
    pub(super) fn go_without(
        &mut self,
        refused: &Refused,
        digest: Option<Arc<str>>,
        previous: &Self,
    ) {
        let name = &refused.plugin;
        let (source, reason) = (refused.source.clone(), refused.to_string());
        let known = previous.refused.get(name);
        let known = known.filter(|known| known.digest == digest && known.reason == reason).cloned();
        let candidate = known.unwrap_or_else(|| {
            Arc::new(Candidate { source, digest, reason, withdrawn: false, since: now() })
        });
        self.refused.insert(Arc::clone(name), candidate);
    }
}
