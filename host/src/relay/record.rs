//! What is known of one request, for the access log and the metrics; written when its response has
//! been sent, or given up.

mod notes;
mod reason;

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, Version, request};
use http_body::Body as _;
use tokio::time::Instant;

use crate::body::{Body, Ended, Observer, Upload};
use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::config::Name;
use crate::headers::X_REQUEST_ID;
use crate::log::access::calls::{Calls, Cost};
use crate::log::access::{AccessRecord, RequestLine, Times};
use crate::log::id::RequestId;
use crate::metrics::Tunnel;
use crate::plugin::{Exchange, Plugin};
use crate::relay::choice::Waited;
use crate::relay::client::{Client, OpenRequest};
use crate::relay::error::{Error, Limit};
use crate::relay::outcome::Following;
use crate::relay::switch::Switch;
use crate::relay::transform::Transformation;
use crate::tunnel::Side;
use crate::worker::Worker;

/// One request. Dropping it writes it down.
pub(crate) struct Record {
    worker: Rc<Worker>,
    client: Rc<Client>,
    id: RequestId,
    time: SystemTime,
    started: Instant,
    method: Method,
    /// A copy, as the head that it came with is large.
    target: Box<[u8]>,
    version: Version,
    /// Its head was not understood.
    unread: bool,
    /// That of the head which the client gets; none as long as there is none.
    status: Option<StatusCode>,
    /// The router that decided.
    pub(crate) route: Option<Plugin>,
    /// The cluster that was chosen.
    pub(crate) cluster: Option<Name>,
    /// The endpoint of the last attempt.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// The balancer that was asked last, and whether it failed and the fallback chose.
    balancer: Option<(Plugin, bool)>,
    /// Attempts at an endpoint.
    pub(crate) attempts: u32,
    /// The last of them, where its balancer is told how that goes.
    pub(crate) following: Option<Box<Following>>,
    calls: Calls,
    /// What plugins do to the body of the response, where they do.
    transformation: Option<Rc<Transformation>>,
    /// How attempts failed that were not the last.
    retried: String,
    /// How long the last attempt took to connect, if it had to.
    pub(crate) connect: Option<Duration>,
    first_byte: Option<Duration>,
    waited: Waited,
    bytes_down: u64,
    /// Whether these come from a file instead of the endpoint.
    pub(crate) from_file: bool,
    /// The request's body, for its length.
    pub(crate) upload: Upload,
    /// Counts the request among its endpoint's as long as it lasts.
    pub(crate) in_flight: Option<InFlight>,
    error: Option<Error>,
    ended: Option<Ended>,
    /// The upstream's side of a tunnel that is to come.
    switch: Option<Switch>,
    /// It has become a tunnel.
    tunnels: bool,
    /// What has gone up a tunnel.
    tunnelled: u64,
    /// Why a tunnel has ended, unless both sides have.
    cut: Option<String>,
    /// Keeps the connection from counting as idle while the response is on its way.
    _open: OpenRequest,
}

impl Record {
    /// A request whose head has just been read. Its id is the one that a trusted client gives it,
    /// if it is one, else a new one.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        request: &request::Parts,
        trusted: bool,
    ) -> Box<Self> {
        let given = if trusted { given_id(&request.headers) } else { None };
        Box::write(
            Box::new_uninit(),
            Self {
                worker: Rc::clone(worker),
                client: Rc::clone(client),
                id: given.unwrap_or_else(|| worker.issue_id()),
                time: SystemTime::now(),
                started: Instant::now(),
                method: request.method.clone(),
                target: request
                    .uri
                    .path_and_query()
                    .map_or("*", PathAndQuery::as_str)
                    .as_bytes()
                    .into(),
                version: request.version,
                unread: false,
                status: None,
                route: None,
                cluster: None,
                endpoint: None,
                balancer: None,
                attempts: 0,
                following: None,
                calls: Calls::default(),
                transformation: None,
                retried: String::new(),
                connect: None,
                first_byte: None,
                waited: Waited::default(),
                bytes_down: 0,
                from_file: false,
                upload: Upload::empty(),
                in_flight: None,
                error: None,
                ended: None,
                switch: None,
                tunnels: false,
                tunnelled: 0,
                cut: None,
                _open: OpenRequest::begin(client),
            },
        )
    }

    /// Its head was not understood, of which this is the first line: what was read in its place is not
    /// the client's.
    pub(crate) fn unread(&mut self, line: &[u8]) {
        self.unread = true;
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        let target = if method.is_some() { words.next().unwrap_or_default() } else { line };
        self.method = method.unwrap_or_else(|| self.method.clone());
        self.target = if target.is_empty() { b"-" } else { target }.into();
    }

    /// The head of the upstream's response is there.
    pub(crate) fn first_byte(&mut self, at: Instant) {
        self.first_byte = Some(at.saturating_duration_since(self.started));
    }

    /// The head of the client's response is there.
    pub(crate) fn head(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Whether the client learns where this response ends by nothing but the end of the connection.
    pub(crate) fn is_open_ended(&self, response: &Response<Body>) -> bool {
        let has_length = || {
            response.body().size_hint().exact().is_some()
                || response.headers().contains_key(CONTENT_LENGTH)
        };
        // Others get it in chunks.
        self.is_old() && !self.is_head() && !has_length()
    }

    /// Whether nobody reads what its client may still send of its body, now that an upstream has
    /// answered, or none has. One that answers early may read on.
    pub(crate) fn leaves_body(&self, answered: bool) -> bool {
        if answered { self.upload.held() } else { !self.upload.is_received() }
    }

    /// Whether the client speaks HTTP/1.0.
    pub(crate) fn is_old(&self) -> bool {
        self.version < Version::HTTP_11
    }

    /// It has taken so long without a response, which is all that it may: why.
    pub(crate) fn overdue(&mut self, time: Duration) -> Error {
        self.waited.end();
        // Its slot is not to wait for the client to take the answer.
        self.in_flight = None;
        let limit = Limit::request_timeout(&self.client.peer.listener, time);
        match self.upload.waits_for_client() {
            true => Error::ClientLate(self.upload.received_bytes(), limit),
            false => Error::Late(limit),
        }
    }

    /// It failed.
    pub(crate) fn fail(&mut self, error: Error) {
        self.error = Some(error);
    }

    /// A plugin was called about it.
    pub(crate) fn called(&mut self, plugin: &Plugin, exchange: &Exchange) {
        if exchange.trail.measured {
            self.calls.add(plugin.label(), exchange.trail.cost);
        }
    }

    /// What a plugin answered turned out to be of no use.
    pub(crate) fn failed_call(&mut self, plugin: &Plugin, exchange: &Exchange) {
        if exchange.trail.measured {
            let failed = exchange.trail.cost.failed;
            self.calls.add(plugin.label(), Cost { failed, ..Cost::default() });
        }
    }

    /// Plugins transform its response, and write down here what comes of it.
    pub(crate) fn transformation(&mut self) -> Rc<Transformation> {
        let measured = self.worker.writes_access();
        Rc::clone(self.transformation.get_or_insert_with(|| Transformation::new(measured)))
    }

    /// Another attempt follows one that failed.
    pub(crate) fn retry_after(&mut self, error: &Error) {
        if self.worker.writes_access() && self.retried.len() < RETRIED_BYTES {
            let separator = if self.retried.is_empty() { "" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(self.retried, "{separator}{error}");
        }
    }

    /// Whether its answer has no body whatever its head says.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Its id.
    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Its listener.
    pub(crate) fn listener(&self) -> &str {
        &self.client.peer.listener
    }

    /// Nothing more will come of it.
    pub(crate) fn complete(&mut self) {
        self.ended = Some(Ended::Complete);
    }

    /// A tunnel is to follow.
    pub(crate) fn switch(&mut self, switch: Switch) {
        self.switch = Some(switch);
    }

    /// Whether a tunnel is to follow.
    pub(crate) fn switches(&self) -> bool {
        self.switch.is_some()
    }

    /// The upstream's side of the tunnel that is to follow.
    pub(crate) fn switched(&mut self) -> Option<Switch> {
        self.tunnels |= self.switch.is_some();
        self.switch.take()
    }

    /// Counts a tunnel as open as long as what this gives is held.
    pub(crate) fn tunnel(&self) -> Tunnel {
        self.client.peer.metrics.tunnel(self.worker.index)
    }

    /// Bytes have gone through the tunnel.
    pub(crate) fn passed(&mut self, from: Side, bytes: usize) {
        match from {
            Side::Downstream => self.tunnelled += bytes as u64,
            Side::Upstream => self.bytes_down += bytes as u64,
        }
    }

    /// The tunnel is over: why, unless both sides had ended.
    pub(crate) fn tunnel_ended(&mut self, cut: Option<String>) {
        self.cut = cut;
        self.complete();
    }
}

/// What is kept of the reasons of repetitions, if not less.
const RETRIED_BYTES: usize = 1_000;

/// The id that a request has by its only X-Request-Id.
fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    RequestId::given(only)
}

impl Observer for Record {
    fn data(&mut self, bytes: usize) {
        self.bytes_down += bytes as u64;
        self.client.stream.given(bytes);
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        self.client.stream.poll_room(context)
    }

    fn waits(&self) -> bool {
        !self.client.stream.is_sole()
    }

    fn ended(&mut self, how: Ended) {
        self.ended = Some(how);
        // An endpoint that has answered early is not done as long as it is sent the rest.
        if let Some(in_flight) = self.in_flight.take()
            && !self.upload.finished()
        {
            self.upload.keep(Box::new(in_flight));
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.waited.end();
        if let Some(following) = self.following.take_if(|_| self.worker.is_ending()) {
            following.forget();
        }
        let bytes_up = self.upload.received_bytes() + self.tunnelled;
        if let Some(endpoint) = &self.endpoint {
            endpoint.add_sent(bytes_up);
            if !self.from_file {
                endpoint.add_received(self.bytes_down);
            }
        }
        let status = self.status.map_or(0, |status| status.as_u16());
        // When a head that was refused began nobody knows, and how long a tunnel lasts is up to its ends.
        let total = self.started.elapsed();
        let timed = !self.unread && !self.tunnels;
        self.client.peer.metrics.request(self.worker.index, status, timed.then_some(total));
        if let Some(error) = self.failure() {
            self.worker.count_error(error);
        }
        if !self.worker.writes_access() {
            return;
        }
        if let Some(transformation) = &self.transformation {
            self.calls.join(transformation.take_calls());
        }
        let (reason, balancer) = (self.reason(), self.balancer.as_ref());
        self.worker.write(&AccessRecord {
            time: self.time,
            id: &self.id,
            client: &self.client.peer.text,
            listener: &self.client.peer.listener,
            request: Some(RequestLine {
                method: self.method.as_str(),
                target: &self.target,
                protocol: self.version,
                status,
            }),
            bytes_up,
            bytes_down: self.bytes_down,
            route: self.route.as_ref().map(|plugin| &*plugin.definition().config.name),
            cluster: self.cluster.as_deref(),
            endpoint: self.endpoint.as_ref().map(|endpoint| &**endpoint.label()),
            balancer: balancer.map(|(balancer, _)| &*balancer.definition().config.name),
            fallback: balancer.is_some_and(|(_, fallback)| *fallback),
            attempts: self.attempts,
            plugins: &self.calls,
            times: Times {
                queued: self.waited.total(),
                connect: self.connect,
                first_byte: self.first_byte,
                total: (!self.unread).then_some(total),
            },
            error: reason.as_deref(),
            retried: Some(&*self.retried).filter(|retried| !retried.is_empty()),
        });
    }
}
