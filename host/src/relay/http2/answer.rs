//! The answer to a request of HTTP/2, sent as the client has room for it.
//!
//! A body is read one piece ahead of the client's window, so that its end is seen when that is full, and
//! given to the library when the window has room: all that is given can be sent at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, DATE, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response};
use http_body::Body as _;

use super::request::Clock;
use crate::body::Body;
use crate::deadline::Deadline;
use crate::listener::date;
use crate::listener::http2::Lane;
use crate::relay::client::Client;

/// What belongs to a connection of HTTP/1 (RFC 9113, 8.2.2).
const OF_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Sends an answer. Who takes nothing of it for `patience` is given up.
pub(super) async fn send(
    client: &Client,
    lane: &Lane,
    response: Response<Body>,
    (mut clock, patience): (Clock, Duration),
) {
    let (head, mut body) = response.into_parts();
    let whole = body.is_end_stream();
    let head = translated(Response::from_parts(head, ()));
    let Ok(stream) = lane.respond(head, whole) else { return };
    if whole {
        body.complete();
        lane.line().answered();
        return;
    }
    let mut answer = Answer {
        lane,
        stream,
        body,
        held: Bytes::new(),
        over: false,
        latest: usize::MAX,
        patience,
        silence: Deadline::default(),
    };
    poll_fn(|context| {
        if clock.poll(client, context).is_ready() {
            answer.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(());
        }
        answer.poll(context)
    })
    .await;
}

/// A head as HTTP/2 has it.
pub(super) fn translated(mut response: Response<()>) -> Response<()> {
    let headers = response.headers_mut();
    for name in &OF_CONNECTION {
        headers.remove(name);
    }
    headers.entry(DATE).or_insert_with(date::now);
    response
}

struct Answer<'a> {
    lane: &'a Lane,
    stream: SendStream<Bytes>,
    body: Body,
    /// What was read of it and is not sent.
    held: Bytes,
    /// Nothing follows that.
    over: bool,
    /// What the client had room for at last.
    latest: usize,
    patience: Duration,
    /// Set while the client has no room for what there is.
    silence: Deadline,
}

impl Answer<'_> {
    /// Sends what there is, until all was or nobody wants it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(());
            }
            if !self.held.is_empty() {
                if !ready!(self.poll_held(context)) {
                    return Poll::Ready(());
                }
                if self.over && self.held.is_empty() {
                    return self.done();
                }
                continue;
            }
            self.lane.has_room(self.latest);
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return self.done();
                }
                Some(Err(_)) => {
                    // Its end must not look like one.
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.held = data;
                        self.over = self.body.is_end_stream();
                        if self.held.is_empty() && self.over {
                            let _ = self.stream.send_data(Bytes::new(), true);
                            return self.done();
                        }
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers(trailers);
                            return self.done();
                        }
                    }
                },
            }
        }
    }

    /// Sends of what is held as much as the client has room for. Whether it goes on then.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.stream.capacity() == 0 {
            self.stream.reserve_capacity(self.held.len());
        }
        let mut room = self.stream.capacity();
        while room == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => room = self.stream.capacity(),
                Poll::Ready(_over) => return Poll::Ready(false),
                Poll::Pending => {
                    if !self.silence.is_set() {
                        self.silence.set(self.patience);
                    }
                    ready!(self.silence.poll(context));
                    self.lane.stall(self.patience);
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(false);
                }
            }
        }
        self.silence.clear();
        let data = self.held.split_to(room.min(self.held.len()));
        self.latest = data.len();
        self.lane.line().ahead().add(data.len());
        let last = self.over && self.held.is_empty();
        Poll::Ready(self.stream.send_data(data, last).is_ok())
    }

    fn trailers(&mut self, trailers: HeaderMap) {
        // Who has gone hears neither.
        let _ = match trailers.is_empty() {
            true => self.stream.send_data(Bytes::new(), true),
            false => self.stream.send_trailers(trailers),
        };
    }

    fn done(&mut self) -> Poll<()> {
        self.body.complete();
        self.lane.line().answered();
        Poll::Ready(())
    }
}
