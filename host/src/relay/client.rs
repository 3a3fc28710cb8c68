//! What the requests of one downstream connection have in common.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::config::Name;
use crate::headers::client_address;
use crate::listener::stream::Handle;
use crate::plugin::Connection;
use crate::view::{Listener, View};
use crate::worker::Worker;

/// A downstream connection.
pub(crate) struct Client {
    /// What plugins see of it.
    pub(crate) connection: Arc<Connection>,
    /// The listener's name.
    pub(crate) listener: Name,
    /// The client's address and port, as text.
    pub(crate) text: Box<str>,
    /// X-Forwarded-For.
    pub(crate) address: HeaderValue,
    /// X-Forwarded-Proto.
    pub(crate) scheme: HeaderValue,
    /// The stream beneath hyper.
    pub(crate) stream: Handle,
    /// Requests that have begun and not ended.
    pub(crate) open: Cell<usize>,
    /// The listener as last seen: what a connection goes by whose listener is gone.
    settings: RefCell<Rc<Listener>>,
}

impl Client {
    /// A connection that a listener has accepted.
    pub(crate) fn new(
        listener: &Rc<Listener>,
        address: Option<SocketAddr>,
        slot: u32,
        stream: Handle,
    ) -> Rc<Self> {
        let name = Arc::clone(&listener.settings.name);
        let connection =
            Connection { listener: Arc::clone(&name), client: address, slot, scheme: "http" };
        let forwarded = address.map(|address| client_address(address.ip()));
        Rc::new(Self {
            connection: Arc::new(connection),
            listener: name,
            text: address.map(|address| address.to_string()).unwrap_or_default().into(),
            address: forwarded.unwrap_or_else(|| HeaderValue::from_static("unknown")),
            scheme: HeaderValue::from_static("http"),
            stream,
            open: Cell::new(0),
            settings: RefCell::new(Rc::clone(listener)),
        })
    }

    /// What a request that begins now sees.
    pub(crate) fn view(&self, worker: &Worker) -> (Rc<View>, Rc<Listener>) {
        let view = worker.view();
        if let Some(listener) = view.listener(&self.listener)
            && !Rc::ptr_eq(listener, &self.settings.borrow())
        {
            self.settings.replace(Rc::clone(listener));
        }
        let listener = Rc::clone(&self.settings.borrow());
        (view, listener)
    }
}

/// A request that is open on its connection.
pub(crate) struct OpenRequest(Rc<Client>);

impl OpenRequest {
    /// One more.
    pub(crate) fn new(client: &Rc<Client>) -> Self {
        client.open.set(client.open.get() + 1);
        Self(Rc::clone(client))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}
