//! Other components under the same configuration.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::Proxy;
use crate::config::Name;
use crate::plugin::{Committed, Host, Source, Vault};
use crate::snapshot::{Snapshot, Stage, Swapped, Verdict};

impl Proxy {
    /// Serves by the components that are in the plugin directory by now, each that is fit, under the
    /// configuration as it is. Open requests go on with those before.
    pub async fn swap(&mut self) -> Swapped {
        let before = self.stage.snapshot();
        let (next, swapped) = Snapshot::swap(&self.host, &before, &self.crew).await;
        swapped.refused.iter().for_each(|name| self.tell_refused(name, &next));
        for name in &swapped.taken {
            self.metrics.plugin(name).taken();
        }
        for name in &swapped.tried {
            self.metrics.plugin(name).tried();
        }
        if next.differs_from(&before) {
            self.show(Arc::new(next));
            self.metrics.forget_unused();
        }
        for (plugin, component, version) in self.stage.snapshot().versions() {
            if swapped.taken.contains(plugin) {
                tracing::info!(plugin, component, version, "plugin swapped");
            }
        }
        swapped
    }

    /// Serves what is there by now, where it is not what the process before served by.
    pub(super) async fn catch_up(&mut self) {
        let snapshot = self.stage.snapshot();
        let copied = snapshot.plugins.values().any(|staffed| staffed.source == Source::Copy);
        // What was withdrawn may not be there any more.
        if copied || !snapshot.refused.is_empty() {
            self.swap().await;
        }
        self.commit();
    }

    /// Shows what is to be served from now on.
    pub(super) fn show(&self, next: Arc<Snapshot>) {
        self.stage.show(next);
        self.commit();
    }

    /// Tells what serves by now, and keeps it on disk, for the process after this one.
    fn commit(&self) {
        let snapshot = self.stage.snapshot();
        for (used, staffed) in &snapshot.plugins {
            self.metrics.plugin(&used.plugin).serves(staffed.definition.version());
        }
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

    /// Has versions take the places of others whose trial they have passed, and withdraws those that
    /// have failed.
    pub fn judge(&mut self) {
        let names: Vec<Name> = self.stage.snapshot().trials.keys().cloned().collect();
        for name in names {
            let snapshot = self.stage.snapshot();
            match snapshot.verdict(&name) {
                Some(Verdict::Fit) => {
                    let Some(next) = snapshot.promoted(&name) else { continue };
                    self.metrics.plugin(&name).taken();
                    let version = next.version_of(&name).unwrap_or_default();
                    tracing::info!(plugin = &*name, version, "plugin swapped, after its trial");
                    self.show(Arc::new(next));
                }
                Some(Verdict::Unfit(reason)) => {
                    let Some(next) = snapshot.withdrawn(&name, &reason) else { continue };
                    self.leave(&name, next);
                }
                Some(Verdict::Open(_)) | None => {}
            }
        }
    }

    /// Goes back to the version of a plugin before, or withdraws the one on trial.
    ///
    /// # Errors
    ///
    /// Why there is no way back; nothing has changed then.
    pub async fn roll_back(&mut self, plugin: &Name) -> Result<u64, String> {
        let next = self.stage.snapshot().rolled_back(plugin, &self.crew).await?;
        let generation = next.generation;
        self.leave(plugin, next);
        Ok(generation)
    }

    /// Shows a snapshot in which a version of a plugin does not serve any more.
    fn leave(&self, plugin: &Name, next: Snapshot) {
        self.metrics.plugin(plugin).withdrawn();
        if let Some(candidate) = next.refused.get(plugin) {
            let version = next.version_of(plugin).unwrap_or_default();
            tracing::warn!(version, "{}; this version serves all", candidate.reason);
        }
        self.show(Arc::new(next));
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

/// Waits until a version on trial may have been found fit, or unfit; for ever if there is none.
pub(super) async fn verdict(stage: &Stage, host: &Host) {
    let snapshot = stage.snapshot();
    let due = snapshot.trials.keys().filter_map(|name| match snapshot.verdict(name)? {
        Verdict::Open(until) => Some(until),
        Verdict::Fit | Verdict::Unfit(_) => Some(Instant::now()),
    });
    let Some(due) = due.min() else { return std::future::pending().await };
    tokio::select! {
        () = sleep_until(due) => {}
        () = host.failed().notified() => {}
    }
}
