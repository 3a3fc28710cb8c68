//! The administrator's listener of a proxy, which reloads may move.

use std::io;
use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::admin::{Handles, Server, Wanted};
use crate::config::Config;
use crate::listener::socket::Socket;
use crate::proxy::StartError;
use crate::socket::bind::Bind;
use crate::socket::path::Rights;
use crate::status::Sources;
use crate::takeover::{Inherited, Passed};

/// Wishes that wait to be heard, which takes longer while a version comes back.
const WISHES: usize = 16;

/// What serves the administrator.
pub(super) struct Office {
    handles: Handles,
    wishes: mpsc::Receiver<Wanted>,
    /// As it was configured: port 0 stays where it is.
    wanted: Option<Bind>,
    server: Option<Server>,
}

/// What a reload makes of it.
pub(super) enum Change {
    /// It stays where it is.
    None,
    /// It moves, or goes.
    To(Option<Socket>),
}

/// Opens the socket that a configuration wants, or takes it from those that there are.
pub(super) fn open(
    config: &Config,
    inherited: &mut Inherited,
) -> Result<Option<Socket>, StartError> {
    let mut open = |bind: &Bind| {
        let socket = match inherited.take_labelled(&label(bind)) {
            Some(passed) => Socket::adopt(bind, &Rights::PRIVATE, passed),
            None => Socket::open(bind, &Rights::PRIVATE),
        };
        socket.map_err(|source| StartError::Admin { bind: bind.clone(), source })
    };
    config.admin.as_ref().map(|admin| open(&admin.bind)).transpose()
}

/// What the administrator's socket is for, between processes.
fn label(bind: &Bind) -> String {
    format!("admin {}", bind.url("http"))
}

/// The address of a socket, if it has one.
pub(super) fn address(socket: Option<&Socket>) -> Option<SocketAddr> {
    socket.and_then(|socket| socket.bound().address())
}

impl Office {
    /// Serves on a socket, if there is one.
    pub(super) fn start(
        config: &Config,
        socket: Option<Socket>,
        sources: Sources,
    ) -> Result<Self, StartError> {
        let (orders, wishes) = mpsc::channel(WISHES);
        let handles = Handles { sources, orders };
        let server = socket.map(|socket| Server::start(socket, handles.clone())).transpose();
        let server = server.map_err(StartError::Thread)?;
        let wanted = config.admin.as_ref().map(|admin| admin.bind.clone());
        Ok(Self { handles, wishes, wanted, server })
    }

    /// Where it listens.
    pub(super) fn bind(&self) -> Option<&Bind> {
        self.socket().map(Socket::bound)
    }

    /// Where it listens, to be handed over.
    pub(super) fn socket(&self) -> Option<&Socket> {
        self.server.as_ref().map(Server::socket)
    }

    /// A handle of its socket, with what it is for.
    pub(super) fn share(&self) -> Option<io::Result<(String, Passed)>> {
        let socket = self.socket()?;
        Some(socket.pass().map(|passed| (label(socket.wanted()), passed)))
    }

    /// The next wish; without an administrator there is none, and no end of waiting.
    pub(super) async fn wish(&mut self) -> Wanted {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }

    /// From now on whoever wishes for something is told that the process leaves.
    pub(super) fn take_no_wishes(&mut self) {
        self.wishes.close();
        while self.wishes.try_recv().is_ok() {}
    }

    /// Prepares a move to where another configuration wants it.
    pub(super) fn prepare(&self, config: &Config) -> Result<Change, StartError> {
        if self.wanted.as_ref() == config.admin.as_ref().map(|admin| &admin.bind) {
            return Ok(Change::None);
        }
        open(config, &mut Inherited::default()).map(Change::To)
    }

    /// The address that it will have.
    pub(super) fn address_after(&self, change: &Change) -> Option<SocketAddr> {
        match change {
            Change::None => self.bind().and_then(Bind::address),
            Change::To(socket) => address(socket.as_ref()),
        }
    }

    /// Moves. The configuration is taken by now.
    pub(super) fn take(&mut self, config: &Config, change: Change) {
        let Change::To(socket) = change else { return };
        self.wanted = config.admin.as_ref().map(|admin| admin.bind.clone());
        let server = socket.map(|socket| Server::start(socket, self.handles.clone())).transpose();
        self.server = server.unwrap_or_else(|error| {
            tracing::error!("the admin listener cannot be served: {error}");
            None
        });
    }
}
