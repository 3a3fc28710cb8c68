//! How an authority is asked: HTTP/1.1 over TLS, a connection for each question.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Uri, response};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Task;
use crate::config::{Dns, is_loopback};
use crate::dns::{Failure, Question, Resolver};
use crate::tls::client::system_authorities;
use crate::tls::provider;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer: a chain of certificates has some 8 KiB.
const MAX_BYTES: usize = 1 << 20;

/// The longest that an authority can have us wait.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Asks an authority. Clones share what it has said.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    roots: Option<Arc<RootCertStore>>,
    connector: Mutex<Option<TlsConnector>>,
    resolver: Resolver,
    /// When it wants to be asked again.
    until: Mutex<Option<SystemTime>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0} cannot be asked: only https is spoken")]
    Clear(Uri),
    #[error("{0} cannot be resolved: {1}")]
    Unresolved(Arc<str>, #[source] Failure),
    #[error("{0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("{0}")]
    Tls(String),
    #[error("{0} cannot be connected to: {1}")]
    Unreached(Arc<str>, #[source] std::io::Error),
    #[error("the exchange with the authority failed: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer of the authority cannot be read: {0}")]
    Unread(Box<dyn std::error::Error + Send + Sync>),
    #[error("the authority has not answered within 30s")]
    Late,
}

/// What an exchange goes over.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

impl Client {
    /// One that believes those for whom these vouch, or else those whom the system trusts.
    pub(super) fn new(roots: Option<Arc<RootCertStore>>, dns: &Dns) -> Self {
        let (connector, until) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { roots, connector, resolver: Resolver::new(dns), until }))
    }

    /// Until when it wants not to be asked, as it has last said.
    pub(super) fn until(&self) -> Option<SystemTime> {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = timeout(PATIENCE, inner.ask(request)).await;
            let answer = answer.unwrap_or(Err(Trouble::Late));
            let (parts, body) = answer.map_err(|trouble| Error::Other(Box::new(trouble)))?;
            inner.hear(&parts);
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

impl Inner {
    async fn ask(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<(response::Parts, Bytes), Trouble> {
        let (mut head, body) = request.into_parts();
        let uri = std::mem::take(&mut head.uri);
        let line = self.connect(&uri).await?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = Uri::try_from(path).map_err(|_bad| Trouble::Clear(uri.clone()))?;
        let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        head.headers.extend(host.map(|host| (HOST, host)));
        let own = format!("linkspan/{}", env!("CARGO_PKG_VERSION"));
        head.headers.extend(HeaderValue::from_str(&own).ok().map(|own| (USER_AGENT, own)));
        let (mut sender, connection) = http1::handshake(TokioIo::new(line)).await?;
        let _driver = Task(tokio::spawn(async move {
            // Whoever asks sees what is wrong.
            let _ = connection.await;
        }));
        let response = sender.send_request(Request::from_parts(head, body)).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(Trouble::Unread)?;
        Ok((parts, body.to_bytes()))
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Line>, Trouble> {
        let clear = || Trouble::Clear(uri.clone());
        let host = uri.host().ok_or_else(clear)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(host) => false,
            _ => return Err(clear()),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = self.reach(host, port).await?;
        if !secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned())?;
        let connector = self.connector()?;
        let secured = Box::pin(connector.connect(name, stream)).await;
        let secured = secured.map_err(|error| Trouble::Unreached(host.into(), error))?;
        Ok(Box::new(secured))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Trouble> {
        let name: Arc<str> = host.into();
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let answer = self.resolver.ask(&Question::Host(Arc::clone(&name)), &[]).await;
                let answer =
                    answer.map_err(|failure| Trouble::Unresolved(Arc::clone(&name), failure))?;
                answer.found.iter().map(|found| found.address).collect()
            }
        };
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(Trouble::Unreached(name, last))
    }

    /// What TLS is spoken with. Whom the system trusts is looked up when it is first needed.
    fn connector(&self) -> Result<TlsConnector, Trouble> {
        let mut connector = self.connector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = &*connector {
            return Ok(connector.clone());
        }
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => system_authorities().map_err(Trouble::Tls)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Trouble::Tls(error.to_string()))?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(connector.insert(TlsConnector::from(Arc::new(config))).clone())
    }

    /// Notes until when it wants not to be asked.
    fn hear(&self, parts: &response::Parts) {
        let Some(value) = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok())
        else {
            return;
        };
        let now = SystemTime::now();
        let until = match value.trim().parse::<u64>() {
            Ok(seconds) => now.checked_add(Duration::from_secs(seconds).min(LONGEST)),
            Err(_) => httpdate::parse_http_date(value).ok().map(|date| date.min(now + LONGEST)),
        };
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}
