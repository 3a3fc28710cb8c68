//! Why a proxy does not start, or does not take a configuration.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::config::{self, Name};
use crate::plugin::Refusal;
use crate::snapshot::Refused;
use crate::socket::bind::Bind;

/// Why a proxy does not start, or a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("listener {listener:?} cannot listen on {address}: {source}")]
    Bind {
        /// The listener.
        listener: Name,
        /// The address.
        address: Bind,
        /// Why.
        source: io::Error,
    },
    /// The administrator's address cannot be had.
    #[error("the admin listener cannot listen on {}: {source}", .bind.url("http"))]
    Admin {
        /// The address.
        bind: Bind,
        /// Why.
        source: io::Error,
    },
    /// Plugins are refused.
    #[error("{}", Lines(.0))]
    Plugins(Vec<Refused>),
    /// The plugin engine cannot be started.
    #[error(transparent)]
    Engine(#[from] Refusal),
    /// The system gives no threads.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

struct Lines<'a>(&'a [Refused]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, refused) in self.0.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(formatter, "{end}{refused}")?;
        }
        Ok(())
    }
}

/// A listener whose address cannot be had.
pub(super) fn refused(listener: &config::Listener, source: io::Error) -> StartError {
    StartError::Bind {
        listener: Arc::clone(&listener.name),
        address: listener.bind.clone(),
        source,
    }
}
