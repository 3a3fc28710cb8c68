//! Which components the plugins of a configuration serve by, and which are refused.
//!
//! What goes on as it was, does, whatever its file holds by now: other bytes are for
//! [`judge`](Snapshot::judge), as they are when they come alone. With a configuration come only those of
//! a plugin that is configured otherwise by it, unless they were withdrawn or are to be tried first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use futures_util::stream::{self, StreamExt as _};

use super::crew::Inheritance;
use super::{Crew, Means, Refused, Snapshot, Staffed, Use, Uses, uses_by_plugin};
use crate::cluster::health::now;
use crate::config::{self, Instances, Name, State};
use crate::plugin::{
    self, Around, Committed, Component, Definition, Found, Host, Kind, Members, Quiet, Refusal,
    Shared, Source,
};

/// What plugins are staffed with.
#[derive(Clone, Copy)]
pub(super) struct Staffing<'s> {
    pub(super) host: &'s Host,
    pub(super) crew: &'s Crew,
    /// The files that may be read, if not all are.
    pub(super) quiet: Option<&'s Quiet>,
    /// Whose plugins go on where nothing is different, and hand over their state where something is.
    pub(super) previous: Option<&'s Snapshot>,
    /// A version that has served, and can be called therefore.
    pub(super) served: Option<&'s str>,
    /// Whether to begin without the state before rather than not at all, whatever is configured.
    pub(super) fresh: bool,
}

/// A component for a plugin, and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Given<'g>(pub(super) &'g Source, pub(super) &'g Arc<Component>);

/// Bytes that are there, and what has come of compiling them.
type Loaded = (Found, Result<Arc<Component>, Refusal>);

/// Bytes that are refused.
struct Unfit {
    refused: Refused,
    /// Their SHA-256, if there are any.
    digest: Option<Arc<str>>,
}

/// The most components that are compiled at a time.
const AT_ONCE: usize = 4;

fn most_at_once() -> usize {
    available_parallelism().map_or(1, |count| count.get().min(AT_ONCE))
}

impl<'s> Staffing<'s> {
    pub(super) fn with(
        Means { host, crew, quiet, .. }: Means<'s>,
        previous: Option<&'s Snapshot>,
    ) -> Self {
        Self { host, crew, quiet, previous, served: None, fresh: false }
    }
}

impl Snapshot {
    /// Staffs all uses of plugins, and gives those that are refused.
    pub(super) async fn staff_all(
        &mut self,
        means: Means<'_>,
        previous: Option<&Self>,
        committed: &Committed,
    ) -> Vec<Refused> {
        let mut all: Vec<Refused> = Vec::new();
        // Before any state is saved, which would be old when the last one is compiled.
        let mut loaded = self.load_all(means, previous, committed).await;
        for (name, uses) in uses_by_plugin(&self.config) {
            let Some(plugin) = self.config.plugins.get(&name) else { continue };
            let beside = plugin.beside.as_ref();
            // A shadow has the faults of its plugin.
            if beside.is_some_and(|plugin| all.iter().any(|known| known.plugin == *plugin)) {
                continue;
            }
            let previous_of_shadow = previous.filter(|_| beside.is_some());
            let staffing = Staffing::with(means, previous);
            let loaded = loaded.remove(&name);
            match self.staff_plugin(staffing, (committed, loaded), plugin, &uses).await {
                Ok(staffed) => self.plugins.extend(staffed),
                Err(unfit) => match previous_of_shadow {
                    Some(previous) => self.go_without(&unfit.refused, unfit.digest, previous),
                    None => all.push(unfit.refused),
                },
            }
        }
        all
    }

    /// What is there for plugins that do not go on as they were, compiled: several at a time where nothing
    /// serves yet that could be disturbed.
    async fn load_all(
        &self,
        means: Means<'_>,
        previous: Option<&Self>,
        committed: &Committed,
    ) -> BTreeMap<Name, Loaded> {
        let Means { host, quiet, .. } = means;
        let (mut firsts, mut others, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (name, uses) in uses_by_plugin(&self.config) {
            let Some(plugin) = self.config.plugins.get(&name) else { continue };
            if previous.is_some_and(|previous| self.kept(previous, plugin, &uses).is_some()) {
                continue;
            }
            let Ok(found) = host.find(&plugin.component, quiet) else { continue };
            let stays = previous.is_some_and(|previous| {
                previous.serving(plugin).is_some() && previous.keeps_back(plugin, &found)
            });
            let kept = committed.plugins.get(&*plugin.name);
            // Then it is seen first whether what served before can go on.
            let waits = kept.is_some_and(|kept| *kept.digest != *found.digest);
            if !stays && !waits {
                // The same bytes are compiled once, and found when others want them.
                let first = seen.insert(Arc::clone(&found.digest));
                (if first { &mut firsts } else { &mut others }).push((name, found));
            }
        }
        let load = |(name, found): (Name, Found)| async move {
            let component = self.load(host, &found).await;
            (name, (found, component))
        };
        let at_once = if previous.is_none() { most_at_once() } else { 1 };
        let loading = stream::iter(firsts.into_iter().map(load)).buffer_unordered(at_once);
        let mut all: BTreeMap<_, _> = loading.collect().await;
        for each in others {
            all.extend([load(each).await]);
        }
        all
    }

    /// The component of bytes that may serve.
    pub(super) async fn load(&self, host: &Host, found: &Found) -> Result<Arc<Component>, Refusal> {
        self.listed(&found.source, &found.digest)?;
        host.load(found).await
    }

    /// All uses of a plugin by the same bytes: those that serve, those that another process served by,
    /// or those that are there.
    async fn staff_plugin(
        &self,
        staffing: Staffing<'_>,
        (committed, loaded): (&Committed, Option<Loaded>),
        plugin: &config::Plugin,
        uses: &Uses,
    ) -> Result<Vec<(Use, Staffed)>, Box<Unfit>> {
        let Staffing { host, previous, quiet, .. } = staffing;
        if let Some(kept) = previous.and_then(|previous| self.kept(previous, plugin, uses)) {
            return Ok(kept);
        }
        let served = committed.plugins.get(&*plugin.name).map(|kept| &*kept.version);
        let staffing = Staffing { served, ..staffing };
        let (found, component) = match loaded {
            Some((found, component)) => (Ok(found), Some(component)),
            None => (host.find(&plugin.component, quiet), None),
        };
        let digest = found.as_ref().ok().map(|found| Arc::clone(&found.digest));
        if let Some(copy) = Self::copy_of(host, committed, plugin, found.as_ref().ok())
            && let Ok(component) = self.load(host, &copy).await
            && let Ok(staffed) =
                self.staff_uses(staffing, plugin, Given(&copy.source, &component), uses).await
        {
            host.keep(&copy);
            return Ok(staffed);
        }
        let unfit = |source, cluster, refusal| {
            let refused = Refused::new(plugin, source, cluster, refusal);
            Box::new(Unfit { refused, digest: digest.clone() })
        };
        let serving = previous.and_then(|previous| previous.serving(plugin));
        let later = match &found {
            Ok(found) => previous.is_some_and(|previous| previous.keeps_back(plugin, found)),
            Err(refusal) => matches!(refusal, Refusal::Written(_)),
        };
        if let Some(serving) = serving.filter(|_| later) {
            let given = Given(&serving.source, &serving.definition.component);
            let staffed = self.staff_uses(staffing, plugin, given, uses).await;
            return staffed.map_err(|(cluster, refusal)| {
                tracing::warn!(
                    plugin = &*plugin.name,
                    "what is refused is the version that serves"
                );
                unfit(None, cluster, refusal)
            });
        }
        let first = || uses.first().and_then(|(used, _)| used.cluster.clone());
        let found =
            found.map_err(|refusal| unfit(host.source(&plugin.component), first(), refusal))?;
        let component = match component {
            Some(component) => component,
            None => self.load(host, &found).await,
        };
        let refused = |cluster, refusal| unfit(Some(found.source.clone()), cluster, refusal);
        let component = component.map_err(|refusal| refused(first(), refusal))?;
        let given = Given(&found.source, &component);
        let staffed = self.staff_uses(staffing, plugin, given, uses).await;
        let staffed = staffed.map_err(|(cluster, refusal)| refused(cluster, refusal))?;
        host.keep(&found);
        Ok(staffed)
    }

    /// All uses of a plugin, if they all go on as they were.
    pub(super) fn kept(
        &self,
        previous: &Self,
        plugin: &config::Plugin,
        uses: &Uses,
    ) -> Option<Vec<(Use, Staffed)>> {
        let kept = uses.iter().map(|(used, kinds)| {
            let before = previous.plugins.get(used)?;
            let kinds: Vec<Kind> = kinds.iter().copied().collect();
            self.keeps(before, plugin, &kinds).then(|| (used.clone(), before.clone()))
        });
        kept.collect()
    }

    /// What serves as a plugin, under the same name of a component.
    fn serving(&self, plugin: &config::Plugin) -> Option<&Staffed> {
        let mut serving = self.uses_of(&plugin.name).map(|(_, staffed)| staffed);
        serving.find(|staffed| staffed.definition.config.component == plugin.component)
    }

    /// Whether bytes do not come to serve with a configuration: they were withdrawn, or are to be tried
    /// first.
    fn keeps_back(&self, plugin: &config::Plugin, found: &Found) -> bool {
        let refused = self.refused.get(&plugin.name).filter(|candidate| candidate.withdrawn);
        let withdrawn = refused.and_then(|candidate| candidate.digest.as_ref());
        plugin.canary.is_some() || withdrawn == Some(&found.digest)
    }

    /// All uses of a plugin by a component, or the cluster of the first that does not fit, and why.
    pub(super) async fn staff_uses(
        &self,
        staffing: Staffing<'_>,
        plugin: &config::Plugin,
        given: Given<'_>,
        uses: &Uses,
    ) -> Result<Vec<(Use, Staffed)>, (Option<Name>, Refusal)> {
        let mut all = Vec::new();
        for (used, kinds) in uses {
            let staffed = self.staff(staffing, (used, kinds), plugin, given).await;
            all.push((used.clone(), staffed.map_err(|refusal| (used.cluster.clone(), refusal))?));
        }
        Ok(all)
    }

    async fn staff(
        &self,
        staffing: Staffing<'_>,
        (used, kinds): (&Use, &BTreeSet<Kind>),
        plugin: &config::Plugin,
        given: Given<'_>,
    ) -> Result<Staffed, Refusal> {
        let Staffing { host, crew, previous, served, fresh, .. } = staffing;
        let Given(source, component) = given;
        self.listed(source, &component.digest)?;
        let kinds: Vec<Kind> = kinds.iter().copied().collect();
        let before = previous.and_then(|previous| previous.plugins.get(used));
        let same = before.filter(|before| before.definition.component.digest == component.digest);
        if let Some(same) = same.filter(|same| self.keeps(same, plugin, &kinds)) {
            return Ok(Staffed { source: source.clone(), ..same.clone() });
        }
        let definition =
            host.define(plugin, Arc::clone(component), &kinds, self.around(used, plugin))?;
        // Those that the program carries, and what has served, can be called.
        if *source != Source::BuiltIn && served != Some(definition.version()) {
            definition.probe_apart().await?;
        }
        let fresh = fresh || plugin.state == State::Fresh;
        let inheritance = Inheritance { crew, fresh };
        let states = inheritance.states(used, before, &definition).await?;
        staffed(definition, source.clone(), inheritance, states).await
    }

    /// What a use of a plugin finds around it.
    fn around<'a>(&self, used: &'a Use, plugin: &config::Plugin) -> Around<'a> {
        let members = used.cluster.as_ref().and_then(|name| {
            let view: Arc<dyn Members> = self.views.get(name)?.clone();
            Some((name, view))
        });
        let store = |name: &Name| Some((Arc::clone(name), Arc::clone(&self.stores.get(name)?.1)));
        let stores = plugin.grants.stores.iter().filter_map(store).collect();
        Around { members, stores, clusters: Arc::clone(&self.names) }
    }

    /// Whether a component may serve at all.
    pub(super) fn listed(&self, source: &Source, digest: &str) -> Result<(), Refusal> {
        match &self.config.server.require_digest {
            Some(listed)
                if *source != Source::BuiltIn && !listed.iter().any(|one| one == digest) =>
            {
                Err(Refusal::Unlisted(digest.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a version goes on as it was under this configuration: it may serve, it and its stores are
    /// configured alike, and what it may have asked about the others would be answered alike.
    pub(super) fn keeps(&self, before: &Staffed, plugin: &config::Plugin, kinds: &[Kind]) -> bool {
        let definition = &before.definition;
        let component = &definition.component;
        let stores = plugin.grants.stores.iter().all(|name| {
            let now = self.stores.get(name).map(|(_, store)| store);
            now.zip(definition.store(name)).is_some_and(|(now, then)| Arc::ptr_eq(now, then))
        });
        let clusters = !component.asks_clusters || *definition.clusters() == *self.names;
        stores
            && clusters
            && self.listed(&before.source, &component.digest).is_ok()
            && definition.serves(plugin, &plugin::version(plugin, component), kinds)
    }
}

/// Makes the instances that workers begin with.
async fn staffed(
    definition: Arc<Definition>,
    source: Source,
    inheritance: Inheritance<'_>,
    states: Vec<Option<Vec<u8>>>,
) -> Result<Staffed, Refusal> {
    let mut states = states.into_iter();
    let mut next = || states.next().flatten();
    if definition.config.instances == Instances::Shared {
        let only = inheritance.heir(&definition, next()).await?;
        let shared = Some(Shared::new(only));
        let newborns = Arc::default();
        return Ok(Staffed { definition, source, shared, since: now(), newborns });
    }
    let mut newborns = Vec::new();
    for _ in 0..inheritance.crew.size().max(1) {
        newborns.push(Mutex::new(Some(inheritance.heir(&definition, next()).await?)));
    }
    let newborns = newborns.into();
    Ok(Staffed { definition, source, shared: None, since: now(), newborns })
}
