//! What a listener does whose connections are relayed as they are.

use std::slice;
use std::time::Duration;

use crate::config::{Listener, Name};

/// The part of a listener that only one with `protocol = "tcp"` has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// The plugin that decides where a connection goes. `None`: to the default cluster at once.
    pub stream_router: Option<Name>,
    /// The most bytes of a connection that nobody has decided about, 1 B to 1 MiB. Default 64 KiB.
    pub max_buffer_bytes: usize,
    /// How long a stream router may say that it needs more bytes. Default 10 s.
    pub decide_timeout: Duration,
    /// How often its upstreams are tried again, all of them, if none can be connected to. Default 10.
    pub connect_attempts: u32,
    /// How long to wait before that. Default 100 ms.
    pub retry_delay: Duration,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            stream_router: None,
            max_buffer_bytes: 64 << 10,
            decide_timeout: Duration::from_secs(10),
            connect_attempts: 10,
            retry_delay: Duration::from_millis(100),
        }
    }
}

impl Listener {
    /// What is spoken there.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (&self.tcp, &self.tls) {
            (Some(_), _) => "tcp",
            (None, None) => "http",
            (None, Some(_)) => "https",
        }
    }

    /// The plugin that decides where a TCP connection goes, if this is about these and there is one;
    /// as a list of one, or of none.
    #[must_use]
    pub fn stream_routers(&self) -> &[Name] {
        self.tcp.as_ref().and_then(|tcp| tcp.stream_router.as_ref()).map_or(&[], slice::from_ref)
    }
}
