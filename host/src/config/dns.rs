//! `[dns]`: who is asked what names stand for, and how long that is believed.

use std::net::SocketAddr;
use std::time::Duration;

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The name servers. None: those of the system, with its search list.
    pub servers: Vec<SocketAddr>,
    /// The longest that an answer may take. Default 5 s.
    pub timeout: Duration,
    /// The least time that an answer is believed, whatever it says of itself. Default 1 s.
    pub min_ttl: Duration,
    /// The longest; not less than `min_ttl`. Default 5 min.
    pub max_ttl: Duration,
    /// How soon a name is asked for again that did not resolve; doubled each time, up to 30 s.
    /// Default 1 s.
    pub retry: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_mins(5),
            retry: Duration::from_secs(1),
        }
    }
}
