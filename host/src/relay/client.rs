//! What the requests of one downstream connection have in common.
//!
//! It holds nothing of a snapshot but where the listener counts, so that a connection that stays
//! open keeps no superseded plugin alive.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::config::{self, Name};
use crate::headers::client_address;
use crate::listener::stream::Handle;
use crate::metrics::ListenerMetrics;
use crate::plugin::Connection;
use crate::proxy_protocol::Subject;
use crate::relay::introduction::Introduction;
use crate::relay::switch::Agreed;
use crate::view::Listener;

/// A downstream connection.
pub(crate) struct Client {
    /// What plugins see of it.
    pub(crate) connection: Arc<Connection>,
    /// The listener's name.
    pub(crate) listener: Name,
    /// Where the listener counts.
    pub(crate) metrics: Arc<ListenerMetrics>,
    /// The client's address and port, as text.
    pub(crate) text: Box<str>,
    /// What upstream connections tell of it.
    pub(crate) subject: Rc<Subject>,
    /// X-Forwarded-For.
    pub(crate) address: HeaderValue,
    /// Whether it is a proxy that has not said who its client is.
    nameless: bool,
    /// X-Forwarded-Proto.
    pub(crate) scheme: HeaderValue,
    /// The stream beneath hyper.
    pub(crate) stream: Handle,
    /// What the client and an upstream have agreed on.
    pub(crate) agreed: Agreed,
    /// Requests that have begun and not ended.
    open: Cell<usize>,
    /// Requests that have begun.
    begun: Cell<u64>,
}

impl Client {
    /// A connection that a listener has accepted, and whose it is.
    pub(crate) fn new(
        listener: &Listener,
        introduction: &Introduction,
        slot: u32,
        stream: Handle,
    ) -> Rc<Self> {
        let name = Arc::clone(&listener.settings.name);
        let client = introduction.client;
        let connection =
            Connection { listener: Arc::clone(&name), client: Some(client), slot, scheme: "http" };
        Rc::new(Self {
            connection: Arc::new(connection),
            listener: name,
            metrics: Arc::clone(&listener.metrics),
            text: client.to_string().into(),
            subject: Rc::new(introduction.subject()),
            address: client_address(client.ip()),
            nameless: introduction.nameless,
            scheme: HeaderValue::from_static("http"),
            stream,
            agreed: Agreed::default(),
            open: Cell::new(0),
            begun: Cell::new(0),
        })
    }

    /// Whether it is one of a listener's trusted proxies.
    pub(crate) fn is_trusted_by(&self, listener: &config::Listener) -> bool {
        let trusts = |address: SocketAddr| listener.trusts(address.ip());
        !self.nameless && self.connection.client.is_some_and(trusts)
    }

    /// Whether a request is open, or its response not yet written whole.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.get() > 0 || self.stream.is_busy()
    }

    /// How many requests have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }
}

/// A request that is open on its connection.
pub(crate) struct OpenRequest(Rc<Client>);

impl OpenRequest {
    /// Goes on with a request that has begun.
    pub(crate) fn new(client: &Rc<Client>) -> Self {
        client.open.set(client.open.get() + 1);
        Self(Rc::clone(client))
    }

    /// Begins a request.
    pub(crate) fn begin(client: &Rc<Client>) -> Self {
        client.begun.set(client.begun.get() + 1);
        Self::new(client)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}
