//! Components in the plugin directory that no plugin uses. They are judged all the same, each once, so that
//! whoever puts one there is told at once whether it could serve. Nothing of them stays loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Snapshot;
use crate::cluster::health::now;
use crate::plugin::{Host, Kind, Quiet, Refusal, Source, Stamp};

/// The most that are looked at.
const MOST: usize = 100;

/// A component that no plugin uses.
#[derive(Debug)]
pub struct Unused {
    /// Its file.
    pub path: PathBuf,
    /// The SHA-256 of its bytes; none if they cannot be read.
    pub digest: Option<Arc<str>>,
    /// What it can be.
    pub kinds: Vec<Kind>,
    /// Why it is refused, if it is.
    pub refused: Option<String>,
    /// Since when it is known, in milliseconds since this process began.
    pub since: u64,
    /// What its file looked like.
    stamp: Stamp,
}

/// These, by their names.
pub type AllUnused = BTreeMap<String, Arc<Unused>>;

impl Snapshot {
    /// The components that no plugin uses, of files that are quiet. One is judged that is not `known` as it
    /// is; says also whether there are more of these.
    pub async fn unused(&self, host: &Host, quiet: &Quiet, known: &AllUnused) -> (AllUnused, bool) {
        let used = |name: &str| self.config.plugins.values().any(|plugin| plugin.component == name);
        let name = |file| Path::new(file).file_stem().and_then(|name| name.to_str());
        let files = quiet.files.iter().filter_map(|(file, stamp)| Some((name(file)?, *stamp)));
        let (mut all, mut judged, mut more) = (AllUnused::new(), false, false);
        for (name, stamp) in files.filter(|(name, _)| !used(name)).take(MOST) {
            let known = known.get(name).filter(|known| known.stamp == stamp);
            let unused = match known {
                Some(known) => Some(Arc::clone(known)),
                None if judged => {
                    more = true;
                    None
                }
                None => {
                    let unused = judge(host, quiet, (name, stamp)).await;
                    judged = unused.is_some();
                    unused.map(Arc::new)
                }
            };
            all.extend(unused.map(|unused| (name.to_owned(), unused)));
        }
        (all, more)
    }
}

/// Judges what is in a file; nothing if somebody writes to that.
async fn judge(host: &Host, quiet: &Quiet, (name, stamp): (&str, Stamp)) -> Option<Unused> {
    let Some(Source::File(path)) = host.source(name) else { return None };
    let (digest, component) = match host.find(name, Some(quiet)) {
        Ok(found) => {
            let component = host.load(&found).await;
            (Some(found.digest), component)
        }
        Err(Refusal::Written(_)) => return None,
        Err(refusal) => (None, Err(refusal)),
    };
    let unused = match component {
        Ok(component) => {
            let kinds = component.kinds.iter().copied().collect();
            Unused { path, digest, kinds, refused: None, since: now(), stamp }
        }
        Err(refusal) => {
            let refused = Some(refusal.to_string());
            Unused { path, digest, kinds: Vec::new(), refused, since: now(), stamp }
        }
    };
    unused.tell(name);
    Some(unused)
}

impl Unused {
    fn tell(&self, component: &str) {
        let digest = self.digest.as_deref();
        match &self.refused {
            Some(reason) => {
                tracing::warn!(component, digest, "{component}.wasm, unused, is refused: {reason}");
            }
            None => {
                let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
                let kinds = kinds.join(",");
                tracing::info!(component, digest, kinds, "no plugin uses this component");
            }
        }
    }
}
