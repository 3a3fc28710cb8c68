//! The way back: to the version of a plugin before, or from one that is on trial.
//!
//! What is left behind is not taken again until its file has other bytes. The version before is judged
//! and made ready anew: what the configuration of the moment would refuse does not come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::staffing::{Given, Staffing};
use super::{Candidate, Means, Refused, Snapshot, Staffed, Use, uses_by_plugin};
use crate::cluster::health::now;
use crate::config::{Config, Name};
use crate::plugin::{Component, Host, Kept, Refusal, Source};

/// A version that another has taken the place of.
#[derive(Clone)]
pub(super) struct Retired {
    pub(super) source: Source,
    /// The SHA-256 of its bytes.
    pub(super) digest: Arc<str>,
    /// A digest of these and its configuration.
    pub(super) version: String,
    /// Nothing if another process served by it: it is loaded when it is asked for.
    component: Option<Arc<Component>>,
}

/// A version that is ready to come back, with its uses.
pub struct Back(Vec<(Use, Staffed)>);

impl Retired {
    pub(super) fn of(staffed: &Staffed) -> Self {
        let component = &staffed.definition.component;
        Self {
            source: match &staffed.source {
                // The file has other bytes by now.
                Source::File(_) | Source::Copy => Source::Copy,
                Source::BuiltIn => Source::BuiltIn,
            },
            digest: Arc::clone(&component.digest),
            version: staffed.definition.version().to_owned(),
            component: Some(Arc::clone(component)),
        }
    }

    /// What another process has served by.
    pub(super) fn kept(kept: &Kept) -> Self {
        let (digest, version) = (kept.digest.as_str().into(), kept.version.clone());
        Self { source: Source::Copy, digest, version, component: None }
    }

    /// Where it comes from, and the component.
    async fn load(&self, host: &Host, name: &str) -> Result<(Source, Arc<Component>), Refusal> {
        if let Some(component) = &self.component {
            return Ok((self.source.clone(), Arc::clone(component)));
        }
        let found = host.find_again(name, &self.digest).map_err(|source| {
            let path = format!("the copy of {name}").into();
            Refusal::Unreadable { path, source }
        })?;
        let component = host.load(&found).await?;
        Ok((found.source, component))
    }
}

impl Snapshot {
    /// The same without the version on trial, which is not tried again; nothing if there is none.
    #[must_use]
    pub fn withdrawn(&self, plugin: &Name, reason: &str) -> Option<Self> {
        let mut next = self.successor_of();
        let trial = next.trials.remove(plugin)?;
        let reason = format!("plugin {plugin:?}: a version on trial is withdrawn: {reason}");
        next.refuse(plugin, trial.source.clone(), Arc::clone(&trial.digest), reason);
        Some(next)
    }

    /// Makes the version of a plugin before ready to come back, with the state of the one that serves
    /// where both hand it over.
    ///
    /// # Errors
    ///
    /// Why there is no way back.
    pub async fn version_before(&self, means: Means<'_>, plugin: &Name) -> Result<Back, String> {
        let none = || format!("there is no version before of plugin {plugin:?}");
        let retired = self.retired.get(plugin).ok_or_else(none)?;
        let config = self.config.plugins.get(plugin).ok_or_else(none)?;
        let uses = uses_by_plugin(&self.config).remove(plugin).unwrap_or_default();
        let refused = |source, cluster, refusal| {
            let refused = Refused::new(config, source, cluster, refusal);
            format!("the version before is refused by now: {refused}")
        };
        let (source, component) = retired
            .load(means.host, &config.component)
            .await
            .map_err(|refusal| refused(None, None, refusal))?;
        let served = Some(&*retired.version);
        let staffing = Staffing { served, fresh: true, ..Staffing::with(means, Some(self)) };
        let given = Given(&source, &component);
        let staffed = self.staff_uses(staffing, config, given, &uses).await;
        let staffed = staffed
            .map_err(|(cluster, refusal)| refused(Some(source.clone()), cluster, refusal))?;
        Ok(Back(staffed))
    }

    /// The same with the version before in a plugin's place.
    #[must_use]
    pub fn back(&self, plugin: &Name, back: Back) -> Self {
        let mut next = self.successor_of();
        let left = self.uses_of(plugin).next().map(|(_, left)| left);
        // What is refused is what its file holds; the version that is left behind is not there then.
        let other = self.refused.get(plugin).is_some_and(|refused| refused.digest.is_some());
        if let Some(left) = left.filter(|_| !other) {
            let digest = Arc::clone(&left.definition.component.digest);
            let reason = format!("plugin {plugin:?}: a version is rolled back");
            next.refuse(plugin, left.source.clone(), digest, reason);
        }
        self.uses_of(plugin).for_each(|(_, staffed)| staffed.definition.retire());
        next.plugins.extend(from_now(back.0));
        next.retired.remove(plugin);
        next.compare();
        next
    }

    /// Puts a version in a plugin's place.
    pub(super) fn take(&mut self, plugin: &Name, uses: Vec<(Use, Staffed)>) {
        self.uses_of(plugin).for_each(|(_, staffed)| staffed.definition.retire());
        let retired = self.uses_of(plugin).next().map(|(_, staffed)| Retired::of(staffed));
        if let Some(retired) = retired {
            self.retired.insert(Arc::clone(plugin), retired);
        }
        self.plugins.extend(from_now(uses));
        self.compare();
    }

    /// Bytes that have served, or were about to, and are not to be taken again.
    pub(super) fn refuse(
        &mut self,
        plugin: &Name,
        source: Source,
        digest: Arc<str>,
        reason: String,
    ) {
        let candidate = Candidate {
            source: Some(source),
            digest: Some(digest),
            reason,
            withdrawn: true,
            since: now(),
        };
        self.refused.insert(Arc::clone(plugin), Arc::new(candidate));
    }

    /// The SHA-256 of the bytes that a plugin serves by, in all its uses.
    fn digest_of(&self, plugin: &Name) -> Option<&str> {
        let mut uses = self.uses_of(plugin);
        uses.next().map(|(_, staffed)| &*staffed.definition.component.digest)
    }

    /// Whether a plugin serves by these bytes.
    pub(super) fn serves(&self, plugin: &Name, digest: &str) -> bool {
        self.digest_of(plugin) == Some(digest)
    }

    /// Goes on with what was withdrawn, what is on trial, and what served before, under the configuration
    /// before: whatever else it makes of a plugin, as long as that is the same component.
    pub(super) fn carry_on(&mut self, previous: &Self) {
        let names = self.config.plugins.keys();
        let same =
            |name: &&Name| component(&self.config, name) == component(&previous.config, name);
        let names: Vec<Name> = names.filter(same).cloned().collect();
        let mut trials = BTreeMap::new();
        for name in names {
            let withdrawn = previous.refused.get(&name).filter(|candidate| candidate.withdrawn);
            let digest = withdrawn.and_then(|candidate| candidate.digest.as_deref());
            if let Some((left, digest)) = withdrawn.zip(digest)
                && !self.serves(&name, digest)
            {
                self.refused.insert(Arc::clone(&name), Arc::clone(left));
            }
            if let Some(trial) = self.goes_on(previous, &name) {
                trials.insert(Arc::clone(&name), trial);
            }
            let before = previous.uses_of(&name).next().filter(|_| self.replaces(previous, &name));
            let retired = before.map(|(_, staffed)| Retired::of(staffed));
            if let Some(retired) = retired.or_else(|| previous.retired.get(&name).cloned()) {
                self.retired.insert(name, retired);
            }
        }
        self.trials = trials;
    }

    /// The plugins that serve by other bytes of the component that they had.
    #[must_use]
    pub fn replaced(&self, before: &Self) -> Vec<Name> {
        let names = self.config.plugins.keys();
        names.filter(|name| self.replaces(before, name)).cloned().collect()
    }

    fn replaces(&self, before: &Self, plugin: &Name) -> bool {
        let digests = self.digest_of(plugin).zip(before.digest_of(plugin));
        component(&self.config, plugin) == component(&before.config, plugin)
            && digests.is_some_and(|(now, then)| now != then)
    }
}

/// Uses that begin to serve, however long they have been ready.
fn from_now(uses: Vec<(Use, Staffed)>) -> impl Iterator<Item = (Use, Staffed)> {
    uses.into_iter().map(|(used, staffed)| (used, Staffed { since: now(), ..staffed }))
}

/// The name of a plugin's component.
fn component<'c>(config: &'c Config, plugin: &Name) -> Option<&'c str> {
    config.plugins.get(plugin).map(|plugin| &*plugin.component)
}
