//! Versions on trial: they serve a share of a plugin's requests, until they are found fit to take its
//! place, or withdrawn. And the way back to the version before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::crew::Inheritance;
use super::{Candidate, Crew, Snapshot, Staffed, Use, staffed};
use crate::cluster::health::now;
use crate::config::{Canary, Name};
use crate::plugin::{Counted, Definition, Kind, Source, digest};

/// Calls of either version that have to be measured before their cost is compared.
const COMPARED: u64 = 100;

/// A version of a plugin that another has taken the place of: its uses.
pub(super) type Retired = Vec<(Use, Arc<Definition>, Source)>;

/// A version on trial.
pub struct Trial {
    /// All uses of the plugin.
    pub uses: Vec<(Use, Staffed)>,
    /// Where its bytes come from.
    pub source: Source,
    /// Their SHA-256.
    pub digest: Arc<str>,
    /// What is asked of it.
    pub canary: Canary,
    /// Since when, in milliseconds since this process began.
    pub since: u64,
    begun: Instant,
}

/// What is known of a version on trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing yet, and when it is to be asked again.
    Open(Instant),
    /// It takes the plugin's place.
    Fit,
    /// It does not, for this reason.
    Unfit(String),
}

impl Trial {
    /// Begins a trial: both versions are counted from now on.
    pub(super) fn begin(
        uses: Vec<(Use, Staffed)>,
        source: Source,
        digest: Arc<str>,
        canary: Canary,
    ) -> Self {
        uses.iter().for_each(|(_, staffed)| staffed.definition.watch(true));
        Self { uses, source, digest, canary, since: now(), begun: Instant::now() }
    }

    /// What it has done so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.uses
            .iter()
            .map(|(_, staffed)| staffed.definition.counted())
            .fold(Counted::default(), Counted::and)
    }

    /// Judges it, beside what the version that serves has done meanwhile.
    fn judge(&self, serving: Counted) -> Verdict {
        let (counted, canary) = (self.counted(), &self.canary);
        if counted.failures > canary.max_failures {
            let (failures, calls, most) = (counted.failures, counted.calls, canary.max_failures);
            return Verdict::Unfit(format!(
                "{failures} of its {calls} calls failed (max-failures = {most})"
            ));
        }
        let end = self.begun + canary.period;
        if Instant::now() < end {
            return Verdict::Open(end);
        }
        if counted.calls == 0 {
            // That nobody has asked it says nothing.
            return Verdict::Open(Instant::now() + Duration::from_secs(1));
        }
        let enough = counted.measured.min(serving.measured) >= COMPARED;
        match (counted.mean(), serving.mean()) {
            (Some(mean), Some(usual)) if enough && mean > canary.most(usual) => {
                let percent = canary.max_cost / 100;
                Verdict::Unfit(format!(
                    "a call takes {mean:?}, and one of the version that serves {usual:?} \
                     (max-cost = \"{percent}%\")"
                ))
            }
            _ => Verdict::Fit,
        }
    }
}

impl Snapshot {
    /// The verdict on the version that is on trial for a plugin.
    #[must_use]
    pub fn verdict(&self, plugin: &Name) -> Option<Verdict> {
        let trial = self.trials.get(plugin)?;
        Some(trial.judge(self.counted_beside(trial)))
    }

    /// What the version that serves has done since a trial began.
    #[must_use]
    pub fn counted_beside(&self, trial: &Trial) -> Counted {
        let serving = trial.uses.iter().filter_map(|(used, _)| self.plugins.get(used));
        serving.map(|staffed| staffed.definition.counted()).fold(Counted::default(), Counted::and)
    }

    /// The version on trial for a use, and its share of the requests, in hundredths of a percent.
    #[must_use]
    pub fn on_trial(&self, used: &Use) -> Option<(&Staffed, u32)> {
        let trial = self.trials.get(&used.plugin)?;
        let (_, staffed) = trial.uses.iter().find(|(tried, _)| tried == used)?;
        Some((staffed, trial.canary.share))
    }

    /// The same with the version on trial in the plugin's place.
    #[must_use]
    pub fn promoted(&self, plugin: &Name) -> Option<Self> {
        let mut next = self.successor_of();
        let trial = next.trials.remove(plugin)?;
        next.stop_watching(&trial);
        next.take(plugin, trial.uses.clone());
        Some(next)
    }

    /// The same without the version on trial, which is not tried again.
    #[must_use]
    pub fn withdrawn(&self, plugin: &Name, reason: &str) -> Option<Self> {
        let mut next = self.successor_of();
        let trial = next.trials.remove(plugin)?;
        next.stop_watching(&trial);
        let reason = format!("plugin {plugin:?}: a version on trial is withdrawn: {reason}");
        next.refuse(plugin, trial.source.clone(), Arc::clone(&trial.digest), reason);
        Some(next)
    }

    /// The same with the version before in a plugin's place, or without the one on trial if there is
    /// one. What is left behind is not taken again until there are other bytes.
    ///
    /// # Errors
    ///
    /// Why there is no way back.
    pub async fn rolled_back(&self, plugin: &Name, crew: &Crew) -> Result<Self, String> {
        if let Some(next) = self.withdrawn(plugin, "by hand") {
            return Ok(next);
        }
        let none = || format!("there is no version before of plugin {plugin:?}");
        let retired = self.retired.get(plugin).ok_or_else(none)?;
        let serving: BTreeSet<&Use> = self.uses_of(plugin).map(|(used, _)| used).collect();
        let config = self.config.plugins.get(plugin).ok_or_else(none)?;
        let fits = |(used, definition, _): &(Use, Arc<Definition>, Source)| {
            let kinds = self.plugins.get(used).map(|staffed| &staffed.definition.kinds[..]);
            definition.serves(config, definition.version(), kinds.unwrap_or_default())
        };
        if retired.len() != serving.len() || !retired.iter().all(fits) {
            return Err(format!(
                "the version before of plugin {plugin:?} was configured otherwise"
            ));
        }
        let mut before = Vec::new();
        for (used, definition, source) in retired {
            let inheritance = Inheritance { crew, fresh: true };
            let states = inheritance.states(used, self.plugins.get(used), definition).await;
            let states = states.map_err(|refusal| refusal.to_string())?;
            let back = staffed(Arc::clone(definition), source.clone(), inheritance, states).await;
            before.push((used.clone(), back.map_err(|refusal| refusal.to_string())?));
        }
        let mut next = self.successor_of();
        let left = self.uses_of(plugin).next();
        if let Some((_, left)) = left {
            let digest = Arc::clone(&left.definition.component.digest);
            let reason = format!("plugin {plugin:?}: a version is rolled back");
            next.refuse(plugin, left.source.clone(), digest, reason);
        }
        next.plugins.extend(before);
        next.retired.remove(plugin);
        next.compare();
        Ok(next)
    }

    /// Puts a version in a plugin's place.
    pub(super) fn take(&mut self, plugin: &Name, uses: Vec<(Use, Staffed)>) {
        let retired: Retired = self
            .uses_of(plugin)
            .map(|(used, staffed)| {
                staffed.definition.retire();
                (used.clone(), Arc::clone(&staffed.definition), staffed.source.clone())
            })
            .collect();
        self.retired.insert(Arc::clone(plugin), retired);
        self.plugins.extend(uses);
        self.compare();
    }

    pub(super) fn uses_of(&self, plugin: &Name) -> impl Iterator<Item = (&Use, &Staffed)> {
        self.plugins.iter().filter(move |(used, _)| used.plugin == *plugin)
    }

    fn refuse(&mut self, plugin: &Name, source: Source, digest: Arc<str>, reason: String) {
        let candidate = Candidate {
            source: Some(source),
            digest: Some(digest),
            reason,
            withdrawn: true,
            since: now(),
        };
        self.refused.insert(Arc::clone(plugin), Arc::new(candidate));
    }

    /// What a later snapshot begins with: all that this one has.
    pub(super) fn successor_of(&self) -> Self {
        Self {
            generation: self.generation + 1,
            config: self.config.clone(),
            clusters: self.clusters.clone(),
            addresses: self.addresses.clone(),
            listening: self.listening.clone(),
            names: Arc::clone(&self.names),
            unresolved: self.unresolved.clone(),
            views: self.views.clone(),
            plugins: self.plugins.clone(),
            stores: self.stores.clone(),
            recorders: self.recorders.clone(),
            refused: self.refused.clone(),
            trials: self.trials.clone(),
            pairs: self.pairs.clone(),
            retired: self.retired.clone(),
        }
    }

    /// A plugin that a new configuration leaves as it is, although its file holds other bytes: those
    /// were withdrawn, or are to be tried first.
    pub(super) fn stays(
        &self,
        previous: Option<&Self>,
        used: &Use,
        kinds: &BTreeSet<Kind>,
        bytes: &[u8],
    ) -> Option<Staffed> {
        let (previous, config) = (previous?, self.config.plugins.get(&used.plugin)?);
        let before = previous.plugins.get(used)?;
        let kinds: Vec<Kind> = kinds.iter().copied().collect();
        let component = &before.definition.component;
        let digest = digest(bytes);
        if *component.digest == *digest {
            return None;
        }
        let candidate = previous.refused.get(&used.plugin);
        let withdrawn = candidate.is_some_and(|candidate| {
            candidate.withdrawn && candidate.digest.as_deref() == Some(&*digest)
        });
        let stays = (withdrawn || config.canary.is_some())
            && self.keeps(before, config, component, &kinds, Some(previous));
        stays.then(|| before.clone())
    }

    /// Goes on with what was withdrawn and what is on trial under the configuration before, where the
    /// plugin is what it was.
    pub(super) fn carry_on(&mut self, previous: Option<&Self>) {
        let Some(previous) = previous else { return };
        let same = |used: &Use| {
            let (now, then) = (self.plugins.get(used), previous.plugins.get(used));
            now.zip(then).is_some_and(|(now, then)| Arc::ptr_eq(&now.definition, &then.definition))
        };
        let stays = |name: &Name| previous.uses_of(name).all(|(used, _)| same(used));
        let refused = previous.refused.iter().filter(|(name, old)| old.withdrawn && stays(name));
        let refused: Vec<_> =
            refused.map(|(name, old)| (Arc::clone(name), Arc::clone(old))).collect();
        let (on, over): (Vec<_>, Vec<_>) = previous.trials.iter().partition(|(name, _)| {
            let config = self.config.plugins.get(*name);
            config.is_some_and(|config| config.canary.is_some()) && stays(name)
        });
        over.iter().for_each(|(_, trial)| previous.stop_watching(trial));
        let on: Vec<_> =
            on.into_iter().map(|(name, trial)| (Arc::clone(name), Arc::clone(trial))).collect();
        self.refused.extend(refused);
        self.trials.extend(on);
        let config = &self.config;
        self.retired.retain(|name, _| config.plugins.contains_key(name));
    }

    /// Ends a trial without a verdict.
    pub(super) fn end_trial(&mut self, plugin: &Name) {
        if let Some(trial) = self.trials.remove(plugin) {
            self.stop_watching(&trial);
        }
    }

    /// Counts the version that serves as well.
    pub(super) fn watch(&self, trial: &Trial) {
        for (used, _) in &trial.uses {
            if let Some(serving) = self.plugins.get(used) {
                serving.definition.watch(true);
            }
        }
    }

    /// Both versions of a trial that has ended are not counted any more.
    pub(super) fn stop_watching(&self, trial: &Trial) {
        for (used, staffed) in &trial.uses {
            staffed.definition.watch(false);
            if let Some(serving) = self.plugins.get(used) {
                serving.definition.watch(false);
            }
        }
    }
}
