//! What the process that serves says of its plugins, asked at the administrator's listener.
//!
//! Only what is on this machine is asked: a Unix socket, or a loopback address, where reading needs no
//! token; whoever has taken that address meanwhile is shown none. What is answered is bounded in time and
//! length, and nothing of it is trusted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::cluster::connect::{ConnectError, connect};
use crate::cluster::peer::Peer;
use crate::socket::Stream;
use crate::socket::bind::Bind;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most bytes of an answer.
const ANSWER_BYTES: usize = 16 << 20;

/// A plugin, as the process says that serves.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Serving {
    /// The version that serves; null, as what follows, of a shadow that is not called.
    version: Option<String>,
    /// The SHA-256 of its component.
    digest: Option<String>,
    /// When it came to serve.
    since: Option<String>,
    /// What was to take its place, and is refused.
    candidate: Option<Candidate>,
}

/// A component that is refused there, or was withdrawn.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Candidate {
    /// The SHA-256 of its bytes; null if there are none.
    digest: Option<String>,
    /// Why.
    pub(super) reason: String,
    /// When it was found.
    since: String,
}

/// A plugin of the answer.
#[derive(Deserialize)]
struct Told {
    name: String,
    #[serde(flatten)]
    serving: Serving,
    shadow: Option<Shadow>,
}

/// What is called beside it.
#[derive(Deserialize)]
struct Shadow {
    plugin: String,
    candidate: Option<Candidate>,
}

impl Serving {
    /// What it says against a component.
    pub(super) fn against(&self, digest: &str) -> Option<&Candidate> {
        let candidate = self.candidate.as_ref();
        candidate.filter(|candidate| candidate.digest.as_deref() == Some(digest))
    }

    /// The version that serves.
    pub(super) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or("none")
    }
}

/// The plugins of the process whose administrator's listener is there, by name; or why they are not known.
pub(super) async fn ask(bind: &Bind) -> Result<BTreeMap<String, Serving>, String> {
    let peer = peer(bind)?;
    let late = |_elapsed| format!("there is no answer within {} s", PATIENCE.as_secs());
    let asked = timeout(PATIENCE, async {
        let stream =
            connect(&peer, PATIENCE, &[], &[], || {}).await.map_err(|error| match error {
                ConnectError::Failed(source) => source.to_string(),
                error => error.to_string(),
            })?;
        talk(stream).await
    });
    let answer = asked.await.map_err(late)??;
    let stranger = |error| format!("what it answers is not understood: {error}");
    let all: Vec<Told> = serde_json::from_slice(&answer).map_err(stranger)?;
    let mut plugins = BTreeMap::new();
    for Told { name, serving, shadow } in all {
        if let Some(Shadow { plugin, candidate }) = shadow {
            let alone = || Serving { candidate, ..Serving::default() };
            plugins.entry(plugin).or_insert_with(alone);
        }
        let refused = plugins.remove(&name).and_then(|known: Serving| known.candidate);
        let candidate = serving.candidate.or(refused);
        plugins.insert(name, Serving { candidate, ..serving });
    }
    Ok(plugins)
}

/// Where to ask.
fn peer(bind: &Bind) -> Result<Peer, &'static str> {
    let address = match bind {
        Bind::Unix(path) => return Ok(Peer::Unix(path.clone())),
        Bind::Tcp(address) => *address,
    };
    if address.port() == 0 {
        return Err("its port can be any");
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    if !ip.is_loopback() {
        return Err("it is neither a loopback address nor a Unix socket");
    }
    Ok(Peer::Tcp((ip, address.port()).into()))
}

/// What is answered to the question.
async fn talk(stream: Stream) -> Result<Bytes, String> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from_static("/api/plugins");
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async {
        let sent = sender.send_request(request).await;
        let response = sent.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers with {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
    });
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ended = &mut connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked() {
        let at = |address: &str| peer(&Bind::Tcp(address.parse().unwrap()));
        let there = |address: &str| Ok(Peer::Tcp(address.parse().unwrap()));
        assert_eq!(at("127.0.0.1:9901"), there("127.0.0.1:9901"));
        assert_eq!(at("[::1]:9901"), there("[::1]:9901"));
        assert_eq!(at("0.0.0.0:9901"), there("127.0.0.1:9901"));
        assert_eq!(at("[::]:9901"), there("[::1]:9901"));
        for address in ["127.0.0.1:0", "10.1.2.3:9901", "[2001:db8::1]:9901"] {
            assert!(at(address).is_err(), "{address}");
        }
    }
}
