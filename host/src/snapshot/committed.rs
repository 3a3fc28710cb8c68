//! What is served is kept on disk, so that a process that begins goes on with what the one before
//! served by, where the plugin directory has nothing that is fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Candidate, Snapshot};
use crate::cluster::health::now;
use crate::config;
use crate::plugin::{self, Committed, Host, Left, Refusal, Source, digest};

/// Bytes of a component, and where they come from.
pub(super) type Found = (Source, Vec<u8>);

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
            (used.plugin.to_string(), plugin::Kept { name, digest, version })
        });
        let left = self.refused.iter().filter(|(_, candidate)| candidate.withdrawn);
        let left = left.filter_map(|(name, candidate)| {
            let digest = candidate.digest.as_ref()?.to_string();
            Some((name.to_string(), Left { digest, reason: candidate.reason.clone() }))
        });
        Committed::new(serving.collect(), left.collect())
    }

    /// What may come to serve without being judged again: what is on trial, and what was before.
    #[must_use]
    pub fn in_reserve(&self) -> BTreeSet<&str> {
        let trials = self.trials.values().map(|trial| &*trial.digest);
        let retired = self.retired.values().flatten();
        trials.chain(retired.map(|(_, definition, _)| &*definition.component.digest)).collect()
    }

    /// The component that the process before served a plugin by, where the plugin directory has another
    /// one, or none.
    pub(super) fn copy_of(
        host: &Host,
        committed: &Committed,
        plugin: &config::Plugin,
        found: Result<&Found, &Refusal>,
    ) -> Option<Found> {
        let kept = committed.plugins.get(&*plugin.name)?;
        let same = found.is_ok_and(|(_, bytes)| digest(bytes) == kept.digest);
        if same || kept.name != plugin.component {
            return None;
        }
        if let Some(bytes) = host.built_in_as(&kept.name, &kept.digest) {
            return Some((Source::BuiltIn, bytes));
        }
        let bytes = host.vault()?.bytes(&kept.digest);
        let bytes = bytes.inspect_err(|error| {
            let (plugin, digest) = (&*plugin.name, &*kept.digest);
            tracing::warn!(plugin, digest, "the copy of what served before is not used: {error}");
        });
        Some((Source::Copy, bytes.ok()?))
    }

    /// Knows again what was withdrawn before.
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
    }
}
