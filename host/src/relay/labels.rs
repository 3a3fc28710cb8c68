//! Why requests and streams fail, as metrics count it.

/// The reasons as metric labels.
pub const LABELS: [&str; 32] = [
    "bad_request",
    "method",
    "too_large",
    "client_silent",
    "client_gone",
    "no_route",
    "plugin",
    "not_granted",
    "no_endpoint",
    "connect",
    "broken",
    "malformed",
    "timeout",
    "listener_gone",
    "queue_full",
    "queue_timeout",
    "sendfile",
    "syntax",
    "framing",
    "chunk",
    "version",
    "head_too_large",
    "target_too_long",
    "head_too_slow",
    "loop",
    "client_slow",
    "request_timeout",
    "shutdown",
    "undecided",
    "inactivity",
    "idle",
    "tls",
];

/// The place among [`LABELS`] of connections that no stream router decided about.
pub(crate) const UNDECIDED: usize = 28;
/// That of connections whose upstream said nothing in the time that its stream router gave it.
pub(crate) const INACTIVITY: usize = 29;
/// That of streams in which nothing moved.
pub(crate) const IDLE: usize = 30;

/// How a response broke off whose head the client has, or that it did not wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client has left.
    ClientGone,
    /// The client took nothing for too long.
    ClientSilent,
    /// The request took longer than all of it may.
    RequestTimeout,
    /// The process ends.
    Shutdown,
    /// The upstream closed its connection.
    Broken,
    /// The upstream sent nothing for too long.
    Timeout,
    /// What the upstream sent is not HTTP.
    Malformed,
    /// The file in place of the upstream's body could not be read to its end.
    Sendfile,
    /// The rewriter of the body failed.
    Plugin,
}

impl Cut {
    /// The place of the reason among [`LABELS`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::ClientSilent => 3,
            Self::ClientGone => 4,
            Self::Plugin => 6,
            Self::Broken => 10,
            Self::Malformed => 11,
            Self::Timeout => 12,
            Self::Sendfile => 16,
            Self::RequestTimeout => 26,
            Self::Shutdown => 27,
        }
    }
}
