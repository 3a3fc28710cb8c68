//! `[server]`: what concerns the whole process.

use std::path::PathBuf;
use std::time::Duration;

/// What concerns the whole process.
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads, 1 to 256. Default: one per core.
    pub workers: usize,
    /// The directory of plugin components, made absolute. `None`: only built-in components.
    pub plugin_dir: Option<PathBuf>,
    /// How long open requests may take to finish after TERM. Default 10 s.
    pub shutdown_grace: Duration,
    /// Where compiled components are kept. Default: `linkspan` in the user's cache directory.
    pub cache_dir: PathBuf,
    /// The most bytes that compiled components may take there. Default 512 MiB.
    pub cache_bytes: u64,
    /// The longest a component may take to compile. Default 60 s.
    pub compile_timeout: Duration,
    /// The most memory that the compiler may take. Default 2 GiB.
    pub compile_memory_bytes: u64,
    /// The SHA-256 of the components that may serve besides those built in, as lower-case hexadecimal
    /// digits. `None`: any.
    pub require_digest: Option<Vec<String>>,
    /// Where a process that is to replace this one finds it, made absolute. `None`: it cannot be replaced so.
    pub takeover: Option<PathBuf>,
}
