//! Checking everything but serving.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cluster::registry::Registry;
use crate::commands::{fail, options, say, uncounted};
use crate::config::Config;
use crate::proxy::plugin_host;
use crate::snapshot::Snapshot;

/// Checks everything but serving.
pub async fn check(path: Result<PathBuf, String>) -> ExitCode {
    let path = match path {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(faults) => return fail(&faults),
    };
    let (options, workers) = match options(None) {
        Ok(options) => (options, 1),
        Err(error) => return fail(&error),
    };
    let host = match plugin_host(&config, &options, &uncounted()) {
        Ok(host) => host,
        Err(error) => return fail(&error),
    };
    match Snapshot::build(&host, config, &mut Registry::default(), None, workers).await {
        Ok(snapshot) => {
            let (plugins, clusters) = (snapshot.config.plugins.len(), snapshot.clusters.len());
            say(&format_args!(
                "{}: {clusters} clusters, {plugins} plugins, no faults",
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(refused) => {
            for refused in &refused {
                fail(refused);
            }
            ExitCode::FAILURE
        }
    }
}
