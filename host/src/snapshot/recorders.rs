//! The recordings of a snapshot's plugins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Snapshot;
use crate::config::Name;
use crate::metrics::Metrics;
use crate::plugin::Recorder;

/// How long the last lines of each are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);

impl Snapshot {
    /// The recordings that are configured; those that are configured alike go on.
    pub(super) fn recorders(
        &self,
        previous: Option<&Self>,
        metrics: &Metrics,
    ) -> BTreeMap<Name, Arc<Recorder>> {
        let recorder = |name: &Name| {
            let plugin = self.config.plugins.get(name).filter(|plugin| plugin.record.is_some())?;
            let before = previous.and_then(|previous| previous.recorders.get(name));
            if let Some(before) = before.filter(|before| before.goes_on(plugin, &self.names)) {
                return Some(Arc::clone(before));
            }
            let uses: Vec<_> = self
                .uses_of(name)
                .map(|(_, staffed)| &*staffed.definition)
                .filter(|definition| !definition.kinds.is_empty())
                .collect();
            Recorder::new(plugin, &uses, &self.names, metrics.plugin(name)).map(Arc::new)
        };
        let names = self.config.plugins.keys();
        names.filter_map(|name| Some((Arc::clone(name), recorder(name)?))).collect()
    }

    /// The recording of a plugin, if there is one.
    #[must_use]
    pub fn recorder(&self, plugin: &Name) -> Option<Arc<Recorder>> {
        self.recorders.get(plugin).cloned()
    }

    /// Waits a moment until what was recorded is written.
    pub fn flush_recordings(&self) {
        self.recorders.values().for_each(|recorder| recorder.flush(LAST_LINES));
    }
}
