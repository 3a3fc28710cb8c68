//! The TLS handshake with a client.
//!
//! The first byte is looked at before: whoever begins with a request by mistake is told so in HTTP, which is
//! all that it understands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::config::ShownDuration;
use crate::metrics::Refusal;
use crate::socket::Stream;
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

/// How long whoever was told is read from, and how much: what is unread when a connection is closed resets it.
const LINGER: Duration = Duration::from_secs(1);
/// See [`LINGER`].
const LINGER_BYTES: u64 = 64 << 10;

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
    /// The handshake has failed.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[source] io::Error),
}

impl Insecure {
    /// How the connection counts as turned away; one that was left is not.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Plain | Self::Other => Some(Refusal::NotTls),
            Self::Late(_) => Some(Refusal::LateHandshake),
            Self::Failed(_) => Some(Refusal::Handshake),
            Self::Left => None,
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
                // It is of no interest whether it has listened.
                let _ = timeout(LINGER, tell(stream)).await;
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
    let secured = TlsAcceptor::from(Arc::clone(tls.config())).accept(stream).await;
    match secured {
        Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
        Err(error) if has_left(&error) => Err((Insecure::Left, None)),
        Err(error) => Err((Insecure::Failed(error), None)),
    }
}

fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::UnexpectedEof | E::ConnectionReset | E::BrokenPipe)
}

async fn tell(mut stream: Stream) -> io::Result<()> {
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES);
    let mut waste = [0; 1024];
    while rest.read(&mut waste).await? > 0 {}
    Ok(())
}
