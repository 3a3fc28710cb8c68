//! Which plugins of a configuration come to serve, and which are refused.

use super::{Refused, Snapshot, Staffing, uses};
use crate::config::Name;
use crate::plugin::{Committed, digest};

impl Snapshot {
    /// Staffs all uses of plugins, and gives those that are refused.
    pub(super) async fn staff_all(
        &mut self,
        staffing: Staffing<'_>,
        committed: &Committed,
    ) -> Vec<Refused> {
        let Staffing { host, previous, .. } = staffing;
        let mut all: Vec<Refused> = Vec::new();
        for (used, kinds) in uses(&self.config) {
            let Some(plugin) = self.config.plugins.get(&used.plugin) else { continue };
            // A plugin that balances several clusters is refused once, and its shadow has its faults.
            let known = |name: &Name| all.iter().any(|refused| refused.plugin == *name);
            let name = &used.plugin;
            if known(name) || plugin.beside.as_ref().is_some_and(known) || self.goes_without(name) {
                continue;
            }
            let found = host.find(&plugin.component);
            let copy = Self::copy_of(host, committed, plugin, found.as_ref());
            let copied = match &copy {
                Some(copy) => self.staff(staffing, &used, plugin, copy, &kinds).await.ok(),
                None => None,
            };
            let judged = found.as_ref().ok().filter(|_| plugin.beside.is_some());
            let judged = judged.map(|(_, bytes)| digest(bytes).into());
            let staffed = match (copied, found) {
                (Some(copied), _) => Ok(copied),
                (None, Ok(found)) => match self.stays(previous, &used, &kinds, &found.1) {
                    Some(staffed) => Ok(staffed),
                    None => self.staff(staffing, &used, plugin, &found, &kinds).await,
                },
                (None, Err(refusal)) => Err(refusal),
            };
            let refusal = match staffed {
                Ok(staffed) => {
                    self.plugins.insert(used, staffed);
                    continue;
                }
                Err(refusal) => refusal,
            };
            let source = host.source(&plugin.component);
            let refused = Refused::new(plugin, source, used.cluster.clone(), refusal);
            match previous.filter(|_| plugin.beside.is_some()) {
                Some(previous) => self.go_without(&refused, judged, previous),
                None => all.push(refused),
            }
        }
        all
    }
}
