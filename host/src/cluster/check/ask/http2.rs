//! The same over HTTP/2: one stream on a connection of its own.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::Builder;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use tokio::time::{Duration, Instant, timeout_at};

use super::{BODY_BYTES, HEAD_BYTES, reports, request};
use crate::cluster::endpoint::Endpoint;
use crate::config::{Check, Probe};
use crate::socket::Stream;

/// Sends the request and gives the answer's head, and as much of its body as was wanted.
pub(super) async fn talk(
    stream: Stream,
    endpoint: &Endpoint,
    check: &Check,
    deadline: Instant,
) -> Result<(Response<()>, Bytes), String> {
    let secure = !stream.is_plain();
    let Some(request) = request(endpoint, check).and_then(|request| in_streams(request, secure))
    else {
        return Ok(Default::default());
    };
    let list = u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX);
    let client = Builder::new().enable_push(false).max_header_list_size(list).clone();
    let (mut sender, connection) =
        client.handshake::<_, Bytes>(stream).await.map_err(|error| words(&error))?;
    let mut connection = pin!(connection);
    let whole = matches!(&check.probe, Probe::Http { body: Some(_), .. });
    let mut exchange = pin!(async {
        let (response, _stream) =
            sender.send_request(request, true).map_err(|error| words(&error))?;
        let (parts, body) = response.await.map_err(|error| words(&error))?.into_parts();
        let body = match whole || reports(&parts.headers) {
            true => read(body, whole, deadline).await?,
            false => Bytes::new(),
        };
        Ok((Response::from_parts(parts, ()), body))
    });
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ended = &mut connection => exchange.await,
    }
}

/// The request in the form of HTTP/2.
fn in_streams<B>(request: Request<B>, secure: bool) -> Option<Request<()>> {
    let (mut parts, _none) = request.into_parts();
    parts.headers.remove(CONNECTION);
    let host = parts.headers.remove(HOST);
    let authority = host.as_ref().map(HeaderValue::as_bytes).map(Authority::try_from)?.ok()?;
    let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    let target = parts.uri.into_parts().path_and_query?;
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target);
    parts.uri = uri.build().ok()?;
    parts.version = Version::HTTP_2;
    Some(Request::from_parts(parts, ()))
}

/// The beginning of a body, as of HTTP/1.
async fn read(mut body: RecvStream, whole: bool, deadline: Instant) -> Result<Bytes, String> {
    let soon = deadline - Duration::from_millis(1);
    let mut bytes = BytesMut::new();
    while bytes.len() < BODY_BYTES {
        let data = match timeout_at(soon, body.data()).await {
            Ok(Some(Ok(data))) => data,
            Ok(Some(Err(error))) if whole => {
                return Err(format!("within the body: {}", words(&error)));
            }
            Ok(None | Some(Err(_))) | Err(_) => break,
        };
        let _ = body.flow_control().release_capacity(data.len());
        let room = BODY_BYTES - bytes.len();
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok(bytes.freeze())
}

fn words(error: &h2::Error) -> String {
    if error.is_library() {
        return format!("no HTTP/2: {error}");
    }
    match error.reason() {
        Some(reason) => format!("reset with {reason:?}"),
        None => "closed without an answer".to_owned(),
    }
}
