//! Whose connection it is: its own address says so, or a PROXY header that comes first; and what is spoken
//! over it.

use std::future::Future;
use std::net::SocketAddr;

use rustls::{ProtocolVersion, ServerConnection};

use crate::listener::accept::Caller;
use crate::listener::introduction::read;
use crate::listener::secure;
use crate::metrics::Refusal;
use crate::plugin::Secured;
use crate::proxy_protocol::{Ends, Subject};
use crate::socket::Stream;
use crate::tls::subject::subject;
use crate::view::Listener;
use crate::worker::Worker;

/// Who has connected, and where to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Introduction {
    /// The client; none of a Unix socket, where nobody has an address.
    pub(crate) client: Option<SocketAddr>,
    /// Where it has connected to, if that is known.
    pub(crate) destination: Option<SocketAddr>,
    /// Whether that is a proxy which has not said who its client is. It speaks for nobody then: what
    /// its client sends would be taken for its word.
    pub(crate) nameless: bool,
}

impl Introduction {
    /// By what the system knows of a connection.
    fn of(stream: &Stream, peer: Option<SocketAddr>, nameless: bool) -> Self {
        Self { client: peer, destination: stream.local_address(), nameless }
    }

    /// For those behind.
    pub(crate) fn subject(&self) -> Subject {
        let ends = self.client.zip(self.destination);
        let relayed = |(source, destination)| Subject::Relayed(Ends { source, destination });
        ends.map_or(Subject::Unknown, relayed)
    }
}

impl From<Ends> for Introduction {
    fn from(ends: Ends) -> Self {
        Self { client: Some(ends.source), destination: Some(ends.destination), nameless: false }
    }
}

/// Reads the header, if one comes first. None if the connection is turned away or left, or if the proxy
/// is `leaving` before the header is there.
pub(crate) async fn introduce(
    worker: &Worker,
    listener: &Listener,
    (stream, caller): (&mut Stream, &mut Caller),
    leaving: impl Future<Output = ()>,
) -> Option<Introduction> {
    let settings = &listener.settings;
    if !caller.header {
        return Some(Introduction::of(stream, caller.peer, false));
    }
    let header = tokio::select! {
        header = read(stream, settings.head_timeout) => header,
        () = leaving => return None,
    };
    let refuse = |refusal, reason: &dyn std::fmt::Display| {
        caller.door.refuse(worker.index, caller.peer, refusal, reason);
    };
    let introduction = match header {
        Ok(Some(ends)) => Introduction::from(ends),
        Ok(None) => Introduction::of(stream, caller.peer, true),
        Err(error) => {
            if let Some(refusal) = error.refusal() {
                refuse(refusal, &error);
            }
            return None;
        }
    };
    // Who has no address counts for none.
    if let Some(client) = introduction.client.map(|client| client.ip())
        && !caller.ticket.count_as(client, settings.max_connections_per_address)
    {
        refuse(
            Refusal::TooMany,
            &format_args!("its client {client} has max-connections-per-address"),
        );
        return None;
    }
    Some(introduction)
}

/// Has a connection speak TLS, if its listener does. None if the client is turned away or has left, or if
/// the proxy is `leaving` before the handshake is over.
pub(crate) async fn secure(
    worker: &Worker,
    listener: &Listener,
    (stream, caller): (Stream, &Caller),
    leaving: impl Future<Output = ()>,
) -> Option<(Stream, Option<Box<Secured>>)> {
    let settings = &listener.settings;
    let Some(tls) = &settings.tls else { return Some((stream, None)) };
    let handshake = secure::secure(stream, tls, settings.head_timeout, settings.tcp.is_none());
    // It takes more room than most of what a connection does later.
    let secured = tokio::select! {
        secured = Box::pin(handshake) => secured,
        () = leaving => return None,
    };
    match secured {
        Ok(stream) => {
            let known = stream.session().map(|session| Box::new(known(session)));
            Some((stream, known))
        }
        Err(reason) => {
            if let Some(refusal) = reason.refusal() {
                caller.door.refuse(worker.index, caller.peer, refusal, &reason);
            }
            None
        }
    }
}

/// What is known of a session.
fn known(session: &ServerConnection) -> Secured {
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    Secured {
        version,
        server_name: session.server_name().map(|name| name.to_ascii_lowercase().into()),
        certificate: certificate.map(|certificate| certificate.as_ref().into()),
        subject: certificate.and_then(|shown| subject(shown)).map(String::into_boxed_str),
    }
}
