//! Whose connection it is: its own address says so, or a PROXY header that comes first.

use std::future::Future;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::listener::accept::Caller;
use crate::listener::introduction::read;
use crate::metrics::Refusal;
use crate::view::Listener;
use crate::worker::Worker;

/// Who has connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Introduction {
    /// The client.
    pub(crate) client: SocketAddr,
    /// Whether that is a proxy which has not said who its client is. It speaks for nobody then: what
    /// its client sends would be taken for its word.
    pub(crate) nameless: bool,
}

/// Reads the header, if one comes first. None if the connection is turned away or left, or if the proxy
/// is `leaving` before the header is there.
pub(super) async fn introduce(
    worker: &Worker,
    listener: &Listener,
    (stream, caller): (&mut TcpStream, &mut Caller),
    leaving: impl Future<Output = ()>,
) -> Option<Introduction> {
    let settings = &listener.settings;
    if !caller.header {
        return Some(Introduction { client: caller.peer, nameless: false });
    }
    let header = tokio::select! {
        header = read(stream, settings.head_timeout) => header,
        () = leaving => return None,
    };
    let refuse = |refusal, reason: &dyn std::fmt::Display| {
        caller.door.refuse(worker.index, caller.peer, refusal, reason);
    };
    let introduction = match header {
        Ok(Some(ends)) => Introduction { client: ends.source, nameless: false },
        Ok(None) => Introduction { client: caller.peer, nameless: true },
        Err(error) => {
            if let Some(refusal) = error.refusal() {
                refuse(refusal, &error);
            }
            return None;
        }
    };
    let client = introduction.client.ip();
    if !caller.ticket.count_as(client, settings.max_connections_per_address) {
        refuse(
            Refusal::TooMany,
            &format_args!("its client {client} has max-connections-per-address"),
        );
        return None;
    }
    Some(introduction)
}
