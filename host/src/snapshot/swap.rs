//! Components that take the places of others while the configuration stays.
//!
//! Each plugin is judged by itself: one that is refused goes on as it was, and keeps nobody else's
//! successor from serving. All uses of a plugin change together. Judging takes its time, in which other
//! things may happen to what is served; its outcome is for what is served then.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::staffing::{Given, Staffing};
use super::{Means, Refused, Snapshot, Staffed, Trial, Use, Uses, uses_by_plugin};
use crate::cluster::health::now;
use crate::config::{self, Name};
use crate::plugin::{Component, Found, Host, Refusal, Source};

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

/// What has come of judging the components that are there.
pub struct Judged(Vec<(Name, Outcome)>);

/// The same of a plugin's.
enum Outcome {
    /// It is the one that serves.
    Serves(Source, Arc<str>),
    /// It is on trial.
    Tried(Arc<str>),
    /// It is refused, now or before.
    Refused(Arc<Candidate>),
    /// It is fit to take the plugin's place.
    Fit(Vec<(Use, Staffed)>, Found),
    /// Somebody writes to its file.
    Open,
}

/// What has come of looking for a plugin's component.
enum Looked {
    /// There is nothing to be tried.
    Decided(Outcome),
    /// Other bytes, which are a component.
    New(Found, Arc<Component>),
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
        let refused = self.refused.iter().any(|(name, candidate)| {
            let old = before.refused.get(name);
            !old.is_some_and(|old| Arc::ptr_eq(old, candidate))
        });
        let plugins = self.plugins.iter().any(|(used, staffed)| {
            let old = before.plugins.get(used);
            !old.is_some_and(|old| {
                Arc::ptr_eq(&old.definition, &staffed.definition) && old.source == staffed.source
            })
        });
        let trials = self.trials.iter().any(|(name, trial)| {
            let old = before.trials.get(name);
            !old.is_some_and(|old| Arc::ptr_eq(old, trial))
        });
        plugins
            || trials
            || refused
            || self.trials.len() != before.trials.len()
            || self.refused.len() != before.refused.len()
    }

    /// Judges the components that are there by now, under the same configuration.
    pub async fn judge(&self, means: Means<'_>) -> Judged {
        let mut all = Vec::new();
        // Before any state is saved, which would be old when the last one is compiled.
        for (name, uses) in uses_by_plugin(&self.config) {
            let looked = self.look(means, &name).await;
            all.push((name, uses, looked));
        }
        let mut outcomes = Vec::new();
        for (name, uses, looked) in all {
            let outcome = match looked {
                Looked::Decided(outcome) => outcome,
                Looked::New(found, component) => {
                    self.try_out(means, (&name, &uses), found, &component).await
                }
            };
            outcomes.push((name, outcome));
        }
        Judged(outcomes)
    }

    /// The same with what was found fit in the places of others, or on trial. What is refused leaves a
    /// plugin as it is, and so does whatever was judged for those that somebody has meanwhile gone
    /// back from a version of, which are the `left`: that is what was wanted last.
    #[must_use]
    pub fn taking(&self, host: &Host, judged: Judged, left: &BTreeSet<Name>) -> (Self, Swapped) {
        let mut next = self.successor_of();
        let mut swapped = Swapped::default();
        for (name, outcome) in judged.0 {
            match outcome {
                Outcome::Open => {}
                Outcome::Serves(source, digest) => {
                    // Another may by now: one that was gone back to.
                    if next.serves(&name, &digest) {
                        next.settle(&name, Some(&source));
                        // Whatever was on trial is not there any more.
                        next.trials.remove(&name);
                    }
                }
                Outcome::Tried(digest) => {
                    if next.trials.get(&name).is_some_and(|trial| trial.digest == digest) {
                        next.settle(&name, None);
                    }
                }
                Outcome::Refused(candidate) => {
                    next.trials.remove(&name);
                    let known = self.refused.get(&name);
                    if !known.is_some_and(|known| Arc::ptr_eq(known, &candidate)) {
                        swapped.refused.insert(Arc::clone(&name));
                    }
                    next.refused.insert(name, candidate);
                }
                Outcome::Fit(_, found) if left.contains(&name) => {
                    let reason = format!(
                        "plugin {name:?}: a version that was being made ready is left: another was \
                         rolled back or withdrawn by hand meanwhile"
                    );
                    next.refuse(&name, found.source, found.digest, reason);
                }
                Outcome::Fit(uses, found) => {
                    // Not before: whatever else is shown meanwhile removes copies of what does not serve.
                    host.keep(&found);
                    next.settle(&name, None);
                    match next.config.plugins.get(&name).and_then(|plugin| plugin.canary) {
                        Some(canary) => {
                            let trial = Trial::begin(uses, &found, canary);
                            next.trials.insert(Arc::clone(&name), Arc::new(trial));
                            swapped.tried.insert(name);
                        }
                        None => {
                            next.take(&name, uses);
                            swapped.taken.insert(name);
                        }
                    }
                }
            }
        }
        (next, swapped)
    }

    /// Nothing is refused of a plugin any more, which comes from there.
    fn settle(&mut self, plugin: &Name, source: Option<&Source>) {
        self.refused.remove(plugin);
        let Some(source) = source else { return };
        let uses = self.plugins.iter_mut().filter(|(used, _)| used.plugin == *plugin);
        uses.for_each(|(_, staffed)| staffed.source = source.clone());
    }

    /// Looks for a plugin's component.
    async fn look(&self, means: Means<'_>, name: &Name) -> Looked {
        let decided = Looked::Decided;
        let Some(plugin) = self.config.plugins.get(name) else { return decided(Outcome::Open) };
        let host = means.host;
        let before = self.refused.get(name);
        let found = match host.find(&plugin.component, means.quiet) {
            Ok(found) => found,
            Err(Refusal::Written(_)) => return decided(Outcome::Open),
            Err(refusal) => {
                let candidate = refused(plugin, host.source(&plugin.component), None, refusal);
                let same = before.filter(|before| before.reason == candidate.reason);
                return decided(Outcome::Refused(same.map_or(candidate, Arc::clone)));
            }
        };
        let digest = &found.digest;
        if self.serves(name, digest) {
            return decided(Outcome::Serves(found.source, found.digest));
        }
        if self.trials.get(name).is_some_and(|trial| trial.digest == *digest) {
            return decided(Outcome::Tried(found.digest));
        }
        // What was judged once is not judged again: that may take minutes.
        if let Some(before) = before.filter(|before| before.digest.as_ref() == Some(digest)) {
            return decided(Outcome::Refused(Arc::clone(before)));
        }
        let (plugin_name, component) = (&**name, &*plugin.component);
        tracing::info!(plugin = plugin_name, component, digest = &**digest, "plugin judged");
        match self.load(host, &found).await {
            Ok(component) => Looked::New(found, component),
            Err(refusal) => decided(unfit(plugin, found, refusal)),
        }
    }

    /// Makes a plugin's new component ready.
    async fn try_out(
        &self,
        means: Means<'_>,
        (name, uses): (&Name, &Uses),
        found: Found,
        component: &Arc<Component>,
    ) -> Outcome {
        let Some(plugin) = self.config.plugins.get(name) else { return Outcome::Open };
        let staffing = Staffing::with(means, Some(self));
        let given = Given(&found.source, component);
        match self.staff_uses(staffing, plugin, given, uses).await {
            Ok(staffed) => Outcome::Fit(staffed, found),
            Err((_, refusal)) => unfit(plugin, found, refusal),
        }
    }
}

/// What is there, and refused.
fn unfit(plugin: &config::Plugin, found: Found, refusal: Refusal) -> Outcome {
    Outcome::Refused(refused(plugin, Some(found.source), Some(found.digest), refusal))
}

fn refused(
    plugin: &config::Plugin,
    source: Option<Source>,
    digest: Option<Arc<str>>,
    refusal: Refusal,
) -> Arc<Candidate> {
    let refused = Refused::new(plugin, source.clone(), None, refusal);
    let (reason, since) = (refused.to_string(), now());
    Arc::new(Candidate { source, digest, reason, withdrawn: false, since })
}
