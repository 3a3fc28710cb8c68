//! Which version of HTTP a connection speaks, where a listener leaves that to its clients.
//!
//! In TLS that is agreed on before (RFC 7301). In the clear, one that begins with the preface of HTTP/2 speaks that (RFC 9113, 3.3), any other HTTP/1. Bytes are
//! looked at first; those of a preface that comes in pieces are read, and go before what follows.

use std::future::Future;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::config;
use crate::socket::Stream;
use crate::wire::PREFACE;

/// What a connection speaks, and what was read of it.
pub(crate) enum Spoken {
    /// HTTP/1.
    Http1(Bytes),
    /// HTTP/2.
    Http2(Bytes),
}

/// Finds out; nothing if the client says nothing for too long, or the proxy is `leaving` before it does.
pub(crate) async fn spoken(
    stream: &mut Stream,
    settings: &config::Listener,
    leaving: impl Future<Output = ()>,
) -> Option<Spoken> {
    let versions = settings.versions;
    let agreed = match stream.protocol() {
        Some(b"h2") => Some(true),
        Some(_) => Some(false),
        // Of what is said in TLS nothing can be looked at.
        None if !stream.is_plain() => Some(!versions.http1),
        None if versions.http1 && versions.http2 => None,
        None => Some(versions.http2),
    };
    match agreed {
        Some(true) => return Some(Spoken::Http2(Bytes::new())),
        Some(false) => return Some(Spoken::Http1(Bytes::new())),
        None => {}
    }
    let mut first = [0];
    tokio::select! {
        looked = timeout(settings.idle_timeout, stream.look(&mut first)) => {
            looked.ok()?.ok()?;
        }
        () = leaving => return None,
    }
    let mut read = Vec::new();
    let preface = timeout(settings.head_timeout, is_preface(stream, &mut read)).await;
    // What does not become one in time is refused as what it then is.
    let is_preface = preface.unwrap_or(false);
    Some(if is_preface { Spoken::Http2(read.into()) } else { Spoken::Http1(read.into()) })
}

/// Whether the preface comes. What of it is not there at once is read.
async fn is_preface(stream: &mut Stream, read: &mut Vec<u8>) -> bool {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let rest = PREFACE.get(read.len()..).unwrap_or_default();
        let Some(room) = bytes.get_mut(..rest.len()) else { return false };
        let Ok(count) = stream.look(room).await else { return false };
        let there = bytes.get(..count).unwrap_or_default();
        if count == 0 || !rest.starts_with(there) {
            return false;
        }
        if count == rest.len() {
            return true;
        }
        read.extend_from_slice(there);
        let Some(taken) = bytes.get_mut(..count) else { return false };
        if stream.read_exact(taken).await.is_err() {
            return false;
        }
    }
}
