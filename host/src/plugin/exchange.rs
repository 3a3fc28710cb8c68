//! One request and its response as plugins see them.
//!
//! The relay owns the exchange, and hands it to a plugin for the length of a call; getters answer
//! from it. Nothing is copied ahead of a plugin asking.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use http::{HeaderValue, Method, Request, Response, Uri, request, response};
use smallvec::SmallVec;

use crate::config::Name;
use crate::log::access::calls::Cost;
use crate::log::id::RequestId;
use crate::plugin::members::{EndpointId, Siblings};
use crate::plugin::outcomes::Mailbox;

/// What all requests of a downstream connection have in common.
#[derive(Debug)]
pub struct Connection {
    /// The listener's name.
    pub listener: Name,
    /// The client's address; `None` on a Unix socket.
    pub client: Option<SocketAddr>,
    /// The smallest number that no other open connection had when this one was accepted.
    pub slot: u32,
    /// `http` or `https`; `tcp` where there are no requests.
    pub scheme: &'static str,
    /// What is known of the TLS that the client speaks, if it does.
    pub tls: Option<Box<Secured>>,
}

/// What is known of the TLS that a client speaks.
#[derive(Debug)]
pub struct Secured {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The name that it has asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The certificate that it has shown, in DER.
    pub certificate: Option<Box<[u8]>>,
    /// Whom that is about (RFC 4514).
    pub subject: Option<Box<str>>,
}

/// A request on its way up and its response on its way down.
#[derive(Debug)]
pub struct Exchange {
    /// The connection that the request came on.
    pub connection: Arc<Connection>,
    /// The authority that the client addressed; empty if it named none.
    pub authority: Box<str>,
    /// Scheme and authority of a target in absolute form.
    pub target_origin: Option<Box<str>>,
    /// The request's head, as the upstream will get it.
    pub request: Box<request::Parts>,
    /// The response's head, once there is one.
    pub response: Option<response::Parts>,
    /// The cluster that was chosen; `None` before, and where a router named an address.
    pub cluster: Option<Name>,
    /// The address of the endpoint that answered, or is being asked.
    pub endpoint: Option<Arc<str>>,
    /// The tables of that endpoint, as many as the list has entries for it, once a plugin is called
    /// that may ask for them.
    pub attributes: SmallVec<[Attributes; 1]>,
    /// The endpoints that were tried, in the order of the attempts.
    pub tried: SmallVec<[EndpointId; 4]>,
    /// What changed on its way.
    pub taken: Taken,
    /// What logs are told of it.
    pub trail: Trail,
    /// Where this is about a TCP connection instead, what is known of that. There is no request then,
    /// and what stands in its place says nothing.
    pub stream: Option<Box<Streamed>>,
}

/// What a TCP connection has brought.
#[derive(Debug, Clone, Default)]
pub struct Streamed {
    /// All bytes so far.
    pub bytes: Vec<u8>,
}

impl Exchange {
    /// One about a TCP connection on which nothing has come yet.
    #[must_use]
    pub fn of_stream(connection: Arc<Connection>, trail: Trail) -> Box<Self> {
        let (mut request, ()) = Request::new(()).into_parts();
        (request.method, request.uri) = (Method::CONNECT, Uri::from_static("*"));
        Box::new(Self {
            connection,
            authority: Box::default(),
            target_origin: None,
            request: Box::new(request),
            response: None,
            cluster: None,
            endpoint: None,
            attributes: SmallVec::new(),
            tried: SmallVec::new(),
            taken: Taken::default(),
            trail,
            stream: Some(Box::default()),
        })
    }

    /// A copy for calls that go on while this is changed. What heads carry that is no field of theirs
    /// is left out.
    #[must_use]
    pub fn copy(&self) -> Box<Self> {
        let (mut request, ()) = Request::new(()).into_parts();
        request.method = self.request.method.clone();
        request.uri = self.request.uri.clone();
        request.version = self.request.version;
        request.headers = self.request.headers.clone();
        let response = self.response.as_ref().map(|from| {
            let (mut response, ()) = Response::new(()).into_parts();
            response.status = from.status;
            response.version = from.version;
            response.headers = from.headers.clone();
            response
        });
        let trail = Trail::new(self.trail.id.clone(), self.trail.measured);
        Box::new(Self {
            connection: Arc::clone(&self.connection),
            authority: self.authority.clone(),
            target_origin: self.target_origin.clone(),
            request: Box::new(request),
            response,
            cluster: self.cluster.clone(),
            endpoint: self.endpoint.clone(),
            attributes: self.attributes.clone(),
            tried: self.tried.clone(),
            taken: self.taken.clone(),
            trail,
            stream: self.stream.clone(),
        })
    }
}

/// The way that a request has taken, as far as undoing it on the response needs to know.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The target as the client sent it, once that was changed.
    pub original: Option<Uri>,
    /// The Host field as the client sent it, where its target said otherwise.
    pub asked_host: Option<Box<str>>,
    /// The protocols that the client would switch to.
    pub upgrade: Option<HeaderValue>,
    /// The Host that the endpoint was sent.
    pub host: Option<HeaderValue>,
    /// The endpoints of the cluster that answered, once a plugin is called that may ask for them.
    pub siblings: Option<Arc<dyn Siblings>>,
}

/// The keys of an endpoint's table that are not the host's.
pub type Attributes = Arc<[(String, String)]>;

/// What logs are told of a request and of the last call about it.
#[derive(Debug)]
pub struct Trail {
    /// The request's id.
    pub id: RequestId,
    /// Whether every call is measured, not one in some.
    pub measured: bool,
    /// What the last call took.
    pub cost: Cost,
    /// What the last call asked a hash of, if that is traced.
    pub hashed: Option<Hashed>,
    /// Where the instance that was called last can be told what becomes of its choice.
    pub(super) chooser: Option<Weak<Mailbox>>,
    /// Held as long as more may be recorded of the request, once something is.
    pub(super) recorded: Option<Arc<()>>,
}

impl Trail {
    /// That of a request which nothing was called about yet.
    #[must_use]
    pub fn new(id: RequestId, measured: bool) -> Self {
        let (hashed, chooser, recorded) = (None, None, None);
        Self { id, measured, cost: Cost::default(), hashed, chooser, recorded }
    }
}

/// A hash that a plugin asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// Of what: `path`, `header accept`, …
    pub key: String,
    /// The hash; `None` if the request has no such part.
    pub hash: Option<u64>,
}
