//! One active check: a connection, and over it perhaps a request.

mod http2;

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::cluster::connect::{ConnectError, connect};
use crate::cluster::endpoint::Endpoint;
use crate::cluster::peer::{Peer, Way};
use crate::config::{Check, Probe, Protocol, ShownDuration, Statuses};
use crate::proxy_protocol::{Subject, Version, encode};
use crate::socket::Stream;

/// The most of an answer's body that is looked at.
const BODY_BYTES: usize = 64 << 10;

/// The largest head of an answer, and the most fields of one.
const HEAD_BYTES: usize = 32 << 10;
/// See [`HEAD_BYTES`].
const HEADERS: usize = 100;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("linkspan/", env!("CARGO_PKG_VERSION"), " (check)"));
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// What was found, in a few words, and the body of the answer as far as it was read; as an error, if the
/// endpoint has not passed.
pub(super) async fn ask(
    endpoint: &Endpoint,
    check: &Check,
    (protocol, proxy_protocol): (Protocol, Option<Version>),
) -> Result<(String, Bytes), String> {
    let begun = Instant::now();
    let deadline = begun + check.timeout;
    let late = || format!("no answer within {}", ShownDuration(check.timeout));
    // On a port of its own, what is asked is hardly what serves requests.
    let proxy_protocol = proxy_protocol.filter(|_| check.port.is_none());
    let protocol = if check.port.is_none() { protocol } else { Protocol::Http1 };
    let header = proxy_protocol.map(|version| encode(version, Subject::Own)).unwrap_or_default();
    let peer = peer(endpoint, check);
    let to = Way { peer: &peer, tls: endpoint.way().tls.filter(|_| check.port.is_none()) };
    let stream = match connect(to, check.timeout, &header, protocol.offered(), || {}).await {
        Ok(stream) => stream,
        Err(ConnectError::TimedOut) if Instant::now() >= deadline => return Err(late()),
        Err(error) => return Err(error.to_string()),
    };
    let Probe::Http { status, body: pattern, .. } = &check.probe else {
        return Ok((format!("connected in {}", milliseconds(begun.elapsed())), Bytes::new()));
    };
    let agreed = stream.protocol() == Some(Protocol::HTTP2);
    let http2 = match protocol {
        Protocol::Http1 => false,
        Protocol::Http2 if stream.is_plain() || agreed => true,
        Protocol::Http2 => return Err(ConnectError::Unagreed.to_string()),
        Protocol::Auto => agreed,
    };
    let asked = async {
        if http2 {
            return http2::talk(stream, endpoint, check, deadline).await;
        }
        talk(stream, endpoint, check, deadline).await
    };
    let (response, body) = timeout_at(deadline, asked).await.map_err(|_late| late())??;
    let time = milliseconds(begun.elapsed());
    let found = response.status().as_u16();
    if !status.contains(found) {
        return Err(format!("{found} in {time}, expected {}", one_of(status)));
    }
    if let Some(pattern) = pattern
        && !pattern.is_match(&body)
    {
        return Err(format!("{found} in {time}, with a body that has no `{}`", pattern.text()));
    }
    Ok((format!("{found} in {time}"), body))
}

fn peer(endpoint: &Endpoint, check: &Check) -> Peer {
    match (endpoint.peer(), check.port) {
        (Peer::Tcp(address), Some(port)) => Peer::Tcp((address.ip(), port).into()),
        (peer, _) => peer.clone(),
    }
}

/// Sends the request and gives the answer's head, and as much of its body as was wanted.
async fn talk(
    stream: Stream,
    endpoint: &Endpoint,
    check: &Check,
    deadline: Instant,
) -> Result<(Response<()>, Bytes), String> {
    let Some(request) = request(endpoint, check) else { return Ok(Default::default()) };
    let client = http1::Builder::new().max_buf_size(HEAD_BYTES).max_headers(HEADERS).clone();
    let (mut sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    let mut connection = pin!(connection);
    let wants_body = matches!(&check.probe, Probe::Http { body: Some(_), .. });
    let mut exchange = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| words(&error))?;
        let (parts, body) = response.into_parts();
        let body = if wants_body || reports(&parts.headers) {
            read(body, wants_body, deadline).await?
        } else {
            Bytes::new()
        };
        Ok((Response::from_parts(parts, ()), body))
    });
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ended = &mut connection => exchange.await,
    }
}

/// Numbers that an endpoint reports of itself are few and come as text.
fn reports(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/"))
}

fn request(endpoint: &Endpoint, check: &Check) -> Option<Request<Empty<Bytes>>> {
    let Probe::Http { method, path, host, .. } = &check.probe else { return None };
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone().unwrap_or_else(|| endpoint.authority().clone()));
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONNECTION, CLOSE);
    Some(request)
}

/// The beginning of a body. One that does not come to its end in time, or breaks, is what it is by then,
/// unless something must be found in it.
async fn read(mut body: Incoming, whole: bool, deadline: Instant) -> Result<Bytes, String> {
    // So that there is time to say what was there.
    let soon = deadline - Duration::from_millis(1);
    let mut bytes = BytesMut::new();
    while bytes.len() < BODY_BYTES {
        let data = match timeout_at(soon, body.frame()).await {
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(error))) if whole => {
                return Err(format!("within the body: {}", words(&error)));
            }
            Ok(None | Some(Err(_))) | Err(_) => break,
        };
        let room = BODY_BYTES - bytes.len();
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok(bytes.freeze())
}

fn words(error: &hyper::Error) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return format!("no HTTP: {error}");
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return "closed without an answer".to_owned();
    }
    error.to_string()
}

fn one_of(statuses: &Statuses) -> String {
    let ranges: Vec<_> = statuses.ranges().iter().map(ToString::to_string).collect();
    if ranges.is_empty() { "none".to_owned() } else { ranges.join(", ") }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
