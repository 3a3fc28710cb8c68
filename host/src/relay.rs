//! The life of a request: vetted, routed, rewritten, sent to an endpoint, and its response relayed.
//!
//! `handle` reads like a table of contents; each step is below it or in a module of its own. What
//! goes wrong becomes an [`error::Error`], and that a response, in one place. Assumes nothing about
//! framing: bodies are streams, in both directions.

mod aside;
mod attempt;
pub(crate) mod choice;
pub(crate) mod client;
pub(crate) mod direct;
pub mod error;
pub(crate) mod labels;
mod hops;
mod http2;
pub(crate) mod introduction;
pub(crate) mod outcome;
pub(crate) mod record;
mod reply;
mod respond;
mod rewrite;
pub(crate) mod serve;
pub(crate) mod switch;
mod tell;
mod transform;
mod version;
mod vet;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{EXPECT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, Uri, Version, request};
use http_body::Body as _;
use smallvec::SmallVec;

use crate::body::{Body, Received, Upload, UploadError};
use crate::config::Location;
use crate::headers::{self, Forwarding};
use crate::log::id::RequestId;
use crate::plugin::{Decision, Exchange, Plugin, Taken, Trail, Upstream};
use crate::relay::attempt::Attempts;
use crate::relay::client::{Client, OpenRequest};
use crate::relay::error::{Error, Limit};
use crate::relay::record::Record;
use crate::relay::switch::Agreement;
use crate::view::{ClusterUse, Listener, View};
use crate::wire::Fault;
use crate::worker::Worker;

/// Serves one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    head: Box<request::Parts>,
    incoming: Received,
) -> Response<Body> {
    let view = worker.view();
    let waits = expects(&head);
    let mut incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
    let has_body = incoming.is_some();
    // One that is for TCP by now knows of no requests.
    let listener =
        view.behind(&client.peer.door).filter(|listener| listener.settings.tcp.is_none());
    let trusted = listener.is_some_and(|listener| client.peer.is_trusted_by(&listener.settings));
    let mut record = Record::new(&worker, &client, &head, trusted);
    let served = match (client.stream.begin(), listener) {
        (Err(fault), listener) => Err(refused(fault, &client, listener, &mut record)),
        (Ok(()), Some(listener)) => {
            let own = Served { worker: &worker, client: &client, view: &view, listener, trusted };
            let answer = {
                let mut serving = pin!(own.serve(head, &mut incoming, &mut record));
                client.in_time(serving.as_mut()).await
            };
            answer.unwrap_or_else(|time| Err(record.overdue(time)))
        }
        (Ok(()), None) => Err(Error::ListenerGone(Arc::clone(&client.peer.listener))),
    };
    let unfit = served.as_ref().ok().and_then(|response| unfit(response, &client, &record));
    let served = unfit.map_or(served, Err);
    if let Some(switch) = record.switched()
        && let Ok(response) = served
    {
        record.head(response.status());
        client.agreed.put(Agreement { switch, record });
        return response;
    }
    client.stream.stay();
    let leaves_body = match incoming {
        Some(incoming) if client.stream.is_sole() => waits || !reply::came_along(incoming).await,
        Some(_) => false,
        None => has_body && record.leaves_body(served.is_ok()),
    };
    let mut response = match served {
        Ok(response) => response,
        Err(error) => {
            let response = reply::error(&error);
            if error.closes() {
                client.stream.last();
            }
            record.fail(error);
            response
        }
    };
    let open_ended = record.is_open_ended(&response);
    client.stream.open_ended(open_ended);
    let used_up = listener.is_some_and(|listener| client.peer.is_used_up(&listener.settings));
    let last = client.stream.is_sole() && (used_up || leaves_body || worker.is_lingering());
    if last {
        client.stream.last();
    }
    if last || open_ended {
        reply::close(&mut response);
    }
    record.head(response.status());
    if record.is_head() {
        record.complete();
        *response.body_mut() = Body::empty();
        return response;
    }
    response.map(|body| body.observed(record))
}

/// A request with what it sees, from its first byte to its last.
struct Served<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Rc<Client>,
    view: &'a View,
    listener: &'a Listener,
    /// Whether the client's word on its own client counts.
    trusted: bool,
}

/// Where a router sends a request.
enum Routed {
    /// To a cluster, perhaps under another Host.
    To(Rc<ClusterUse>, Option<HeaderValue>),
    /// Nowhere: it is answered.
    Answer(Response<Body>),
}

impl Served<'_> {
    async fn serve(
        &self,
        mut head: Box<request::Parts>,
        incoming: &mut Option<Received>,
        record: &mut Record,
    ) -> Result<Response<Body>, Error> {
        let vet::Addressed { authority, target_origin, asked_host } = vet::vet(&mut head)?;
        if let Some(answer) = reply::ours(self.worker, &self.listener.settings, &head) {
            return Ok(answer);
        }
        let (passed, most) = (hops::passed(&head.headers), self.listener.settings.max_hops);
        if passed > most {
            return Err(Error::Loop(passed, Limit::max_hops(&self.listener.settings)));
        }
        if hops::ends_here(&mut head) {
            return Ok(reply::options());
        }
        self.worker.budget.request();
        let upgrade = headers::upgrade(&head);
        let underscores = self.listener.settings.underscores;
        headers::clean_request(&mut head.headers, self.trusted, underscores);
        let exchange = Box::write(
            Box::new_uninit(),
            Exchange {
                connection: self.client.peer.connection.clone(),
                authority,
                target_origin,
                request: head,
                response: None,
                cluster: None,
                endpoint: None,
                attributes: SmallVec::new(),
                tried: SmallVec::new(),
                taken: Taken { asked_host, upgrade, ..Taken::default() },
                trail: Trail::new(record.id().clone(), self.worker.writes_access()),
                stream: None,
            },
        );
        let (mut exchange, routed) = self.route(exchange, record).await;
        let (cluster, mut host) = match routed? {
            Routed::To(cluster, host) => (cluster, host),
            Routed::Answer(response) => return Ok(response),
        };
        record.cluster = cluster.name().cloned();
        exchange.cluster = record.cluster.clone();
        self.complete(&mut exchange, &cluster, record.id())?;
        if let Some(host) = &host {
            // Rewriters see what the upstream will get, as they do of the path.
            exchange.request.headers.insert(HOST, host.clone());
        }
        // Whether the client waits is between it and us, whatever rewriters do.
        let waits = expects(&exchange.request);
        for rewriters in [&self.listener.on_request, &cluster.on_request] {
            exchange = rewrite::request(exchange, rewriters, &mut host, record).await?;
        }
        let upload = match incoming.take() {
            Some(incoming) => self.upload(incoming, waits, &cluster)?,
            None => Upload::empty(),
        };
        record.upload = upload.clone();
        let attempts = Attempts {
            worker: self.worker,
            client: self.client,
            listener: self.listener,
            cluster: &cluster,
            upload: &upload,
            host,
            record,
        };
        let (exchange, response) = attempts.run(exchange).await;
        self.respond(exchange, response?, &cluster, record).await
    }

    /// Asks the listener's routers until one decides.
    async fn route(
        &self,
        mut exchange: Box<Exchange>,
        record: &mut Record,
    ) -> (Box<Exchange>, Result<Routed, Error>) {
        for router in &self.listener.routers {
            let router = router.version_for(&exchange);
            let decision;
            (exchange, decision) = router.route(exchange).await;
            record.called(router, &exchange);
            tell::decision(router, record.id(), &decision);
            let decision = match decision {
                Ok(Decision::Next) => continue,
                Ok(decision) => decision,
                Err(rejected) => return (exchange, Err(failed("router", router, &rejected))),
            };
            record.route = Some(router.clone());
            match self.follow(router, decision, &mut exchange, record).await {
                Ok(Some(routed)) => return (exchange, Ok(routed)),
                Ok(None) => {}
                Err(error) => return (exchange, Err(error)),
            }
        }
        let default = self.listener.default_cluster.clone();
        let none = || Error::NoRoute(Arc::clone(&self.client.peer.listener));
        (exchange, default.map(|cluster| Routed::To(cluster, None)).ok_or_else(none))
    }

    /// Does what a router has decided; nothing if that is not possible and the next is to be asked.
    async fn follow(
        &self,
        router: &Plugin,
        decision: Decision,
        exchange: &mut Exchange,
        record: &mut Record,
    ) -> Result<Option<Routed>, Error> {
        let (upstream, host, path) = match decision {
            Decision::Next => return Ok(None),
            Decision::Respond(response) => {
                return Ok(Some(Routed::Answer(reply::given(*response))));
            }
            Decision::Forward { upstream, host, path } => (upstream, host, path),
        };
        let cluster = match upstream {
            Upstream::Address(url) => {
                let (id, listener) = (record.id(), record.listener());
                let naming = direct::Naming { router, id, listener, read: Location::from_url };
                // Apart, as most requests have no use for the room.
                Box::pin(direct::cluster(self.worker, self.view, url, naming)).await?
            }
            Upstream::Cluster(name) => match self.view.cluster(&name) {
                Some(cluster) => Rc::clone(cluster),
                None => {
                    let text = format!("there is no cluster {name:?}");
                    let unfit = router.unfit_route(text, exchange);
                    record.failed_call(router, exchange);
                    return match unfit {
                        Ok(()) => Ok(None),
                        Err(rejected) => Err(failed("router", router, &rejected)),
                    };
                }
            },
        };
        if let Some(path) = path {
            set_path(exchange, path);
        }
        Ok(Some(Routed::To(cluster, host)))
    }

    /// Adds what the upstream is told about the client.
    fn complete(
        &self,
        exchange: &mut Exchange,
        cluster: &ClusterUse,
        id: &RequestId,
    ) -> Result<(), Error> {
        let version = exchange.request.version;
        let headers = &mut exchange.request.headers;
        let sent = headers.get(HOST).cloned();
        let forwarding = Forwarding {
            enabled: cluster.cluster.settings().forwarded_headers,
            client: &self.client.peer.address,
            scheme: &self.client.peer.scheme,
            sent_host: sent.as_ref(),
            id,
            version,
        };
        headers::complete_request(headers, &forwarding)
            .map_err(|_full| Error::BadRequest("it has too many header fields"))
    }

    /// The request's body, held back while the client waits for consent.
    fn upload(
        &self,
        incoming: Received,
        waits: bool,
        cluster: &ClusterUse,
    ) -> Result<Upload, Error> {
        let limits = cluster.upload(&self.listener.settings);
        let upload = Upload::new(incoming, limits).map_err(|error| match error {
            UploadError::TooLarge => {
                Error::TooLarge(Limit::max_body_bytes(&self.listener.settings))
            }
            _ => Error::ClientGone(0),
        })?;
        if waits {
            upload.hold();
        }
        // An upload can outlive its response, and keeps the connection busy as long.
        upload.keep(Box::new(OpenRequest::new(self.client)));
        Ok(upload)
    }
}

/// Whether a client waits for consent before it sends its body.
fn expects(request: &request::Parts) -> bool {
    let consent = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    request.version >= Version::HTTP_11
        && headers::has(&request.headers, &EXPECT)
        && request.headers.get(EXPECT).is_some_and(consent)
}

/// Why a head is refused.
fn refused(
    fault: Fault,
    client: &Client,
    listener: Option<&Rc<Listener>>,
    record: &mut Record,
) -> Error {
    if let Some(line) = client.stream.refused_line() {
        record.unread(&line);
    }
    let limit = listener.and_then(|listener| Limit::of_request(&listener.settings, fault));
    Error::Request(fault, limit)
}

/// What is wrong with a response that the client would take for a tunnel that it is not.
fn unfit(response: &Response<Body>, client: &Client, record: &Record) -> Option<Error> {
    let tunnel = client.stream.is_tunnel() && !record.switches() && response.status().is_success();
    tunnel.then(|| Error::Malformed("the answer to a request for WebSocket is none to it".into()))
}

/// That a plugin failed, and how.
pub(crate) fn failed(kind: &'static str, plugin: &Plugin, cause: &impl std::fmt::Display) -> Error {
    let plugin = Arc::clone(&plugin.definition().config.name);
    Error::Plugin { kind, plugin, cause: cause.to_string().into() }
}

/// Gives a request another path; its query stays, unless the path brings one. A question mark at
/// the path's end takes it away.
fn set_path(exchange: &mut Exchange, path: PathAndQuery) {
    let uri = &mut exchange.request.uri;
    let joined = match (path.query(), uri.query()) {
        (None, Some(query)) => format!("{path}?{query}").parse().unwrap_or(path),
        (Some(""), _) => path.path().parse().unwrap_or(path),
        _ => path,
    };
    let before = std::mem::replace(uri, Uri::from(joined));
    exchange.taken.original.get_or_insert(before);
}
