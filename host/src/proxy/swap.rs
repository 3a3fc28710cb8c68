//! Other components under the same configuration.
//!
//! What takes time is made ready by futures that hold what they need, so that whoever has the proxy hears
//! everything meanwhile; what is ready is then served in one step.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::Proxy;
use crate::config::Name;
use crate::plugin::{Committed, Host, Quiet, Vault};
use crate::snapshot::{AllUnused, Back, Judged, Promotion, Snapshot, Stage, Swapped, Verdict};

impl Proxy {
    /// Serves by the components that are in the plugin directory by now, each that is fit, under the
    /// configuration as it is. Open requests go on with those before.
    pub async fn swap(&mut self) -> Swapped {
        let judged = self.judge_components(None).await;
        self.take(judged)
    }

    /// Judges the components that are in the plugin directory by now, of files that are quiet if it is
    /// said which are. Their outcome is to be [taken](Self::take) before others are judged.
    pub fn judge_components(
        &mut self,
        quiet: Option<Quiet>,
    ) -> impl Future<Output = Judged> + use<> {
        self.left.clear();
        let (tools, snapshot) = (self.tools(), self.stage.snapshot());
        async move { snapshot.judge(tools.means(quiet.as_ref())).await }
    }

    /// Serves by components that have been judged.
    pub fn take(&mut self, judged: Judged) -> Swapped {
        let before = self.stage.snapshot();
        let (next, swapped) = before.taking(&self.host, judged, &self.left);
        self.left.clear();
        if next.differs_from(&before) {
            self.show(Arc::new(next));
            self.metrics.forget_unused();
        }
        // What is told of is served by then.
        let next = self.stage.snapshot();
        swapped.refused.iter().for_each(|name| self.tell_refused(name, &next));
        for name in &swapped.tried {
            self.metrics.plugin(name).tried();
        }
        swapped.taken.iter().for_each(|name| self.tell_taken(name));
        swapped
    }

    /// Looks for components that no plugin uses, and judges one of them; they are to be
    /// [listed](Self::list_unused) then. Says also whether there are more to be judged.
    pub fn look_for_unused(&self, quiet: Quiet) -> impl Future<Output = (AllUnused, bool)> + use<> {
        let (host, snapshot) = (Arc::clone(&self.host), self.stage.snapshot());
        let known = self.stage.unused();
        async move { snapshot.unused(&host, &quiet, &known).await }
    }

    /// Tells whoever asks of components that no plugin uses.
    pub fn list_unused(&self, unused: AllUnused) {
        self.stage.list_unused(unused);
    }

    /// Counts and tells of a version that serves by now in place of another.
    pub(super) fn tell_taken(&self, plugin: &Name) {
        self.metrics.plugin(plugin).taken();
        let next = self.stage.snapshot();
        let component = next.config.plugins.get(plugin).map(|plugin| &*plugin.component);
        let version = next.version_of(plugin).unwrap_or_default();
        tracing::info!(plugin = &**plugin, component, version, "plugin swapped");
    }

    /// Serves what is there by now, where it is not what the process before served by.
    pub(super) async fn catch_up(&mut self) {
        let snapshot = self.stage.snapshot();
        let other = snapshot.plugins.values().any(|staffed| {
            let source = self.host.source(&staffed.definition.config.component);
            source.as_ref() != Some(&staffed.source)
        });
        // What was withdrawn may not be there any more.
        if other || !snapshot.refused.is_empty() {
            self.swap().await;
        }
        self.commit(&self.stage.snapshot());
    }

    /// Shows what is to be served from now on. What has answered a single request is on disk before.
    pub(super) fn show(&self, next: Arc<Snapshot>) {
        self.commit(&next);
        self.stage.show(next);
    }

    /// Keeps on disk what serves, for the process after this one.
    fn commit(&self, snapshot: &Snapshot) {
        let Some(vault) = self.host.vault() else { return };
        if let Err(error) = vault.commit(snapshot.committed(), &snapshot.in_reserve()) {
            tracing::warn!("what is served could not be kept: {error}");
        }
    }

    /// Says what a new configuration goes without, if that is news.
    pub(super) fn tell_missing(&self, before: &Snapshot, next: &Snapshot) {
        for (name, candidate) in &next.refused {
            let old = before.refused.get(name);
            if !candidate.withdrawn && !old.is_some_and(|old| Arc::ptr_eq(old, candidate)) {
                self.tell_refused(name, next);
            }
        }
    }

    fn tell_refused(&self, plugin: &Name, next: &Snapshot) {
        self.metrics.plugin(plugin).refused();
        let Some(candidate) = next.refused.get(plugin) else { return };
        let instead = match next.version_of(plugin) {
            Some(_) => "the version before goes on",
            // Only what is called beside another can be missing.
            None => "nothing takes its place",
        };
        tracing::error!("{}; {instead}", candidate.reason);
    }

    /// Withdraws versions that have failed on trial, and says which have passed it.
    pub fn judge(&mut self) -> Vec<Name> {
        let names: Vec<Name> = self.stage.snapshot().trials.keys().cloned().collect();
        let mut fit = Vec::new();
        for name in names {
            let snapshot = self.stage.snapshot();
            match snapshot.verdict(&name) {
                Some(Verdict::Fit) => fit.push(name),
                Some(Verdict::Unfit(reason)) => {
                    if let Some(next) = snapshot.withdrawn(&name, &reason) {
                        self.leave(&name, next);
                    }
                }
                Some(Verdict::Open(_)) | None => {}
            }
        }
        fit
    }

    /// Makes versions ready to take the places of others that have passed their trials; to be
    /// [served](Self::promote) then.
    pub fn prepare_promotions(
        &self,
        plugins: Vec<Name>,
    ) -> impl Future<Output = Vec<Promotion>> + use<> {
        let (tools, snapshot) = (self.tools(), self.stage.snapshot());
        async move {
            let mut ready = Vec::new();
            for plugin in plugins {
                ready.extend(snapshot.promote(tools.means(None), &plugin).await);
            }
            ready
        }
    }

    /// Serves by a version that was on trial, unless something else has become of it meanwhile.
    pub fn promote(&mut self, promotion: Promotion) {
        let (snapshot, name) = (self.stage.snapshot(), Arc::clone(&promotion.plugin));
        match snapshot.promoted(promotion) {
            Some(Ok(next)) => {
                let next = Arc::new(next);
                self.show(Arc::clone(&next));
                self.metrics.plugin(&name).taken();
                let version = next.version_of(&name).unwrap_or_default();
                tracing::info!(plugin = &*name, version, "plugin swapped, after its trial");
                self.metrics.forget_unused();
            }
            Some(Err(reason)) => {
                if let Some(next) = snapshot.withdrawn(&name, &reason) {
                    self.leave(&name, next);
                }
            }
            None => {}
        }
    }

    /// Withdraws the version that is on trial for a plugin; nothing if there is none. With the number of
    /// what is served then.
    pub fn withdraw(&mut self, plugin: &Name) -> Option<u64> {
        let next = self.stage.snapshot().withdrawn(plugin, "by hand")?;
        let generation = next.generation;
        self.left.insert(Arc::clone(plugin));
        self.leave(plugin, next);
        Some(generation)
    }

    /// Makes the version of a plugin before ready to come back; to be [served](Self::go_back) then. An
    /// error says why there is no way back.
    pub fn prepare_way_back(
        &self,
        plugin: &Name,
    ) -> impl Future<Output = Result<Back, String>> + use<> {
        let (tools, snapshot) = (self.tools(), self.stage.snapshot());
        let plugin = Arc::clone(plugin);
        async move { snapshot.version_before(tools.means(None), &plugin).await }
    }

    /// Goes back to the version of a plugin before. Nothing else may have become of the plugin since that
    /// is made ready. With the number of what is served then.
    pub fn go_back(&mut self, plugin: &Name, back: Back) -> u64 {
        let next = self.stage.snapshot().back(plugin, back);
        let generation = next.generation;
        self.left.insert(Arc::clone(plugin));
        let next = Arc::new(next);
        self.show(Arc::clone(&next));
        self.metrics.plugin(plugin).withdrawn();
        let version = next.version_of(plugin).unwrap_or_default();
        tracing::warn!(plugin = &**plugin, version, "rolled back; this version serves all");
        self.metrics.forget_unused();
        generation
    }

    /// Shows a snapshot in which a version of a plugin is on trial no more.
    fn leave(&self, plugin: &Name, next: Snapshot) {
        let next = Arc::new(next);
        self.show(Arc::clone(&next));
        self.metrics.plugin(plugin).withdrawn();
        if let Some(candidate) = next.refused.get(plugin) {
            let version = next.version_of(plugin).unwrap_or_default();
            tracing::warn!(version, "{}; this version serves all", candidate.reason);
        }
        self.metrics.forget_unused();
    }
}

/// What the process before served.
pub(super) fn committed(host: &Host) -> Committed {
    let committed = host.vault().map_or_else(|| Ok(Committed::default()), Vault::committed);
    committed.unwrap_or_else(|error| {
        tracing::warn!("what served before is not known: {error}");
        Committed::default()
    })
}

/// Waits until a version on trial may have been found unfit, or fit if that is of interest; for ever if
/// there is none.
pub(super) async fn verdict(stage: &Stage, host: &Host, promotes: bool) {
    let snapshot = stage.snapshot();
    if snapshot.trials.is_empty() {
        return std::future::pending().await;
    }
    let due = snapshot.trials.keys().filter_map(|name| match snapshot.verdict(name)? {
        Verdict::Open(until) => Some(until),
        Verdict::Fit => promotes.then(Instant::now),
        Verdict::Unfit(_) => Some(Instant::now()),
    });
    let due = due.min();
    let due = async move {
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = due => {}
        () = host.failed().notified() => {}
    }
}
