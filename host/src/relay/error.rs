//! Why a request got no answer from an upstream: on which side it failed, and what follows for its
//! status, log line and metric, each in one place.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::cluster::connect::ConnectError;
use crate::config::{self, Name, ShownDuration, ShownSize};
pub use crate::relay::labels::LABELS;
use crate::wire::{Fault, Kind};

/// What failed. Its text is for the log alone, and says which limit, plugin or endpoint it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is malformed.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// What the client sent is not HTTP, or too much of it.
    #[error("{}", Refused(*.0, .1.as_ref()))]
    Request(Fault, Option<Limit>),
    /// The listener is no longer configured.
    #[error("listener {0} is no longer configured")]
    ListenerGone(Name),
    /// The method is not one that is relayed.
    #[error("CONNECT and TRACE are not relayed")]
    Method,
    /// The body is larger than allowed.
    #[error("the request body is larger than {0}")]
    TooLarge(Limit),
    /// The client was silent for too long within its request.
    #[error("the client sent nothing for {1}, after {0} bytes of its request body")]
    ClientSilent(u64, Limit),
    /// The client sent its request too slowly.
    #[error("the client sent its request body more slowly than {1}, after {0} bytes of it")]
    ClientSlow(u64, Limit),
    /// The client had not sent its request in the time that all of it may take.
    #[error("the client had not sent its request within {1}, after {0} bytes of its body")]
    ClientLate(u64, Limit),
    /// There was no response in the time that all of a request may take.
    #[error("there was no response within {0}")]
    Late(Limit),
    /// The client went away within its request.
    #[error("the client went away after {0} bytes of its request body")]
    ClientGone(u64),
    /// The request has passed more proxies of our name than it may.
    #[error("it has passed {0} Linkspans before, of at most {1}")]
    Loop(usize, Limit),
    /// No router decided, and there is no default cluster.
    #[error("no router decided, and listener {0} has no default-cluster")]
    NoRoute(Name),
    /// A plugin failed, and its `on-failure` is `reject`.
    #[error("{kind} {plugin} failed: {cause}")]
    Plugin {
        /// `router`, `balancer` or `rewriter`.
        kind: &'static str,
        /// The plugin's name.
        plugin: Name,
        /// How.
        cause: Box<str>,
    },
    /// A router named an address that it may not forward to.
    #[error("router {plugin} may not forward to {reason}")]
    NotGranted {
        /// The router's name.
        plugin: Name,
        /// The address, and why not.
        reason: Box<str>,
    },
    /// No endpoint may be used.
    #[error("no endpoint usable: {0}")]
    NoEndpoint(Box<str>),
    /// The endpoints have as many requests in flight as they may, and as many wait for them.
    #[error("no endpoint has room, and the queue is full: {0}")]
    QueueFull(Limit),
    /// The endpoints had as many in flight as they may, for too long.
    #[error("no endpoint had room within {0}")]
    QueueTimeout(Limit),
    /// No attempt to connect succeeded.
    #[error("{0}")]
    Connect(Box<str>),
    /// Nobody who answered has proved to be the upstream, or could agree on TLS with us.
    #[error("{0}")]
    Tls(Box<str>),
    /// The upstream broke off before the head of its response.
    #[error("{0}")]
    Broken(Box<str>),
    /// What the upstream sent is not HTTP.
    #[error("{0}")]
    Malformed(Box<str>),
    /// The upstream names a file that is not sent.
    #[error("{reason}")]
    Sendfile {
        /// What the client gets.
        status: StatusCode,
        /// Which, and why not.
        reason: Box<str>,
    },
    /// The upstream did not answer in time.
    #[error("{0}")]
    Timeout(Box<str>),
}

/// What is wrong with a request, with the limit that it has broken.
struct Refused<'l>(Fault, Option<&'l Limit>);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(fault, limit) = self;
        let what = match fault {
            Fault::HeadBytes => "head is larger than",
            Fault::Fields => "head has more fields than",
            Fault::TargetBytes => "target is longer than",
            Fault::HeadTime => "head took longer to come than",
            _ => return write!(formatter, "bad request: {fault}"),
        };
        match limit {
            Some(limit) => write!(formatter, "the request {what} {limit}"),
            None => write!(formatter, "the request {what} allowed"),
        }
    }
}

/// A configured limit, as it stands in the file: `KEY = VALUE of listener NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    key: &'static str,
    value: Measure,
    /// `listener` or `cluster`.
    whose: &'static str,
    /// Empty for the cluster of an address that a router named.
    name: Name,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Measure {
    Time(Duration),
    Bytes(u64),
    Count(usize),
}

impl Limit {
    /// A time limit of a cluster.
    #[must_use]
    pub fn of_cluster(cluster: &Name, key: &'static str, time: Duration) -> Self {
        Self { key, value: Measure::Time(time), whose: "cluster", name: Arc::clone(cluster) }
    }

    /// A time limit of a listener.
    #[must_use]
    pub fn time_of_listener(listener: &Name, key: &'static str, time: Duration) -> Self {
        Self { key, value: Measure::Time(time), whose: "listener", name: Arc::clone(listener) }
    }

    /// A size limit of a listener.
    #[must_use]
    pub fn size_of_listener(listener: &Name, key: &'static str, bytes: usize) -> Self {
        let value = Measure::Bytes(bytes as u64);
        Self { key, value, whose: "listener", name: Arc::clone(listener) }
    }

    /// The most requests of a cluster that wait.
    #[must_use]
    pub fn max_queue(cluster: &Name, most: usize) -> Self {
        let name = Arc::clone(cluster);
        Self { key: "max-queue", value: Measure::Count(most), whose: "cluster", name }
    }

    /// The longest silence that a listener bears within a body.
    #[must_use]
    pub fn body_timeout(listener: &Name, time: Duration) -> Self {
        Self::time_of_listener(listener, "body-timeout", time)
    }

    /// The longest that a listener lets a request take.
    #[must_use]
    pub fn request_timeout(listener: &Name, time: Duration) -> Self {
        Self::time_of_listener(listener, "request-timeout", time)
    }

    /// The least rate that a listener bears within a request body.
    #[must_use]
    pub fn min_body_rate(listener: &config::Listener) -> Self {
        let value = Measure::Bytes(listener.min_body_rate.map_or(0, NonZero::get));
        let name = Arc::clone(&listener.name);
        Self { key: "min-body-rate", value, whose: "listener", name }
    }

    /// The largest request body that a listener takes.
    #[must_use]
    pub fn max_body_bytes(listener: &config::Listener) -> Self {
        let value = Measure::Bytes(listener.max_body_bytes.unwrap_or(u64::MAX));
        let name = Arc::clone(&listener.name);
        Self { key: "max-body-bytes", value, whose: "listener", name }
    }

    /// The most proxies of our name that a request of a listener may have passed.
    #[must_use]
    pub fn max_hops(listener: &config::Listener) -> Self {
        let value = Measure::Count(listener.max_hops);
        Self { key: "max-hops", value, whose: "listener", name: Arc::clone(&listener.name) }
    }

    /// The limit of a cluster that the head of a response has broken, if that is its fault.
    #[must_use]
    pub fn of_response(cluster: &config::Cluster, fault: Fault) -> Option<Self> {
        let (key, value) = match fault {
            Fault::HeadBytes => {
                ("max-response-head-bytes", Measure::Bytes(cluster.max_response_head_bytes as u64))
            }
            Fault::Fields => ("max-response-headers", Measure::Count(cluster.max_response_headers)),
            _ => return None,
        };
        Some(Self { key, value, whose: "cluster", name: Arc::clone(&cluster.name) })
    }

    /// The limit of a listener that a request has broken, if that is its fault.
    #[must_use]
    pub fn of_request(listener: &config::Listener, fault: Fault) -> Option<Self> {
        let bytes = |bytes: usize| Measure::Bytes(bytes as u64);
        let (key, value) = match fault {
            Fault::HeadBytes => ("max-head-bytes", bytes(listener.max_head_bytes)),
            Fault::TargetBytes => ("max-target-bytes", bytes(listener.max_target_bytes)),
            Fault::Fields => ("max-headers", Measure::Count(listener.max_headers)),
            Fault::HeadTime => ("head-timeout", Measure::Time(listener.head_timeout)),
            _ => return None,
        };
        Some(Self { key, value, whose: "listener", name: Arc::clone(&listener.name) })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, whose, name } = self;
        match value {
            Measure::Time(time) => write!(formatter, "{key} = {}", ShownDuration(*time))?,
            Measure::Bytes(bytes) => write!(formatter, "{key} = {}", ShownSize(*bytes))?,
            Measure::Count(count) => write!(formatter, "{key} = {count}")?,
        }
        if name.is_empty() { Ok(()) } else { write!(formatter, " of {whose} {name}") }
    }
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
    /// That nothing has come of an attempt to connect, which is said like this.
    #[must_use]
    pub fn of_connecting(error: &ConnectError, text: &str) -> Self {
        match error {
            ConnectError::Tls(_) | ConnectError::Unagreed => Self::Tls(text.into()),
            _ => Self::Connect(text.into()),
        }
    }

    /// Who is to blame.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::BadRequest(_)
            | Self::Request(..)
            | Self::Method
            | Self::TooLarge(_)
            | Self::ClientSilent(..)
            | Self::ClientSlow(..)
            | Self::ClientLate(..)
            | Self::ClientGone(_) => Side::Downstream,
            Self::Plugin { .. } | Self::NotGranted { .. } => Side::Plugin,
            Self::NoRoute(_) | Self::ListenerGone(_) | Self::Loop(..) => Side::Us,
            Self::NoEndpoint(_)
            | Self::QueueFull(_)
            | Self::QueueTimeout(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Broken(_)
            | Self::Malformed(_)
            | Self::Sendfile { .. }
            | Self::Late(_)
            | Self::Timeout(_) => Side::Upstream,
        }
    }

    /// What the client gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::ClientGone(_) => StatusCode::BAD_REQUEST,
            Self::Request(fault, _) => {
                StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientSilent(..) | Self::ClientSlow(..) | Self::ClientLate(..) => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::Loop(..) => StatusCode::LOOP_DETECTED,
            Self::Plugin { kind: "rewriter", .. } | Self::NotGranted { .. } => {
                StatusCode::BAD_GATEWAY
            }
            Self::Plugin { .. }
            | Self::NoEndpoint(_)
            | Self::QueueFull(_)
            | Self::QueueTimeout(_)
            | Self::Connect(_)
            | Self::ListenerGone(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Tls(_) | Self::Broken(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
            Self::Late(_) | Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Sendfile { status, .. } => *status,
        }
    }

    /// The place of the reason among [`LABELS`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::Method => 1,
            Self::TooLarge(_) => 2,
            Self::ClientSilent(..) => 3,
            Self::ClientGone(_) => 4,
            Self::NoRoute(_) => 5,
            Self::Plugin { .. } => 6,
            Self::NotGranted { .. } => 7,
            Self::NoEndpoint(_) => 8,
            Self::Connect(_) => 9,
            Self::Broken(_) => 10,
            Self::Malformed(_) => 11,
            Self::Timeout(_) => 12,
            Self::ListenerGone(_) => 13,
            Self::QueueFull(_) => 14,
            Self::QueueTimeout(_) => 15,
            Self::Sendfile { .. } => 16,
            Self::ClientSlow(..) => 25,
            Self::ClientLate(..) | Self::Late(_) => 26,
            Self::Request(fault, _) => {
                17 + match fault.kind() {
                    Kind::Syntax => 0,
                    Kind::Framing => 1,
                    Kind::Chunk => 2,
                    Kind::Version => 3,
                    Kind::Head => 4,
                    Kind::Target => 5,
                    Kind::Slow => 6,
                }
            }
            Self::Loop(..) => 24,
            Self::Tls(_) => 31,
        }
    }

    /// Whether the client's connection cannot be used any further: what it sent is not understood,
    /// or not read to its end.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.side() == Side::Downstream || matches!(self, Self::ListenerGone(_))
    }
}
