//! What is served is kept on disk, so that a process that begins goes on with what the one before
//! served by, where the plugin directory has nothing that is fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::back::Retired;
use super::{Candidate, Snapshot};
use crate::cluster::health::now;
use crate::config;
use crate::plugin::{Committed, Found, Host, Kept, Left, Source};

impl Snapshot {
    /// What is served, as it is kept.
    #[must_use]
    pub fn committed(&self) -> Committed {
        // A built-in component is there for the next process as well, which has to know of it only where a
        // file would take its place.
        let disputed = |name| self.refused.contains_key(name) || self.trials.contains_key(name);
        let files = self
            .plugins
            .iter()
            .filter(|(used, staffed)| staffed.source != Source::BuiltIn || disputed(&used.plugin));
        let serving = files.map(|(used, staffed)| {
            let definition = &staffed.definition;
            let name = definition.config.component.clone();
            let digest = definition.component.digest.to_string();
            let version = definition.version().to_owned();
            (used.plugin.to_string(), Kept { name, digest, version })
        });
        let left = self.refused.iter().filter(|(_, candidate)| candidate.withdrawn);
        let left = left.filter_map(|(name, candidate)| {
            let digest = candidate.digest.as_ref()?.to_string();
            Some((name.to_string(), Left { digest, reason: candidate.reason.clone() }))
        });
        let before = self.retired.iter().filter_map(|(plugin, retired)| {
            let name = self.config.plugins.get(plugin)?.component.clone();
            let (digest, version) = (retired.digest.to_string(), retired.version.clone());
            Some((plugin.to_string(), Kept { name, digest, version }))
        });
        Committed::new(serving.collect(), before.collect(), left.collect())
    }

    /// What is not listed, and may come to serve without being found again: what is on trial.
    #[must_use]
    pub fn in_reserve(&self) -> BTreeSet<&str> {
        self.trials.values().map(|trial| &*trial.digest).collect()
    }

    /// The component that the process before served a plugin by, where the plugin directory has another
    /// one, or none.
    pub(super) fn copy_of(
        host: &Host,
        committed: &Committed,
        plugin: &config::Plugin,
        found: Option<&Found>,
    ) -> Option<Found> {
        let kept = committed.plugins.get(&*plugin.name)?;
        let same = found.is_some_and(|found| *found.digest == *kept.digest);
        if same || kept.name != plugin.component {
            return None;
        }
        let again = host.find_again(&kept.name, &kept.digest);
        let again = again.inspect_err(|error| {
            let (plugin, digest) = (&*plugin.name, &*kept.digest);
            tracing::warn!(plugin, digest, "the copy of what served before is not used: {error}");
        });
        again.ok()
    }

    /// Knows again what was withdrawn before, and what can be gone back to.
    pub(super) fn remember(&mut self, committed: &Committed) {
        for (name, left) in &committed.left {
            let Some((name, _)) = self.config.plugins.get_key_value(&**name) else { continue };
            let candidate = Candidate {
                source: None,
                digest: Some(left.digest.as_str().into()),
                reason: left.reason.clone(),
                withdrawn: true,
                since: now(),
            };
            self.refused.insert(Arc::clone(name), Arc::new(candidate));
        }
        for (name, plugin) in &self.config.plugins {
            // What that process served by, where something else does by now.
            let served = committed.plugins.get(&**name);
            let served = served.filter(|served| !self.serves(name, &served.digest));
            let kept = served.or_else(|| committed.before.get(&**name));
            let kept = kept.filter(|kept| kept.name == plugin.component);
            if let Some(kept) = kept.filter(|kept| !self.serves(name, &kept.digest)) {
                self.retired.insert(Arc::clone(name), Retired::kept(kept));
            }
        }
    }
}
