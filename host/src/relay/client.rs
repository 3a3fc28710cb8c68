//! What the requests of one downstream connection have in common, and what each stream of it has to
//! itself: with HTTP/1 there is one stream, with HTTP/2 each request is one.
//!
//! It holds nothing of a snapshot but where the listener counts, so that a connection that stays
//! open keeps no superseded plugin alive.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;

use crate::config::{self, Name};
use crate::headers::client_address;
use crate::listener::accept::Caller;
use crate::listener::door::Door;
use crate::listener::handle::Handle;
use crate::metrics::ListenerMetrics;
use crate::plugin::{Connection, Secured};
use crate::proxy_protocol::Subject;
use crate::relay::introduction::Introduction;
use crate::relay::switch::Agreed;
use crate::socket::bind::ShownPeer;
use crate::view::Listener;

/// Who is at the other end of a downstream connection.
pub(crate) struct Peer {
    /// What plugins see of it.
    pub(crate) connection: Arc<Connection>,
    /// The listener's name.
    pub(crate) listener: Name,
    /// Where it has come in.
    pub(crate) door: Arc<Door>,
    /// Where the listener counts.
    pub(crate) metrics: Arc<ListenerMetrics>,
    /// The client's address and port, as logs have it.
    pub(crate) text: Box<str>,
    /// What upstream connections tell of it.
    pub(crate) subject: Rc<Subject>,
    /// X-Forwarded-For.
    pub(crate) address: HeaderValue,
    /// Whether it is a proxy that has not said who its client is.
    nameless: bool,
    /// X-Forwarded-Proto.
    pub(crate) scheme: HeaderValue,
    /// Requests that have begun.
    begun: Cell<u64>,
}

impl Peer {
    /// Of a connection that a listener has accepted, and whose it is.
    pub(crate) fn new(
        listener: &Listener,
        introduction: &Introduction,
        (caller, tls): (&Caller, Option<Box<Secured>>),
    ) -> Rc<Self> {
        let slot = caller.ticket.slot();
        let name = Arc::clone(&listener.settings.name);
        let client = introduction.client;
        let scheme = listener.settings.scheme();
        let connection = Connection { listener: Arc::clone(&name), client, slot, scheme, tls };
        Rc::new(Self {
            connection: Arc::new(connection),
            listener: name,
            door: Arc::clone(&caller.door),
            metrics: Arc::clone(&listener.metrics),
            text: ShownPeer(client).to_string().into(),
            subject: Rc::new(introduction.subject()),
            address: client_address(client.map(|client| client.ip())),
            nameless: introduction.nameless,
            scheme: HeaderValue::from_static(scheme),
            begun: Cell::new(0),
        })
    }

    /// Whether it is one of a listener's trusted proxies.
    pub(crate) fn is_trusted_by(&self, listener: &config::Listener) -> bool {
        !self.nameless && listener.trusts(self.connection.client.map(|client| client.ip()))
    }

    /// Whether it has had as many requests as a listener allows.
    pub(crate) fn is_used_up(&self, listener: &config::Listener) -> bool {
        listener.max_requests_per_connection.is_some_and(|most| self.begun.get() >= most)
    }

    /// How many requests have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }
}

/// A stream of a downstream connection, by which requests come.
pub(crate) struct Client {
    /// Whose it is.
    pub(crate) peer: Rc<Peer>,
    /// The stream itself, beneath what reads requests of it.
    pub(crate) stream: Handle,
    /// What the client and an upstream have agreed on.
    pub(crate) agreed: Agreed,
    /// There is no response yet to the latest request.
    unanswered: Cell<bool>,
    /// That has taken longer than this, which is all that it may.
    overdue: Cell<Option<Duration>>,
}

impl Client {
    /// A stream of a peer's connection.
    pub(crate) fn new(peer: Rc<Peer>, stream: Handle) -> Rc<Self> {
        Rc::new(Self {
            peer,
            stream,
            agreed: Agreed::default(),
            unanswered: Cell::new(false),
            overdue: Cell::new(None),
        })
    }

    /// Waits for the response to a request, or until it is overdue.
    ///
    /// # Errors
    ///
    /// How long it was waited for.
    pub(crate) async fn in_time<F: Future>(
        &self,
        mut answer: Pin<&mut F>,
    ) -> Result<F::Output, Duration> {
        self.overdue.set(None);
        self.unanswered.set(true);
        let answer = poll_fn(|context| match (answer.as_mut().poll(context), self.overdue.get()) {
            (Poll::Ready(answer), _) => Poll::Ready(Ok(answer)),
            (Poll::Pending, Some(time)) => Poll::Ready(Err(time)),
            (Poll::Pending, None) => Poll::Pending,
        });
        let answer = answer.await;
        self.unanswered.set(false);
        answer
    }

    /// The latest request has taken so long, which is all that it may. Whether that can still be
    /// answered: then the connection is to be polled.
    pub(crate) fn expire(&self, time: Duration) -> bool {
        self.overdue.set(Some(time));
        self.unanswered.get()
    }

    /// What the latest request has taken, if that is all that it may.
    pub(crate) fn overdue(&self) -> Option<Duration> {
        self.overdue.get()
    }
}

/// A request that is open on its connection.
pub(crate) struct OpenRequest(Rc<Client>);

impl OpenRequest {
    /// Goes on with a request that has begun.
    pub(crate) fn new(client: &Rc<Client>) -> Self {
        client.stream.open_request();
        Self(Rc::clone(client))
    }

    /// Begins a request.
    pub(crate) fn begin(client: &Rc<Client>) -> Self {
        let begun = &client.peer.begun;
        begun.set(begun.get() + 1);
        Self::new(client)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.stream.close_request();
    }
}
