//! One request of HTTP/2, from its head to the end of its answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, request};

use super::{answer, head, tunnel, websocket};
use crate::body::{Body, Inflow, Received};
use crate::config;
use crate::deadline::Deadline;
use crate::listener::handle::Handle;
use crate::listener::http2::{Lane, Line};
use crate::relay::client::{Client, Peer};
use crate::relay::{expects, handle};
use crate::wire::Limits;
use crate::worker::Worker;

/// A request as it has come.
pub(super) struct Arrived {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// What the requests of a connection have in common.
pub(super) struct Common {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Rc<Peer>,
    pub(super) line: Rc<Line>,
    pub(super) terms: Rc<Terms>,
}

/// What a listener allows.
pub(super) struct Terms {
    limits: Limits,
    request_timeout: Option<Duration>,
    body_timeout: Duration,
    pub(super) max_requests: Option<u64>,
}

impl Terms {
    /// Those of a listener.
    pub(super) fn of(settings: &config::Listener) -> Self {
        Self {
            limits: Limits {
                head_bytes: settings.max_head_bytes,
                fields: settings.max_headers,
                target_bytes: settings.max_target_bytes,
            },
            request_timeout: settings.request_timeout,
            body_timeout: settings.body_timeout,
            max_requests: settings.max_requests_per_connection,
        }
    }
}

/// What of a response has to be over by when.
pub(super) struct Clock {
    /// The most that all of it may take.
    time: Duration,
    deadline: Deadline,
}

impl Clock {
    /// Ready once, when it has taken too long.
    pub(super) fn poll(
        &mut self,
        client: &Client,
        context: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        ready!(self.deadline.poll(context));
        self.deadline.clear();
        client.expire(self.time);
        Poll::Ready(())
    }
}

/// Serves a request.
pub(super) fn serve(common: Common, arrived: Arrived) -> impl Future<Output = ()> {
    let Common { worker, peer, line, terms } = common;
    let Arrived { request, respond } = arrived;
    let (mut parts, stream) = request.into_parts();
    let fault = head::fault(&parts, &terms.limits);
    head::join_cookies(&mut parts.headers);
    let challenge = websocket::translate(&mut parts);
    let lane = Lane::new(line, respond, fault, challenge.is_some());
    let (received, tunnel) = match challenge {
        None => (Received::Http2(inflow(&parts, stream, &lane)), None),
        // What follows is not of the request.
        Some(challenge) => (Received::None, Some((challenge, stream))),
    };
    let mut clock =
        Clock { time: terms.request_timeout.unwrap_or_default(), deadline: Deadline::default() };
    if terms.request_timeout.is_some() {
        clock.deadline.set(clock.time);
    }
    let client = Client::new(peer, Handle::Http2(Rc::clone(&lane)));
    let answered = handle(worker, Rc::clone(&client), Box::new(parts), received);
    async move {
        let response = wait(&client, &lane, &mut clock, answered).await;
        let Some(response) = response else { return };
        match (client.agreed.take(), tunnel) {
            (Some(agreement), Some((challenge, stream))) => {
                tunnel::keep(&lane, agreement, challenge, (response, stream)).await;
            }
            _ => answer::send(&client, &lane, response, (clock, terms.body_timeout)).await,
        }
    }
}

/// Waits for the answer; none if the client has gone.
async fn wait(
    client: &Client,
    lane: &Lane,
    clock: &mut Clock,
    answered: impl Future<Output = Response<Body>>,
) -> Option<Response<Body>> {
    let mut answered = pin!(answered);
    poll_fn(|context| {
        if lane.poll_gone(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(response) = answered.as_mut().poll(context) {
            return Poll::Ready(Some(response));
        }
        ready!(clock.poll(client, context));
        answered.as_mut().poll(context).map(Some)
    })
    .await
}

/// The body, for which a client is asked that waits for it.
fn inflow(parts: &request::Parts, stream: RecvStream, lane: &Rc<Lane>) -> Inflow {
    let length =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let consent = expects(parts).then(|| {
        let lane = Rc::clone(lane);
        Box::new(move || lane.consent()) as Box<dyn FnOnce()>
    });
    Inflow::new(stream, length, consent)
}
