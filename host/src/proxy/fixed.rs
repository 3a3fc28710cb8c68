//! What stays as it was at the start, whatever is configured later.

use crate::config::Config;

/// Says which changes a running process does not take.
pub(super) fn warn_of_fixed(before: &Config, now: &Config) {
    let (old, new) = (&before.server, &now.server);
    let changed = [
        ("server.workers", old.workers != new.workers),
        ("server.plugin-dir", old.plugin_dir != new.plugin_dir),
        ("server.cache-dir", old.cache_dir != new.cache_dir),
        ("server.cache-bytes", old.cache_bytes != new.cache_bytes),
        ("server.compile-timeout", old.compile_timeout != new.compile_timeout),
        ("server.compile-memory-bytes", old.compile_memory_bytes != new.compile_memory_bytes),
        ("server.takeover", old.takeover != new.takeover),
        ("log.format", before.log.format != now.log.format),
        ("log.file", before.log.file != now.log.file),
        ("log.access", before.log.access != now.log.access),
    ];
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("a change of {key} takes effect at the next start");
    }
}
