//! Listeners that are about to listen.

use std::io;
use std::sync::Arc;

use super::{StartError, refused};
use crate::config::{Listener, Name};
use crate::listener::socket::{Handle, Socket};
use crate::socket::bind::Bind;
use crate::takeover::Passed;

/// A listener with its socket. Nothing that could fail is left to be done.
pub(super) struct Opening {
    pub(super) listener: Listener,
    pub(super) socket: Socket,
    /// What the acceptor gets.
    pub(super) handle: Handle,
}

/// Opens a socket for a listener.
pub(super) fn open(listener: &Listener) -> Result<Socket, StartError> {
    let socket = Socket::open(&listener.bind, &listener.rights);
    socket.map_err(|source| refused(listener, source))
}

/// Takes a socket for a listener that listens already.
fn adopt(listener: &Listener, passed: Passed) -> Result<Socket, StartError> {
    match Socket::adopt(&listener.bind, &listener.rights, passed) {
        // Nobody could find it any more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => open(listener),
        adopted => adopted.map_err(|source| refused(listener, source)),
    }
}

impl Opening {
    /// A listener that is to listen at what was passed for it, or else at a socket of its own.
    pub(super) fn of(listener: Listener, passed: Option<Passed>) -> Result<Self, StartError> {
        let socket = match passed {
            Some(passed) => adopt(&listener, passed),
            None => open(&listener),
        };
        Self::new(listener, socket?)
    }

    /// A listener that is to listen at a socket.
    pub(super) fn new(listener: Listener, socket: Socket) -> Result<Self, StartError> {
        let handle = socket.handle().map_err(|source| refused(&listener, source))?;
        Ok(Self { listener, socket, handle })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> (Name, Bind) {
        (Arc::clone(&self.listener.name), self.socket.bound().clone())
    }
}
