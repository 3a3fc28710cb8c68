//! Attempts at one request: endpoints are chosen, connections are made, and what may be repeated is
//! repeated (design: a request goes to another endpoint if nothing of it can have reached the first
//! one, or if its method is idempotent, no response byte has come, and its body can be replayed).

mod leaving;
mod request;
mod tell;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::time::Instant;

use crate::body::{Upload, UpstreamBody};
use crate::cluster::endpoint::Endpoint;
use crate::cluster::health;
use crate::cluster::pool::{SendError, SendErrorKind, Slot};
use crate::headers::{self, clean_interim};
use crate::plugin::Exchange;
use crate::relay::choice::{Candidate, Choosing, connect_words, tell_offline};
use crate::relay::client::Client;
use crate::relay::error::{Error, Limit, Side};
use crate::relay::outcome::Following;
use crate::relay::record::Record;
use crate::view::{ClusterUse, Listener};
use crate::worker::Worker;

/// One request on its way to a cluster.
pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) client: &'a Rc<Client>,
    pub(super) listener: &'a Listener,
    pub(super) cluster: &'a ClusterUse,
    /// The request's body.
    pub(super) upload: &'a Upload,
    /// A Host that a plugin gave.
    pub(super) host: Option<HeaderValue>,
    pub(super) record: &'a mut Record,
}

/// What to do after a failed attempt.
enum Next {
    /// Ask for another endpoint.
    Another(Error),
    /// Try the same endpoint over another connection.
    Again,
    /// Give up.
    Fail(Error),
}

type Done = Result<Response<UpstreamBody>, Error>;

impl Attempts<'_> {
    /// Makes attempts until one gives a response or none may be made any more.
    pub(super) async fn run(mut self, mut exchange: Box<Exchange>) -> (Box<Exchange>, Done) {
        let (worker, upload, listener) = (self.worker, self.upload, &self.listener.settings);
        let mut choosing = Choosing::new(self.cluster, worker);
        let error = loop {
            let found;
            let gone = || leaving::fails(upload, listener);
            (exchange, found) = choosing.candidate(exchange, self.record, gone).await;
            let Candidate { endpoint, admission: _admission, now, witness } = match found {
                Ok(candidate) => candidate,
                Err(error) => break error,
            };
            self.record.following = witness.map(Following::begin);
            let ended = self.attempt(&endpoint, &mut exchange, now).await;
            self.tell_outcome(&ended);
            match ended {
                Ok(response) => return (exchange, Ok(response)),
                Err(Next::Fail(error)) => break error,
                Err(Next::Another(error)) => choosing.failed(error),
                Err(Next::Again) => {}
            }
        };
        // Its slot is not to wait for the client to take the answer.
        self.record.in_flight = None;
        (exchange, Err(error))
    }

    /// Tries an endpoint: over pooled connections as long as they turn out to be closed, and then
    /// over a new one.
    async fn attempt(
        &mut self,
        endpoint: &Arc<Endpoint>,
        exchange: &mut Exchange,
        mut now: Instant,
    ) -> Result<Response<UpstreamBody>, Next> {
        let metrics = &self.cluster.metrics;
        metrics.attempt(self.worker.index);
        if self.record.attempts > 0 {
            metrics.retry(self.worker.index);
        }
        self.record.attempts += 1;
        self.record.connect = None;
        endpoint.count_attempt();
        self.record.endpoint = Some(Arc::clone(endpoint));
        exchange.endpoint = Some(Arc::clone(endpoint.label()));
        exchange.taken.host = Some(self.host(endpoint, exchange));
        loop {
            let single = !exchange.request.method.is_idempotent();
            let slot = self.connect(endpoint, now, single).await.map_err(Next::Another)?;
            // The clock is read where it has moved: each time costs a quarter of what calling a plugin does.
            if !slot.reused() {
                now = Instant::now();
            }
            match self.send(slot, endpoint, exchange, now).await {
                Err(Next::Again) => now = Instant::now(),
                done => return done,
            }
        }
    }

    async fn connect(
        &mut self,
        endpoint: &Arc<Endpoint>,
        now: Instant,
        single: bool,
    ) -> Result<Slot, Error> {
        let (key, to) = (endpoint.key(), endpoint.way());
        let (settings, told) = (&self.cluster.connect, &self.client.peer.subject);
        let acquired = self.worker.pool.acquire(key, to, settings, told, single).await;
        // Taking a connection that was there is no connecting, and takes no time.
        let reused = acquired.as_ref().is_ok_and(Slot::reused);
        let time = if reused { Duration::ZERO } else { now.elapsed() };
        self.record.connect = (!reused).then_some(time);
        match acquired {
            Ok(slot) => {
                if !reused {
                    self.cluster.cluster.connected(endpoint, health::now());
                }
                self.tell_connection(endpoint, reused, time);
                if let Some(following) = &self.record.following {
                    following.connected(time);
                }
                Ok(slot)
            }
            Err(error) => {
                self.cluster.metrics.failure(self.worker.index);
                let cluster = &self.cluster.cluster;
                let patience = cluster.settings().connect_timeout;
                let text = connect_words(cluster, &error, (time, patience));
                if error.blames_endpoint() {
                    let offline = cluster.connect_failed(endpoint, health::now());
                    tell_offline(cluster, endpoint, offline, &text);
                } else {
                    endpoint.count_failure();
                }
                self.tell_failure(endpoint, &text);
                Err(Error::of_connecting(&error, &format!("{}: {text}", endpoint.label())))
            }
        }
    }

    async fn send(
        &mut self,
        slot: Slot,
        endpoint: &Arc<Endpoint>,
        exchange: &Exchange,
        begun: Instant,
    ) -> Result<Response<UpstreamBody>, Next> {
        let version = slot.version();
        let host = exchange.taken.host.clone();
        let host = host.unwrap_or_else(|| self.host(endpoint, exchange));
        let request = self.request(&host, exchange, version);
        let interim = self.client.stream.interim(exchange.request.version);
        let pass = |status: StatusCode, mut headers: HeaderMap| {
            clean_interim(&mut headers, version);
            interim.send(status, &headers);
        };
        let mut limits = self.cluster.send;
        limits.download.read_bytes = self.client.stream.most();
        match slot.send(request, &limits, pass).await {
            Ok(response) if !self.may_switch(&response, exchange) => {
                let text = format!("{}: switches to a protocol unasked", endpoint.label());
                let error = Error::Malformed(text.into());
                self.count_failure(endpoint, &error);
                Err(Next::Fail(error))
            }
            Ok(response) => {
                self.upload.refuse();
                let arrived = Instant::now();
                let (now, took) = (health::at(arrived), arrived.saturating_duration_since(begun));
                endpoint.observe_latency(took, now);
                let status = response.status().as_u16();
                if let Some(following) = &mut self.record.following {
                    following.answered(status, took);
                }
                let news = self.cluster.cluster.responded(endpoint, status, now);
                self.tell_failing(endpoint, news, status);
                self.record.first_byte(arrived);
                Ok(response)
            }
            Err(error) => {
                let next = self.judge(&error, endpoint, &exchange.request.method);
                // What the client does wrong says nothing about the endpoint.
                if let Next::Another(error) | Next::Fail(error) = &next
                    && error.side() == Side::Upstream
                {
                    self.count_failure(endpoint, error);
                }
                Err(next)
            }
        }
    }

    /// Whether an answer is none that switches to another protocol, or the client has asked for that
    /// protocol and is done with its request.
    fn may_switch(&self, response: &Response<UpstreamBody>, exchange: &Exchange) -> bool {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return true;
        }
        let offer = exchange.taken.upgrade.as_ref().and_then(headers::offered);
        let chosen = response.headers().get(UPGRADE);
        self.upload.finished() && offer.is_some_and(|offer| headers::agrees(&offer, chosen))
    }

    fn count_failure(&self, endpoint: &Endpoint, error: &Error) {
        endpoint.count_failure();
        self.cluster.metrics.failure(self.worker.index);
        let status = error.status().as_u16();
        let news = self.cluster.cluster.broke(endpoint, status, health::now());
        self.tell_failing(endpoint, news, status);
    }

    /// What follows from a request that got no response.
    fn judge(&self, error: &SendError, endpoint: &Endpoint, method: &Method) -> Next {
        let text = || self.send_words(error, endpoint);
        let listener = &self.listener.settings;
        let received = self.upload.received_bytes();
        self.tell_failure(endpoint, &error.to_string());
        match error.kind {
            // What was read of the body cannot be read again.
            SendErrorKind::Unsent if !self.upload.replayable() => Next::Fail(Error::Broken(text())),
            // Nothing was sent. A connection that had served before was closed meanwhile, which
            // says nothing about the endpoint: pooled ones are used up, then a new one is made.
            SendErrorKind::Unsent if error.reused => Next::Again,
            SendErrorKind::Unsent => Next::Another(Error::Broken(text())),
            SendErrorKind::Broken => {
                let repeatable =
                    method.is_idempotent() && error.answered == 0 && self.upload.replayable();
                if !repeatable {
                    return Next::Fail(Error::Broken(text()));
                }
                if error.reused && self.worker.budget.repeat() {
                    return Next::Again;
                }
                Next::Another(Error::Broken(text()))
            }
            SendErrorKind::Malformed => Next::Fail(Error::Malformed(text())),
            SendErrorKind::Timeout => Next::Fail(Error::Timeout(text())),
            SendErrorKind::UploadTooLarge => {
                Next::Fail(Error::TooLarge(Limit::max_body_bytes(listener)))
            }
            SendErrorKind::UploadSilent => {
                let limit = Limit::body_timeout(&listener.name, listener.body_timeout);
                Next::Fail(Error::ClientSilent(received, limit))
            }
            SendErrorKind::UploadSlow => {
                Next::Fail(Error::ClientSlow(received, Limit::min_body_rate(listener)))
            }
            SendErrorKind::UploadMalformed(fault) => Next::Fail(Error::Request(fault, None)),
            SendErrorKind::UploadBroken => Next::Fail(Error::ClientGone(received)),
        }
    }
}
