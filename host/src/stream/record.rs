//! What is known of one connection, for the access log and the metrics; written when it is over.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::cluster::health;
use crate::config::Name;
use crate::log::access::calls::{Calls, Cost};
use crate::log::access::{AccessRecord, Times};
use crate::log::id::RequestId;
use crate::metrics::ListenerMetrics;
use crate::plugin::{Course, Exchange, Plugin, Rejected};
use crate::relay::choice::{Notes, Waited};
use crate::relay::error as relay;
use crate::relay::labels::Cut;
use crate::relay::outcome::Following;
use crate::socket::bind::ShownPeer;
use crate::stream::error::Error;
use crate::tunnel::Side;
use crate::view::Listener;
use crate::worker::Worker;

/// What is kept of the reasons of attempts that failed, if not less.
const RETRIED_BYTES: usize = 1_000;

/// One connection. Dropping it writes it down.
pub(super) struct Record {
    worker: Rc<Worker>,
    metrics: Arc<ListenerMetrics>,
    listener: Name,
    client: Box<str>,
    id: RequestId,
    time: SystemTime,
    started: Instant,
    /// The router that decided, by name: the router itself may be superseded by then.
    route: Option<Name>,
    /// The cluster that was chosen.
    pub(super) cluster: Option<Name>,
    /// The endpoint of the last attempt.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// The balancer that was asked last, and whether it failed and the fallback chose.
    balancer: Option<(Name, bool)>,
    /// Attempts at an endpoint.
    pub(super) attempts: u32,
    calls: Calls,
    retried: String,
    /// How long connecting took, in the last attempt.
    pub(super) connect: Option<Duration>,
    /// When the upstream had been connected to.
    pub(super) connected: Option<Instant>,
    first_byte: Option<Duration>,
    waited: Waited,
    bytes_up: u64,
    bytes_down: u64,
    /// Bytes from the upstream.
    received: u64,
    in_flight: Option<InFlight>,
    /// Who is told how the attempt goes on.
    pub(super) following: Option<Box<Following>>,
    /// It is over: with why that was early, if it was.
    ended: Option<Option<Error>>,
}

impl Record {
    /// A connection that has just been accepted.
    pub(super) fn new(
        worker: &Rc<Worker>,
        listener: &Listener,
        client: Option<SocketAddr>,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            metrics: Arc::clone(&listener.metrics),
            listener: Name::clone(&listener.settings.name),
            client: ShownPeer(client).to_string().into(),
            id: worker.issue_id(),
            time: SystemTime::now(),
            started: Instant::now(),
            route: None,
            cluster: None,
            endpoint: None,
            balancer: None,
            attempts: 0,
            calls: Calls::default(),
            retried: String::new(),
            connect: None,
            connected: None,
            first_byte: None,
            waited: Waited::default(),
            bytes_up: 0,
            bytes_down: 0,
            received: 0,
            in_flight: None,
            following: None,
            ended: None,
        }
    }

    /// Its listener.
    pub(super) fn listener(&self) -> &Name {
        &self.listener
    }

    /// A router has decided.
    pub(super) fn route(&mut self, router: &Plugin) {
        self.route = Some(Name::clone(&router.definition().config.name));
    }

    /// What a plugin answered turned out to be of no use.
    pub(super) fn failed_call(&mut self, plugin: &Plugin, exchange: &Exchange) {
        if exchange.trail.measured {
            let failed = exchange.trail.cost.failed;
            self.calls.add(plugin.label(), Cost { failed, ..Cost::default() });
        }
    }

    /// The endpoint of the last attempt, as logs name it.
    pub(super) fn endpoint_label(&self) -> String {
        let label = self.endpoint.as_ref().map(|endpoint| &**endpoint.label());
        label.unwrap_or("the upstream").to_owned()
    }

    /// Bytes have gone from a side to the other.
    pub(super) fn passed(&mut self, from: Side, bytes: usize) {
        let count = bytes as u64;
        match from {
            Side::Downstream => self.bytes_up += count,
            Side::Upstream => {
                if self.received == 0 {
                    self.answered();
                }
                self.received += count;
                self.bytes_down += count;
            }
        }
        self.metrics.stream_bytes(self.worker.index, from == Side::Downstream, count);
    }

    /// The client was sent something that is not its upstream's.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_down += bytes as u64;
        self.metrics.stream_bytes(self.worker.index, false, bytes as u64);
    }

    /// It is over: with why that was early, if it was.
    pub(super) fn ended(&mut self, error: Option<Error>) {
        self.ended = Some(error);
        self.in_flight = None;
    }

    /// Traces what a router has said.
    pub(super) fn tell_course(&self, router: &Plugin, course: &Result<Option<Course>, Rejected>) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let (id, plugin) = (&self.id, &*router.definition().config.name);
        let answer = match course {
            Ok(Some(course)) => course.to_string(),
            Ok(None) => "failed, next".to_owned(),
            Err(_) => "failed, reject".to_owned(),
        };
        tracing::trace!(%id, plugin, answer, "decide");
    }

    /// The upstream's first byte has come.
    fn answered(&mut self) {
        let now = Instant::now();
        self.first_byte = Some(now.saturating_duration_since(self.started));
        if let (Some(endpoint), Some(connected)) = (&self.endpoint, self.connected) {
            let time = now.saturating_duration_since(connected);
            endpoint.observe_latency(time, health::at(now));
        }
    }

    /// Why it ended early, in words and as it is counted; none if it did not.
    fn reason(&self) -> Option<(String, usize)> {
        match &self.ended {
            Some(error) => error.as_ref().map(|error| (error.to_string(), error.index())),
            // Nobody else drops it before it is over.
            None => {
                let bytes = self.bytes_down;
                let text = format!("cut off at shutdown, after {bytes} bytes for the client");
                Some((text, Cut::Shutdown.index()))
            }
        }
    }
}

impl Notes for Record {
    fn id(&self) -> &RequestId {
        &self.id
    }

    fn called(&mut self, plugin: &Plugin, exchange: &Exchange) {
        if exchange.trail.measured {
            self.calls.add(plugin.label(), exchange.trail.cost);
        }
    }

    fn chosen(&mut self, balancer: &Plugin, fallback: bool) {
        self.balancer = Some((Name::clone(&balancer.definition().config.name), fallback));
    }

    fn in_flight(&mut self) -> &mut Option<InFlight> {
        &mut self.in_flight
    }

    fn retry_after(&mut self, error: &relay::Error) {
        if self.worker.writes_access() && self.retried.len() < RETRIED_BYTES {
            let separator = if self.retried.is_empty() { "" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(self.retried, "{separator}{error}");
        }
    }

    fn waited(&mut self) -> &mut Waited {
        &mut self.waited
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.waited.end();
        if let Some(endpoint) = &self.endpoint {
            endpoint.add_sent(self.bytes_up);
            endpoint.add_received(self.received);
        }
        let reason = self.reason();
        if let Some((_, index)) = reason {
            self.worker.count_error(index);
        }
        if !self.worker.writes_access() {
            return;
        }
        let balancer = self.balancer.as_ref();
        self.worker.write(&AccessRecord {
            time: self.time,
            id: &self.id,
            client: &self.client,
            listener: &self.listener,
            request: None,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            route: self.route.as_deref(),
            cluster: self.cluster.as_deref(),
            endpoint: self.endpoint.as_ref().map(|endpoint| &**endpoint.label()),
            balancer: balancer.map(|(balancer, _)| &**balancer),
            fallback: balancer.is_some_and(|(_, fallback)| *fallback),
            attempts: self.attempts,
            plugins: &self.calls,
            times: Times {
                queued: self.waited.total(),
                connect: self.connect,
                first_byte: self.first_byte,
                total: Some(self.started.elapsed()),
            },
            error: reason.as_ref().map(|(text, _)| text.as_str()),
            retried: Some(&*self.retried).filter(|retried| !retried.is_empty()),
        });
    }
}
