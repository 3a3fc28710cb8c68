//! File descriptors: how many the process may have, and how many of them clients may take.
//!
//! A client's connection is worth nothing without a descriptor for the upstream's. So clients get half
//! of what is left after the process's own, and those beyond that wait in the kernel's queue.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Those that the process needs for itself: logs, listening sockets, event queues, compilers.
const OWN: u64 = 32;

/// Those that each worker needs besides: stores, checks, files.
const OWN_OF_WORKER: u64 = 16;

/// Lets the process have as many as it may give itself: shells leave programs 1024, for the sake of those
/// that cannot count further.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where that is refused, what there is has to do, and is reckoned with.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Warns of listeners that promise more connections than there are descriptors for.
pub fn warn(config: &Config) {
    let listeners = config.listeners.values();
    let promised =
        listeners.map(|listener| listener.max_connections).fold(0, usize::saturating_add);
    let most = for_clients(config.server.workers);
    if promised > most {
        let descriptors = getrlimit(Resource::Nofile).current;
        tracing::warn!(
            descriptors,
            promised,
            most,
            "max-connections of all listeners are more than the limit on open files (ulimit -n) \
             suffices for, with one for an upstream each: clients wait beyond that"
        );
    }
}

/// The most connections that clients may have, over all listeners.
pub(super) fn for_clients(workers: usize) -> usize {
    share(getrlimit(Resource::Nofile).current, workers)
}

fn share(descriptors: Option<u64>, workers: usize) -> usize {
    let workers = u64::try_from(workers).unwrap_or(u64::MAX);
    let own = OWN.saturating_add(OWN_OF_WORKER.saturating_mul(workers));
    let clients = descriptors.map_or(u64::MAX, |all| all.saturating_sub(own) / 2);
    // Somebody has to be served, however little there is.
    usize::try_from(clients).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_half_of_what_the_process_does_not_need() {
        assert_eq!(share(Some(1024), 2), 480);
        assert_eq!(share(Some(64), 1), 8);
        assert_eq!(share(Some(10), 1), 1);
        assert_eq!(share(None, 1), usize::MAX);
    }
}
