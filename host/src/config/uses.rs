//! Where a configuration names its plugins, and which files it was read from besides its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Config, Name, UpstreamTls};

impl Config {
    /// The files that were read with its own: when they change it is to be read again.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let secured = self.listeners.values().filter_map(|listener| listener.tls.as_ref());
        let securing = self.clusters.values().filter_map(|cluster| cluster.tls.as_ref());
        let files = securing.flat_map(UpstreamTls::files);
        let of_acme = self.acme.iter().filter_map(|acme| acme.authorities.as_ref());
        let files = files.chain(of_acme.map(|(file, _)| file.as_path()));
        secured.flat_map(|tls| tls.files()).chain(files).map(Path::to_path_buf).collect()
    }

    /// The keys that name a plugin, such as `listeners.web.routers` or `clusters.app.balancer`.
    #[must_use]
    pub fn uses_of(&self, plugin: &str) -> Vec<String> {
        let mut uses = Vec::new();
        let mut look = |kind: &str, name: &Name, key: &str, plugins: &[Name]| {
            if plugins.iter().any(|used| **used == *plugin) {
                uses.push(format!("{kind}.{name}.{key}"));
            }
        };
        for (name, listener) in &self.listeners {
            look("listeners", name, "routers", &listener.routers);
            look("listeners", name, "rewriters", &listener.rewriters);
            look("listeners", name, "stream-router", listener.stream_routers());
        }
        for (name, cluster) in &self.clusters {
            look("clusters", name, "balancer", &cluster.balancers);
            look("clusters", name, "rewriters", &cluster.rewriters);
        }
        let beside = self.plugins.get(plugin).and_then(|plugin| plugin.beside.as_ref());
        uses.extend(beside.map(|beside| format!("plugins.{beside}.shadow")));
        uses
    }
}
