//! `[clusters.*]`: endpoints, and how requests get there.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Health, Name, Sendfile, Statuses, UpstreamTls};
use crate::proxy_protocol::Version;

/// The longest silence of either side, unless configured.
const SILENCE: Duration = Duration::from_mins(1);

/// A named set of endpoints.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// NAME of `[clusters.NAME]`.
    pub name: Name,
    /// The endpoints as configured, repetitions included; can be empty.
    pub endpoints: Vec<Endpoint>,
    /// How TLS is spoken to them. `None`: it is not.
    pub tls: Option<UpstreamTls>,
    /// The balancers, each asked if the one before answered `next`; at least one. Default
    /// `round-robin`.
    pub balancers: Vec<Name>,
    /// The most attempts at one request. Default: the number of distinct endpoints, at least 1.
    pub max_attempts: Option<u32>,
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// From sending a request to the head of its response. Default 60 s.
    pub response_timeout: Duration,
    /// The largest head of a response. Default 64 KiB.
    pub max_response_head_bytes: usize,
    /// The most fields of it, and of the trailers. Default 100.
    pub max_response_headers: usize,
    /// The longest silence within a response body. Default 60 s.
    pub body_timeout: Duration,
    /// The longest silence of both sides once they speak another protocol. Default 1 h.
    pub tunnel_timeout: Duration,
    /// How long an unused upstream connection is kept. Default 60 s.
    pub idle_timeout: Duration,
    /// The most unused connections kept per endpoint, over all workers. Default 64.
    pub max_idle_per_endpoint: usize,
    /// The PROXY header that connections begin with. Default none.
    pub proxy_protocol: Option<Version>,
    /// What is spoken over connections. Default [`Protocol::Http1`].
    pub protocol: Protocol,
    /// What the upstream gets as Host. Default [`HostHeader::Preserve`].
    pub host_header: HostHeader,
    /// Which forwarding headers the upstream gets. Default: all but `x_host`.
    pub forwarded_headers: ForwardedHeaders,
    /// The plugins that rewrite, in request order, after the listener's.
    pub rewriters: Vec<Name>,
    /// The most bytes of a request body that are kept for a repetition. Default 64 KiB.
    pub replay_bytes: usize,
    /// What each endpoint may have in flight, over all workers, unless it says so itself. Default:
    /// no limit.
    pub max_connections: Option<u32>,
    /// The most requests that wait, over all workers, while endpoints have as many in flight as they
    /// may; 0 turns waiting off. Default 100.
    pub max_queue: usize,
    /// The longest that a request waits for that. Default 5 s.
    pub queue_timeout: Duration,
    /// When an endpoint counts as offline.
    pub health: Health,
    /// The statuses that count as failures of the endpoint: 502 and 504 also where it did not answer.
    /// Apache's `failonstatus`. Default none.
    pub fail_on_status: Statuses,
    /// How many of them in a row until the endpoint is left alone as if it were offline, 1 to 1,000.
    /// Default 1, as in Apache.
    pub fail_attempts: u32,
    /// Whether a cluster whose endpoints are all out is tried all the same. Default true.
    pub force_recovery: bool,
    /// Over which time the weight of an endpoint that begins to take requests grows. Default zero: it
    /// has its weight at once.
    pub slow_start: Duration,
    /// The files that endpoints may have sent in their place. Default none.
    pub sendfile: Sendfile,
}

impl Default for Cluster {
    /// A cluster whose table sets nothing; it has neither name nor endpoints.
    fn default() -> Self {
        Self {
            name: Name::default(),
            endpoints: Vec::new(),
            tls: None,
            balancers: vec![Name::from("round-robin")],
            max_attempts: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: SILENCE,
            max_response_head_bytes: 64 << 10,
            max_response_headers: 100,
            body_timeout: SILENCE,
            tunnel_timeout: Duration::from_hours(1),
            idle_timeout: SILENCE,
            max_idle_per_endpoint: 64,
            proxy_protocol: None,
            protocol: Protocol::Http1,
            host_header: HostHeader::Preserve,
            forwarded_headers: ForwardedHeaders {
                x_forwarded_for: true,
                x_forwarded_proto: true,
                x_forwarded_host: true,
                x_host: false,
                x_request_id: false,
            },
            rewriters: Vec::new(),
            replay_bytes: 64 << 10,
            max_connections: None,
            max_queue: 100,
            queue_timeout: Duration::from_secs(5),
            health: Health { attempts: 2, offline: Duration::from_mins(1), check: None },
            fail_on_status: Statuses::default(),
            fail_attempts: 1,
            force_recovery: true,
            slow_start: Duration::ZERO,
            sendfile: Sendfile::default(),
        }
    }
}

impl Cluster {
    /// How TLS is spoken to an endpoint; `None` if it is not.
    #[must_use]
    pub fn tls_of(&self, endpoint: &Endpoint) -> Option<&UpstreamTls> {
        match endpoint.scheme {
            Scheme::Http => None,
            Scheme::Https => self.tls.as_ref(),
            Scheme::Unsaid => self.tls.as_ref().filter(|tls| tls.always),
        }
    }
}

/// A configured endpoint. A host name may stand for several addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// What its address says of TLS.
    pub scheme: Scheme,
    /// In hundredths, 1 to 1,000,000. Default 100.
    pub weight: u32,
    /// The most requests in flight; without it, what the cluster says.
    pub max_connections: Option<u32>,
    /// What only balancers read: keys and values, in the order of their keys.
    pub attributes: Vec<(String, String)>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A name to resolve, and a port.
    Name(Arc<str>, u16),
    /// A name whose SRV records say which hosts serve it, and at which ports.
    Service(Arc<str>),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What an address says of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Nothing: the cluster says.
    Unsaid,
    /// That it is not spoken there.
    Http,
    /// That it is.
    Https,
}

/// An address, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// How.
    pub scheme: Scheme,
    /// Where it is.
    pub address: Address,
}

impl fmt::Display for Location {
    /// As a file has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, address } = self;
        match (scheme, address) {
            (Scheme::Https, Address::Service(name)) => write!(out, "srv+https://{name}"),
            (Scheme::Https, _) => write!(out, "https://{address}"),
            (Scheme::Http, Address::Socket(_) | Address::Name(..)) => {
                write!(out, "http://{address}")
            }
            (Scheme::Http | Scheme::Unsaid, _) => address.fmt(out),
        }
    }
}

/// What is spoken over upstream connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over TLS if the endpoint agrees to it, in clear because it is known to speak it.
    Http2,
    /// What the endpoint chooses over TLS; HTTP/1.1 in clear.
    Auto,
}

impl Protocol {
    /// What it is in TLS (RFC 7301).
    pub const HTTP1: &'static [u8] = b"http/1.1";
    /// See [`Self::HTTP1`].
    pub const HTTP2: &'static [u8] = b"h2";

    /// What is offered within TLS, best first.
    #[must_use]
    pub fn offered(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[Self::HTTP1],
            Self::Http2 => &[Self::HTTP2],
            Self::Auto => &[Self::HTTP2, Self::HTTP1],
        }
    }
}

/// What the upstream gets as Host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client sent.
    Preserve,
    /// The endpoint's address.
    Endpoint,
}

/// Which headers of Linkspan's own the upstream gets (`seeds`: lighttpd's and Apache's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent headers")]
pub struct ForwardedHeaders {
    /// X-Forwarded-For: the client's address.
    pub x_forwarded_for: bool,
    /// X-Forwarded-Proto: `http` or `https`.
    pub x_forwarded_proto: bool,
    /// X-Forwarded-Host: the Host that the client sent.
    pub x_forwarded_host: bool,
    /// X-Host: the same under lighttpd's name.
    pub x_host: bool,
    /// X-Request-Id: the id that logs give the request.
    pub x_request_id: bool,
}
