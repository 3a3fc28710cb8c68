//! The harness: proxies, origins and clients over real sockets.
//!
//! Tests are plain threads with blocking sockets; the proxy beneath is the real one, on runtimes of
//! its own. Every wait has a deadline, nothing sleeps, and every port is one that was free.

mod binary;
mod browser;
mod client;
mod dns;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod memcached;
mod message;
mod origin;
pub(crate) mod pebble;
mod proxy;
pub(crate) mod streams;
pub(crate) mod tls;
pub(crate) mod tombi;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use binary::{Binary, Signal};
pub(crate) use browser::Browser;
pub(crate) use client::Client;
pub(crate) use dns::{Mood, NameServer};
pub(crate) use message::{Message, reply, request};
pub(crate) use origin::{Down, Origin, Peer};
pub(crate) use proxy::Proxy;

/// How long anything may take that is expected to happen. Long, because machines can be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// For a plugin's table: time enough for a thousand calls of a host without optimisation, on a
/// machine that is busy.
pub(crate) const UNHURRIED: &str = "limits = { deadline = '5s' }";

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same of what takes longer.
#[track_caller]
pub(crate) fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// The ports that demos try first, for as long as the guard lives: between seeing that they are free
/// and listening there, another demo could come.
pub(crate) fn ports_of_the_demo() -> MutexGuard<'static, ()> {
    static PORTS: Mutex<()> = Mutex::new(());
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a test guest.
#[track_caller]
pub(crate) fn plugin(name: &str) -> &'static [u8] {
    let bytes = linkspan_test_plugins::component(name);
    bytes.unwrap_or_else(|| panic!("there is no test guest {name:?}"))
}

/// A configuration with one listener, `web`, in front of one cluster, `main`. `listener` and
/// `cluster` are further lines of theirs.
pub(crate) fn one_cluster(endpoints: &[SocketAddr], listener: &str, cluster: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    let endpoints = endpoints.join(", ");
    format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\ndefault-cluster = \"main\"\n{listener}\n\
         [clusters.main]\nendpoints = [{endpoints}]\n{cluster}\n"
    )
}

/// Variables that keep package managers from asking a registry: what tests need has been fetched before.
pub(crate) const OFFLINE: [(&str, &str); 4] = [
    ("CARGO_NET_OFFLINE", "true"),
    ("PIP_NO_INDEX", "true"),
    ("npm_config_offline", "true"),
    ("GOPROXY", "off"),
];

/// Where compiled components are kept: in the target directory, so that each is compiled once.
pub(crate) fn cache_home() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A directory with a plugin directory in it that holds these test guests.
fn directory(guests: &[&str]) -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("plugins.d")).unwrap();
    for guest in guests {
        write_plugin(&directory, guest, plugin(guest));
    }
    directory
}

fn write_plugin(directory: &TempDir, name: &str, bytes: &[u8]) {
    let path = directory.path().join("plugins.d").join(format!("{name}.wasm"));
    std::fs::write(path, bytes).unwrap();
}
