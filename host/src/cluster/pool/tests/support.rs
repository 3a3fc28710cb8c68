//! Hand-written upstreams, and a proxy that is nothing but pool, bodies and streams.

use std::net::SocketAddr;
use std::rc::Rc;

use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::spawn_local;
use tokio::time::{Duration, timeout};

use crate::body::{Body, DownloadLimits, Received, RequestBody, Upload, UploadLimits};
use crate::cluster::peer::Peer;
use crate::cluster::pool::{ConnectSettings, Pool, SendError, SendErrorKind, SendLimits, Slot};
use crate::config::Protocol;
use crate::listener::http1::{Connection, Sole};
use crate::proxy_protocol::Subject;
use crate::socket::Stream;
use crate::wire::Limits;

const HEADS: Limits = Limits { head_bytes: 65_536, fields: 100, target_bytes: 8_192 };

pub(super) const KEY: u64 = 7;

pub(super) const SETTINGS: ConnectSettings = ConnectSettings {
    protocol: Protocol::Http1,
    connect_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(60),
    max_idle: 2,
    proxy_protocol: None,
    heads: HEADS,
};

pub(super) const LIMITS: SendLimits = SendLimits {
    response_timeout: Duration::from_secs(60),
    download: DownloadLimits {
        body_timeout: Duration::from_secs(30),
        filter_trailers: no_secret,
        read_bytes: usize::MAX,
    },
};

fn no_secret(trailers: &mut HeaderMap) {
    trailers.remove("x-secret");
}

/// Fails instead of hanging.
pub(super) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(seconds), future).await.expect("took too long")
}

pub(super) async fn upstream() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::Tcp(listener.local_addr().unwrap());
    (listener, peer)
}

pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    within(10, listener.accept()).await.unwrap().0
}

/// Reads byte by byte up to and including `end`.
pub(super) async fn read_to(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let byte = within(10, stream.read_u8()).await;
        seen.push(byte.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&seen))));
    }
    String::from_utf8(seen).unwrap()
}

pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    read_to(stream, "\r\n\r\n").await
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// Serves each connection with one of `scripts`; each item answers one request. After the last
/// one the client is waited for, or the connection is closed.
fn run(listener: TcpListener, scripts: Vec<Vec<&'static str>>, stay: bool) {
    spawn_local(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn_local(async move {
                for answer in script {
                    read_head(&mut stream).await;
                    write(&mut stream, answer).await;
                }
                if stay {
                    let _closed = stream.read_u8().await;
                }
            });
        }
    });
}

pub(super) fn serve(listener: TcpListener, scripts: Vec<Vec<&'static str>>) {
    run(listener, scripts, true);
}

pub(super) fn serve_and_close(listener: TcpListener, answers: &[&'static str]) {
    run(listener, answers.iter().map(|answer| vec![*answer]).collect(), false);
}

pub(super) fn request(method: Method) -> Request<RequestBody> {
    let request = Request::builder().method(method).uri("/").header("host", "upstream");
    request.body(RequestBody::empty()).unwrap()
}

/// What is told of nobody.
pub(super) fn nobody() -> Rc<Subject> {
    Rc::new(Subject::Unknown)
}

pub(super) async fn acquire(pool: &Pool, peer: &Peer) -> Slot {
    pool.acquire(KEY, peer, &SETTINGS, &nobody(), true).await.unwrap()
}

/// Sends a request without a body, and waits for all of the answer.
pub(super) async fn exchange(pool: &Pool, peer: &Peer, method: Method) -> (bool, String) {
    use http_body_util::BodyExt;
    let slot = acquire(pool, peer).await;
    let reused = slot.reused();
    let response = within(10, slot.send(request(method), &LIMITS, |_, _| {})).await.unwrap();
    let body = within(10, response.into_body().collect()).await.unwrap().to_bytes();
    (reused, String::from_utf8(body.to_vec()).unwrap())
}

pub(super) async fn get(pool: &Pool, peer: &Peer) -> (bool, String) {
    exchange(pool, peer, Method::GET).await
}

pub(super) async fn fail(pool: &Pool, peer: &Peer) -> SendError {
    let slot = acquire(pool, peer).await;
    slot.send(request(Method::GET), &LIMITS, |_, _| {}).await.unwrap_err()
}

/// A proxy in front of one upstream.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) pool: Pool,
    pub(super) peer: Peer,
    pub(super) upload: UploadLimits,
    pub(super) send: SendLimits,
}

impl Proxy {
    pub(super) fn new(peer: Peer) -> Self {
        let upload = UploadLimits {
            max_body_bytes: 1 << 30,
            body_timeout: Duration::from_secs(45),
            min_body_rate: None,
            replay_bytes: 1024,
            filter_trailers: no_secret,
        };
        Self { pool: Pool::new(), peer, upload, send: LIMITS }
    }

    /// Accepts TCP connections.
    pub(super) async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                self.clone().serve(Stream::Tcp(stream));
            }
        });
        address
    }

    /// Accepts connections to a Unix socket, whose buffers in the kernel are small.
    pub(super) fn start_unix(self, listener: UnixListener) {
        spawn_local(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                self.clone().serve(Stream::Unix(stream));
            }
        });
    }

    fn serve(self, stream: Stream) {
        let this = Rc::new(self);
        let sole = Sole::new((stream, &[]), HEADS, Duration::from_secs(60));
        let mut connection = Connection::new(&sole, {
            let sole = sole.clone();
            move |head, body| {
                let (this, sole) = (Rc::clone(&this), sole.clone());
                let request = Request::from_parts(*head, body);
                async move { this.relay(&sole, request).await }
            }
        });
        spawn_local(async move {
            if (&mut connection).await.is_ok() {
                let _closed = connection.close().await;
            }
        });
    }

    async fn relay(&self, handle: &Sole, request: Request<Received>) -> Response<Body> {
        let interim = handle.interim(request.version());
        let (mut parts, incoming) = request.into_parts();
        parts.version = Version::HTTP_11;
        let Ok(upload) = Upload::new(incoming, self.upload) else {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        };
        if parts.headers.contains_key("expect") {
            upload.hold();
        }
        loop {
            let request = Request::from_parts(parts.clone(), upload.body());
            let slot = acquire(&self.pool, &self.peer).await;
            let hint = |status, headers: HeaderMap| {
                interim.send(status, &headers);
            };
            let error = match slot.send(request, &self.send, hint).await {
                Ok(response) => return response.map(Body::upstream),
                Err(error) => error,
            };
            let again = error.kind == SendErrorKind::Unsent || error.answered == 0 && error.reused;
            if !(again && upload.replayable()) {
                return status(match error.kind {
                    SendErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                    SendErrorKind::UploadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    SendErrorKind::UploadSilent | SendErrorKind::UploadSlow => {
                        StatusCode::REQUEST_TIMEOUT
                    }
                    _ => StatusCode::BAD_GATEWAY,
                });
            }
        }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::full("error"));
    *response.status_mut() = status;
    response
}
