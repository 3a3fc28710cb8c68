//! Why a connection ended early: in words for its line, and as metrics count it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::config::{Name, ShownDuration};
use crate::relay::error::{self, Limit};
use crate::relay::labels::{Cut, IDLE, INACTIVITY, UNDECIDED};
use crate::tunnel::Side;

/// What went wrong. Its text is for the log alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// What can go wrong on the way of a request as well: a plugin, its grants, an upstream.
    #[error(transparent)]
    Relay(#[from] error::Error),
    /// The stream router has not decided, and nothing will change that.
    #[error("stream router {router} had not decided {why}, after {bytes} bytes")]
    Undecided {
        /// Why nothing will.
        why: Undecided,
        /// How much had come.
        bytes: usize,
        /// The router.
        router: Name,
    },
    /// There is no stream router, or it is passed over, and no default cluster.
    #[error("no stream router decided, and listener {0} has no default-cluster")]
    NoRoute(Name),
    /// The client has left before an upstream was connected to.
    #[error("the client went away before it was connected to an upstream")]
    Gone,
    /// The upstream ended without having sent anything.
    #[error("{0}: closed the connection without having sent anything")]
    Unheard(Box<str>),
    /// The upstream's first byte did not come in the time that the stream router gives it.
    #[error("{}: sent nothing within its inactivity-timeout of {}", .0, ShownDuration(*.1))]
    Inactive(Box<str>, Duration),
    /// Nothing went either way for too long.
    #[error("nothing went through the stream for {0}")]
    Idle(Limit),
    /// A side's end broke; the endpoint is named.
    #[error("{}", Broken(*.0, .1, *.2))]
    Broken(Side, Box<str>, io::ErrorKind),
}

/// Why nothing more can be decided by.
#[derive(Debug)]
pub(super) enum Undecided {
    /// The client has ended its side.
    Ended,
    /// As much has come as is kept.
    Full(Limit),
    /// It took longer than it may.
    Late(Limit),
}

impl Undecided {
    pub(super) fn full(listener: &Name, bytes: usize) -> Self {
        Self::Full(Limit::size_of_listener(listener, "max-buffer", bytes))
    }

    pub(super) fn late(listener: &Name, time: Duration) -> Self {
        Self::Late(Limit::time_of_listener(listener, "decide-timeout", time))
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("when the client ended"),
            Self::Full(limit) => write!(formatter, "when {limit} was full"),
            Self::Late(limit) => write!(formatter, "within {limit}"),
        }
    }
}

struct Broken<'b>(Side, &'b str, io::ErrorKind);

impl fmt::Display for Broken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(side, endpoint, how) = self;
        match side {
            Side::Downstream => write!(formatter, "the client's end of the stream broke: {how}"),
            Side::Upstream => write!(formatter, "{endpoint}: its end of the stream broke: {how}"),
        }
    }
}

impl Error {
    pub(super) fn idle(listener: &Name, time: Duration) -> Self {
        Self::Idle(Limit::time_of_listener(listener, "idle-timeout", time))
    }

    /// The place of the reason among [`LABELS`](error::LABELS).
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Relay(error) => error.index(),
            Self::NoRoute(listener) => error::Error::NoRoute(Name::clone(listener)).index(),
            // An upstream that is only there to close is as good as none.
            Self::Unheard(_) => error::Error::Connect(Box::default()).index(),
            Self::Gone | Self::Broken(Side::Downstream, ..) => Cut::ClientGone.index(),
            Self::Broken(Side::Upstream, ..) => Cut::Broken.index(),
            Self::Undecided { .. } => UNDECIDED,
            Self::Inactive(..) => INACTIVITY,
            Self::Idle(_) => IDLE,
        }
    }
}
