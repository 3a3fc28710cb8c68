//! Why a request got no answer from an upstream: on which side it failed, and what follows for its
//! status, log line and metric, each in one place.

use http::StatusCode;

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is malformed.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The body is coded in a way that is not relayed.
    #[error("a transfer coding other than chunked")]
    Coding,
    /// The listener is no longer configured.
    #[error("the listener is gone")]
    ListenerGone,
    /// The method is not one that is relayed.
    #[error("method not allowed")]
    Method,
    /// The body is larger than allowed.
    #[error("the request body is too large")]
    TooLarge,
    /// The client was silent for too long within its request.
    #[error("the client fell silent within its request body")]
    ClientSilent,
    /// The client went away within its request.
    #[error("the client broke off its request body")]
    ClientGone,
    /// No router decided, and there is no default cluster.
    #[error("no router decided")]
    NoRoute,
    /// A plugin failed, and its `on-failure` is `reject`.
    #[error("{kind} {plugin} failed")]
    Plugin {
        /// `router`, `balancer` or `rewriter`.
        kind: &'static str,
        /// The plugin's name.
        plugin: Box<str>,
    },
    /// A router named an address that it may not forward to; with the reason.
    #[error("the router may not forward to {0}")]
    NotGranted(Box<str>),
    /// No endpoint may be used.
    #[error("no endpoint usable")]
    NoEndpoint,
    /// No attempt to connect succeeded.
    #[error("could not connect: {0}")]
    Connect(Box<str>),
    /// The upstream broke off before the head of its response.
    #[error("{0}")]
    Broken(Box<str>),
    /// What the upstream sent is not HTTP.
    #[error("{0}")]
    Malformed(Box<str>),
    /// The upstream did not answer in time.
    #[error("the upstream did not answer in time")]
    Timeout,
}

/// An error and its causes as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// The reasons as metric labels.
pub const LABELS: [&str; 15] = [
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
    "coding",
    "listener_gone",
];

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Downstream,
    /// A plugin.
    Plugin,
    /// An upstream.
    Upstream,
    /// The configuration.
    Us,
}

impl Error {
    /// Who is to blame.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::BadRequest(_)
            | Self::Coding
            | Self::Method
            | Self::TooLarge
            | Self::ClientSilent
            | Self::ClientGone => Side::Downstream,
            Self::Plugin { .. } | Self::NotGranted(_) => Side::Plugin,
            Self::NoRoute | Self::ListenerGone => Side::Us,
            Self::NoEndpoint
            | Self::Connect(_)
            | Self::Broken(_)
            | Self::Malformed(_)
            | Self::Timeout => Side::Upstream,
        }
    }

    /// What the client gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientSilent => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Plugin { kind: "rewriter", .. } | Self::NotGranted(_) => StatusCode::BAD_GATEWAY,
            Self::Plugin { .. } | Self::NoEndpoint | Self::Connect(_) | Self::ListenerGone => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Broken(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The place of the reason among [`LABELS`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::Method => 1,
            Self::TooLarge => 2,
            Self::ClientSilent => 3,
            Self::ClientGone => 4,
            Self::NoRoute => 5,
            Self::Plugin { .. } => 6,
            Self::NotGranted(_) => 7,
            Self::NoEndpoint => 8,
            Self::Connect(_) => 9,
            Self::Broken(_) => 10,
            Self::Malformed(_) => 11,
            Self::Timeout => 12,
            Self::Coding => 13,
            Self::ListenerGone => 14,
        }
    }

    /// Whether the client's connection cannot be used any further: what it sent is not understood,
    /// or not read to its end.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.side() == Side::Downstream || *self == Self::ListenerGone
    }
}
