//! What is known of one request, for the access log and the metrics; written when its response has
//! been sent, or given up.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, Uri, Version, request};
use tokio::time::Instant;

use crate::body::{Ended, Observer, Upload};
use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::config::Name;
use crate::headers::X_REQUEST_ID;
use crate::log::access::{AccessRecord, Times};
use crate::log::id::RequestId;
use crate::metrics::ListenerMetrics;
use crate::plugin::Plugin;
use crate::relay::client::{Client, OpenRequest};
use crate::relay::error::Error;
use crate::worker::Worker;

/// One request. Dropping it writes it down.
pub(crate) struct Record {
    worker: Rc<Worker>,
    client: Rc<Client>,
    id: RequestId,
    time: SystemTime,
    started: Instant,
    method: Method,
    target: Uri,
    version: Version,
    metrics: Arc<ListenerMetrics>,
    status: StatusCode,
    /// The router that decided.
    pub(crate) route: Option<Plugin>,
    /// The cluster that was chosen.
    pub(crate) cluster: Option<Name>,
    /// The endpoint of the last attempt.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// Attempts at an endpoint.
    pub(crate) attempts: u32,
    /// How long the last attempt took to get a connection.
    pub(crate) connect: Option<Duration>,
    first_byte: Option<Duration>,
    bytes_down: u64,
    /// The request's body, for its length.
    pub(crate) upload: Upload,
    /// Counts the request among its endpoint's as long as it lasts.
    pub(crate) in_flight: Option<InFlight>,
    error: Option<Error>,
    ended: Option<Ended>,
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
        Box::new(Self {
            worker: Rc::clone(worker),
            client: Rc::clone(client),
            id: given.unwrap_or_else(|| worker.issue_id()),
            time: SystemTime::now(),
            started: Instant::now(),
            method: request.method.clone(),
            target: request.uri.clone(),
            version: request.version,
            metrics: Arc::clone(&client.metrics),
            status: StatusCode::default(),
            route: None,
            cluster: None,
            endpoint: None,
            attempts: 0,
            connect: None,
            first_byte: None,
            bytes_down: 0,
            upload: Upload::empty(),
            in_flight: None,
            error: None,
            ended: None,
            _open: OpenRequest::begin(client),
        })
    }

    /// The head of the response is there.
    pub(crate) fn head(&mut self, status: StatusCode) {
        self.status = status;
        self.first_byte = Some(self.started.elapsed());
    }

    /// It failed.
    pub(crate) fn fail(&mut self, error: Error) {
        self.status = error.status();
        self.error = Some(error);
    }

    /// Whether its answer has no body whatever its head says.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Its id.
    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Nothing more will come of it.
    pub(crate) fn complete(&mut self) {
        self.ended = Some(Ended::Complete);
    }

    fn reason(&self) -> Option<String> {
        match (&self.error, self.ended) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some(Ended::Complete)) => None,
            (None, Some(Ended::Broken)) => Some("the upstream broke off its response".to_owned()),
            (None, Some(Ended::Abandoned) | None) => Some("the client went away".to_owned()),
        }
    }
}

/// The id that a request has by its only X-Request-Id.
fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    RequestId::given(only)
}

impl Observer for Record {
    fn data(&mut self, bytes: usize) {
        self.bytes_down += bytes as u64;
    }

    fn ended(&mut self, how: Ended) {
        self.ended = Some(how);
        self.in_flight = None;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let bytes_up = self.upload.received_bytes();
        if let Some(endpoint) = &self.endpoint {
            endpoint.add_sent(bytes_up);
            endpoint.add_received(self.bytes_down);
        }
        let answered = self.first_byte.is_some() || self.error.is_some();
        let status = if answered { self.status.as_u16() } else { 0 };
        let total = self.started.elapsed();
        self.metrics.request(self.worker.index, status, total);
        if let Some(error) = &self.error {
            self.worker.count_error(error.index());
        }
        let reason = self.reason();
        self.worker.write(&AccessRecord {
            time: self.time,
            id: &self.id,
            client: &self.client.text,
            listener: &self.client.listener,
            method: self.method.as_str(),
            target: self.target.path_and_query().map_or(b"*", |target| target.as_str().as_bytes()),
            protocol: self.version,
            status,
            bytes_up,
            bytes_down: self.bytes_down,
            route: self.route.as_ref().map(|plugin| &*plugin.definition().config.name),
            cluster: self.cluster.as_deref(),
            endpoint: self.endpoint.as_ref().map(|endpoint| &**endpoint.label()),
            attempts: self.attempts,
            times: Times { queue: None, connect: self.connect, first_byte: self.first_byte, total },
            error: reason.as_deref(),
        });
    }
}
