//! Versions on trial: they serve a share of a plugin's requests, until they are found fit to take its
//! place, or withdrawn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::crew::hands_over;
use super::staffing::{Given, Staffing};
use super::{Means, Refused, Snapshot, Staffed, Use, uses_by_plugin};
use crate::cluster::health::now;
use crate::config::{Canary, Name};
use crate::plugin::{Counted, Found, Source};

/// Calls of either version that have to be measured before their cost is compared.
const COMPARED: u64 = 100;

/// A version on trial.
#[derive(Clone)]
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

/// A version that has passed its trial, made ready to take the plugin's place.
pub struct Promotion {
    /// The plugin.
    pub plugin: Name,
    trial: Arc<Trial>,
    /// Its uses with the state of the version that serves, or why it does not take that.
    ready: Result<Vec<(Use, Staffed)>, String>,
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
    /// Begins a trial.
    pub(super) fn begin(uses: Vec<(Use, Staffed)>, found: &Found, canary: Canary) -> Self {
        let (source, digest) = (found.source.clone(), Arc::clone(&found.digest));
        Self { uses, source, digest, canary, since: now(), begun: Instant::now() }
    }

    /// Whether it is a trial of the same version, which has not begun anew.
    fn is(&self, other: &Self) -> bool {
        self.begun == other.begun && self.digest == other.digest
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

    /// Makes the version on trial ready to take the plugin's place: with the state that the version has by
    /// now that has served most, where both hand it over. What it had when its trial began is old.
    pub async fn promote(&self, means: Means<'_>, plugin: &Name) -> Option<Promotion> {
        let trial = Arc::clone(self.trials.get(plugin)?);
        let config = self.config.plugins.get(plugin)?;
        let inherits = |(used, tried): &(Use, Staffed)| {
            let serving = self.plugins.get(used);
            serving.is_some_and(|serving| hands_over(&serving.definition, &tried.definition))
        };
        let (_, tried) =
            trial.uses.iter().find(|tried| inherits(tried)).or_else(|| trial.uses.first())?;
        let ready = if trial.uses.iter().any(inherits) {
            let uses = uses_by_plugin(&self.config).remove(plugin).unwrap_or_default();
            let served = Some(tried.definition.version());
            let staffing = Staffing { served, ..Staffing::with(means, Some(self)) };
            let given = Given(&trial.source, &tried.definition.component);
            let staffed = self.staff_uses(staffing, config, given, &uses).await;
            staffed.map_err(|(cluster, refusal)| {
                Refused::new(config, Some(trial.source.clone()), cluster, refusal).to_string()
            })
        } else {
            Ok(trial.uses.clone())
        };
        Some(Promotion { plugin: Arc::clone(plugin), trial, ready })
    }

    /// The same with a version in the plugin's place that was on trial. An error says why it is to be
    /// withdrawn; nothing if something else has become of it meanwhile.
    #[must_use]
    pub fn promoted(&self, promotion: Promotion) -> Option<Result<Self, String>> {
        let Promotion { plugin, trial, ready } = promotion;
        let mut next = self.successor_of();
        next.trials.remove(&plugin).filter(|known| known.is(&trial))?;
        if self.verdict(&plugin) != Some(Verdict::Fit) {
            return None;
        }
        Some(ready.map(|uses| {
            next.take(&plugin, uses);
            next
        }))
    }

    pub(super) fn uses_of(&self, plugin: &Name) -> impl Iterator<Item = (&Use, &Staffed)> {
        self.plugins.iter().filter(move |(used, _)| used.plugin == *plugin)
    }

    /// The trial of a plugin that goes on under this configuration: neither version is another by it.
    /// What is asked of the one on trial may be.
    pub(super) fn goes_on(&self, previous: &Self, name: &Name) -> Option<Arc<Trial>> {
        let (plugin, trial) = (self.config.plugins.get(name)?, previous.trials.get(name)?);
        let canary = plugin.canary?;
        let same = |used: &Use| {
            let (now, then) = (self.plugins.get(used), previous.plugins.get(used));
            now.zip(then).is_some_and(|(now, then)| Arc::ptr_eq(&now.definition, &then.definition))
        };
        let all = trial.uses.len() == self.uses_of(name).count();
        let goes_on = all
            && trial.uses.iter().all(|(used, tried)| {
                same(used) && self.keeps(tried, plugin, &tried.definition.kinds)
            });
        goes_on.then(|| {
            if trial.canary == canary {
                return Arc::clone(trial);
            }
            Arc::new(Trial { canary, ..Trial::clone(trial) })
        })
    }

    /// Counts what versions on trial do, and those that serve beside them, from the beginning of each
    /// trial to its end. To be called when this is about to be shown in place of another.
    pub(super) fn count_trials(&self, before: &Self) {
        let lasts = |name: &Name, trial: &Trial, other: &Self| {
            other.trials.get(name).is_some_and(|known| known.is(trial))
        };
        for (_, trial) in before.trials.iter().filter(|(name, trial)| !lasts(name, trial, self)) {
            before.count(trial, false);
        }
        for (_, trial) in self.trials.iter().filter(|(name, trial)| !lasts(name, trial, before)) {
            self.count(trial, true);
        }
    }

    fn count(&self, trial: &Trial, on: bool) {
        for (used, staffed) in &trial.uses {
            staffed.definition.watch(on);
            if let Some(serving) = self.plugins.get(used) {
                serving.definition.watch(on);
            }
        }
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
}
