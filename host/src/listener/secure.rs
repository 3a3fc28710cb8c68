//! The TLS handshake with a client.
//!
//! The first byte is looked at before: whoever begins with a request by mistake is told so in HTTP, which is
//! all that it understands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream as Secured;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsStream};

use super::refuse::tell;
use crate::config::ShownDuration;
use crate::metrics::Refusal;
use crate::socket::Stream;
use crate::tls::issued::{Managed, PROOF_PROTOCOL};
use crate::tls::server::ServerTls;

/// The first byte of a record with a handshake (RFC 8446, 5.1), which is that of no request.
pub const HANDSHAKE: u8 = 0x16;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    server: linkspan\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 81\r\n\
    connection: close\r\n\
    \r\n\
    400 Bad Request\nThis port speaks TLS, and got plain HTTP: the URL is https://...\n";

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Insecure {
    /// It begins with plain HTTP.
    #[error("it sends plain HTTP to a port that speaks TLS")]
    Plain,
    /// It begins with something else.
    #[error("it does not begin with a TLS handshake")]
    Other,
    /// The handshake was not over in time.
    #[error("the TLS handshake took longer than head-timeout = {}", ShownDuration(*.0))]
    Late(Duration),
    /// It was left before anything came, or within the handshake.
    #[error("closed within the TLS handshake")]
    Left,
    /// No certificate has been issued yet for the name that it asks for.
    #[error("no certificate has been issued yet for {0}")]
    Awaited(Box<str>),
    /// It was an authority that wanted nothing but a proof, which it has got.
    #[error("the proof for {0} was all that it wanted")]
    Proof(Box<str>),
    /// The handshake has failed.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[source] io::Error),
}

impl Insecure {
    /// How the connection counts as turned away; one that was left, or has got its proof, is not.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Plain | Self::Other => Some(Refusal::NotTls),
            Self::Late(_) => Some(Refusal::LateHandshake),
            Self::Failed(_) | Self::Awaited(_) => Some(Refusal::Handshake),
            Self::Left | Self::Proof(_) => None,
        }
    }
}

/// What is said over a connection in TLS from now on, after a handshake that takes no longer than this. Where
/// requests are expected, one in plain HTTP is answered.
///
/// # Errors
///
/// Why there is none. The client has been told, as far as it can be.
pub async fn secure(
    stream: Stream,
    tls: &ServerTls,
    patience: Duration,
    expects_requests: bool,
) -> Result<Stream, Insecure> {
    let secured = timeout(patience, begin(stream, tls)).await;
    match secured.unwrap_or(Err((Insecure::Late(patience), None))) {
        Ok(stream) => Ok(stream),
        Err((reason, stream)) => {
            if let Some(stream) = stream
                && matches!(reason, Insecure::Plain)
                && expects_requests
            {
                tell(stream, ANSWER).await;
            }
            Err(reason)
        }
    }
}

async fn begin(stream: Stream, tls: &ServerTls) -> Result<Stream, (Insecure, Option<Stream>)> {
    let mut first = [0];
    match (stream.look(&mut first).await, first) {
        (Err(_) | Ok(0), _) => return Err((Insecure::Left, None)),
        (Ok(_), [HANDSHAKE]) => {}
        // As methods begin.
        (Ok(_), [b'A'..=b'Z' | b'a'..=b'z']) => return Err((Insecure::Plain, Some(stream))),
        (Ok(_), _) => return Err((Insecure::Other, None)),
    }
    let secured = match tls.managed() {
        None => {
            let accepting = TlsAcceptor::from(Arc::clone(tls.config())).accept(stream);
            accepting.await.map_err(failed)
        }
        Some(managed) => Box::pin(choose(stream, tls, managed)).await,
    };
    let stream = secured.map_err(|reason| (reason, None))?;
    Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
}

/// Shakes hands as the client's first words say: it may be the authority that wants a proof.
async fn choose(
    stream: Stream,
    tls: &ServerTls,
    managed: &Managed,
) -> Result<Secured<Stream>, Insecure> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
    let hello = begun.client_hello();
    let name = hello.server_name().map(str::to_ascii_lowercase);
    if let Some(name) = name.as_deref().filter(|_| wants_proof(&hello))
        && let Some(config) = managed.issued.handshake(name)
    {
        let mut secured = begun.into_stream(config).await.map_err(failed)?;
        // Nothing is said beyond the handshake (RFC 8737, 3).
        let _ = secured.shutdown().await;
        tracing::debug!(name, "proved by a handshake that the name is ours");
        return Err(Insecure::Proof(name.into()));
    }
    let awaited = name.filter(|name| tls.awaits(name));
    let secured = begun.into_stream(Arc::clone(tls.config())).await;
    secured.map_err(|error| match awaited {
        Some(name) if !has_left(&error) => Insecure::Awaited(name.into()),
        _ => failed(error),
    })
}

/// Whether a client speaks nothing but the protocol in which proofs are asked for.
fn wants_proof(hello: &ClientHello<'_>) -> bool {
    let mut protocols = hello.alpn().into_iter().flatten();
    protocols.next() == Some(PROOF_PROTOCOL) && protocols.next().is_none()
}

fn failed(error: io::Error) -> Insecure {
    if has_left(&error) { Insecure::Left } else { Insecure::Failed(error) }
}

fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::UnexpectedEof | E::ConnectionReset | E::BrokenPipe)
}
