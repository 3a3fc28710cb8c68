//! One downstream connection of HTTP/2: the library that speaks it, over our stream, and a task for each
//! request.
//!
//! Whoever takes a request back, or leaves, has its task end at once, and with it what the request has
//! begun upstream. A connection that is to end takes no new requests, and ends when those that are open
//! have; who floods it with frames that do nothing, or takes back what it has asked for, is told to go.

mod answer;
mod head;
mod request;
mod tunnel;
mod websocket;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection, Handshake};
use tokio::task::spawn_local;
use tokio::time::{Duration, timeout};

use crate::config;
use crate::deadline::Deadline;
use crate::listener::http2::{Below, Line};
use crate::relay::client::Peer;
use crate::relay::error::Error;
use crate::socket::Stream;
use crate::wire::Fault;
use crate::worker::Worker;
use request::{Arrived, Common, Terms};

/// What a client may send of a body before it is taken, of one stream and of all.
const WINDOW_BYTES: u32 = 256 << 10;
/// See [`WINDOW_BYTES`].
const WINDOWS_BYTES: u32 = 1 << 20;

/// What of a response may wait in a stream's window.
const WAITING_BYTES: usize = 64 << 10;

/// Why the library refuses a request, or a connection.
const MALFORMED: &str = "it is not HTTP/2";

/// How long a client that has no request may take to hear that it is to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// What drives a connection.
pub(crate) struct Driver {
    worker: Rc<Worker>,
    line: Rc<Line>,
    peer: Rc<Peer>,
    terms: Rc<Terms>,
    state: State,
    /// Set while a head is on its way.
    head: Deadline,
    head_timeout: Duration,
    /// Set while there is no request.
    idle: Deadline,
    idle_timeout: Duration,
    /// Requests that had begun when that was set.
    begun: u64,
    /// Requests that have come.
    accepted: u64,
    /// It takes no new requests.
    leaves: bool,
    /// The client was told to go, and how long it may take to hear it.
    condemned: bool,
    farewell: Deadline,
}

enum State {
    Handshake(Box<Handshake<Below, Bytes>>),
    Open(Box<Connection<Below, Bytes>>),
}

impl Driver {
    /// Of a connection of which `early` was read already.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        (stream, early): (Stream, Bytes),
        peer: Rc<Peer>,
        settings: &config::Listener,
    ) -> Self {
        let (line, below) = Line::new(stream, early, settings.body_timeout);
        // The library counts 32 bytes with each field (RFC 9113, 10.5.1), and answers what is larger
        // itself.
        let list = settings.max_head_bytes + 32 * settings.max_headers;
        let handshake = Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOWS_BYTES)
            .max_concurrent_streams(settings.max_streams)
            .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
            .max_send_buffer_size(WAITING_BYTES)
            // As many as can have come at once; how many may is limited by ourselves.
            .max_pending_accept_reset_streams(settings.max_streams as usize)
            .enable_connect_protocol()
            .handshake(below);
        Self {
            worker: Rc::clone(worker),
            line,
            peer,
            terms: Rc::new(Terms::of(settings)),
            state: State::Handshake(Box::new(handshake)),
            head: Deadline::default(),
            head_timeout: settings.head_timeout,
            idle: Deadline::default(),
            idle_timeout: settings.idle_timeout,
            begun: 0,
            accepted: 0,
            leaves: false,
            condemned: false,
            farewell: Deadline::default(),
        }
    }

    /// Serves it to its end.
    pub(crate) async fn run(mut self, leaving: impl Future<Output = ()>) {
        let mut leaving = pin!(leaving);
        let end = poll_fn(|context| {
            if !self.leaves && leaving.as_mut().poll(context).is_ready() {
                self.leave();
            }
            self.poll(context)
        });
        if let Err(error) = end.await {
            let listener = &*self.peer.listener;
            tracing::debug!(listener, client = %self.peer.text, "connection ended: {error}");
        }
        if matches!(self.state, State::Handshake(_)) {
            // What did not begin as HTTP/2 has nobody else to close it.
            let _ = timeout(FAREWELL, poll_fn(|context| self.line.poll_shut(context))).await;
        }
        // Streams hear that it is over, and what they were is written down before the process may leave.
        let line = Rc::clone(&self.line);
        drop(self);
        let over = poll_fn(|context| match line.is_idle(context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let _ = timeout(FAREWELL, over).await;
    }

    /// No new requests are taken from now on.
    fn leave(&mut self) {
        self.leaves = true;
        self.idle.clear();
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Drives it until it has ended, and counts what the library refuses.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let polled = self.poll_on(context);
        let ended = match &polled {
            Poll::Ready(Err(error)) => error.is_go_away() && error.is_library(),
            _ => false,
        };
        for _ in 0..self.line.refused() + u64::from(ended) {
            self.count(&Error::BadRequest(MALFORMED));
        }
        polled
    }

    fn poll_on(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if let Some(reason) = self.line.verdict()
                && !self.condemned
            {
                self.count(&Error::BadRequest(MALFORMED));
                self.condemn(reason);
            }
            match &mut self.state {
                State::Handshake(handshake) => {
                    let polled = Pin::new(&mut **handshake).poll(context);
                    if let Poll::Ready(connection) = polled {
                        self.state = State::Open(Box::new(connection?));
                        if self.leaves {
                            self.leave();
                        }
                        continue;
                    }
                }
                State::Open(connection) => match connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        self.begin(Arrived { request, respond });
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                },
            }
            if let Poll::Ready(Err(error)) = self.line.poll_send(context) {
                let (listener, client) = (&*self.peer.listener, &*self.peer.text);
                tracing::debug!(listener, %client, "connection ended: {error}");
                return Poll::Ready(Ok(()));
            }
            if self.line.verdict().is_some() && !self.condemned {
                continue;
            }
            return self.poll_clocks(context).map(Ok);
        }
    }

    /// Ready when it is over, whether the client knows or not.
    fn poll_clocks(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.condemned {
            return self.farewell.poll(context);
        }
        if !self.line.is_within_head() {
            self.head.clear();
        } else if !self.head.is_set() {
            self.head.set(self.head_timeout);
        }
        let (idle, begun) = (self.line.is_idle(context), self.peer.begun());
        if !idle {
            self.idle.clear();
        } else if !self.idle.is_set() || self.begun != begun {
            self.begun = begun;
            self.idle.set(if self.leaves { FAREWELL } else { self.idle_timeout });
        }
        let reason = if self.head.poll(context).is_ready() {
            self.count(&Error::Request(Fault::HeadTime, None));
            Reason::ENHANCE_YOUR_CALM
        } else {
            ready!(self.idle.poll(context));
            Reason::NO_ERROR
        };
        self.condemn(reason);
        // It is to be told.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts what no request failed with that is known.
    fn count(&self, error: &Error) {
        self.worker.count_error(error.index());
    }

    /// Tells the client to go, whatever is open.
    fn condemn(&mut self, reason: Reason) {
        self.condemned = true;
        match &mut self.state {
            // Who has not said that it speaks HTTP/2 would not understand it.
            State::Handshake(_) => self.farewell.set(Duration::ZERO),
            State::Open(connection) => {
                connection.abrupt_shutdown(reason);
                self.farewell.set(FAREWELL);
            }
        }
    }

    /// Begins with a request.
    fn begin(&mut self, arrived: Arrived) {
        if self.condemned {
            return;
        }
        self.accepted += 1;
        let common = Common {
            worker: Rc::clone(&self.worker),
            peer: Rc::clone(&self.peer),
            line: Rc::clone(&self.line),
            terms: Rc::clone(&self.terms),
        };
        spawn_local(request::serve(common, arrived));
        let used_up = self.terms.max_requests.is_some_and(|most| self.accepted >= most);
        if !self.leaves && (used_up || self.worker.is_lingering()) {
            self.leave();
        }
    }
}
