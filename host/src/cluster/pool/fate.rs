//! Why upstream connections are closed.

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its request ended before its response did, or either of them is not whole.
    Dropped,
    /// The upstream closed it.
    Closed,
    /// It was idle for longer than `idle-timeout`.
    Idle,
    /// There are `max-idle-per-endpoint` others.
    Surplus,
    /// The endpoint is no longer configured.
    Gone,
    /// The client that it told of has left.
    Forsaken,
    /// Its endpoint says more than it is asked.
    Talkative,
    /// There are no descriptors for others.
    Cleared,
    /// It has given no sign of life.
    Silent,
    /// Its responses are malformed.
    Faulty,
}

impl Fate {
    /// In words, for the log.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Dropped => "its exchange broke off",
            Self::Closed => "the upstream closed it",
            Self::Idle => "idle for idle-timeout",
            Self::Surplus => "more than max-idle-per-endpoint",
            Self::Gone => "its endpoint is gone",
            Self::Forsaken => "its client has left",
            Self::Talkative => "its endpoint sends what nobody has asked for",
            Self::Cleared => "others need its descriptor",
            Self::Silent => "it has given no sign of life",
            Self::Faulty => "its responses are malformed",
        }
    }
}
