//! An origin of the demo: it answers everything with its name and with what it was asked.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::listener::socket::bind;

/// Connections at a time.
const CONNECTIONS: usize = 128;

/// How long to wait after an error that accepting again would meet again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// An origin that can be stopped and started at its address.
#[derive(Debug)]
pub(super) struct Origin {
    name: &'static str,
    latency: Duration,
    address: SocketAddr,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Origin {
    /// Starts an origin on a free port.
    pub(super) fn start(name: &'static str, latency: Duration) -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(serve(TcpListener::from_std(socket)?, name, latency));
        Ok(Self { name, latency, address, running: Mutex::new(Some(task)) })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Closes its socket and its connections; who connects is refused from then on.
    pub(super) async fn stop(&self) {
        let task = self.running().take();
        if let Some(task) = task {
            task.abort();
            // It has ended, and its socket is closed, when this returns.
            let _ = task.await;
        }
    }

    /// Listens again where it did.
    pub(super) fn resume(&self) -> io::Result<()> {
        let mut running = self.running();
        if running.is_none() {
            let socket = TcpListener::from_std(bind(self.address)?)?;
            *running = Some(tokio::spawn(serve(socket, self.name, self.latency)));
        }
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(socket: TcpListener, name: &'static str, latency: Duration) {
    // Dropped with this task, it ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let service = service_fn(move |request: Request<Incoming>| async move {
            tokio::time::sleep(latency).await;
            Ok::<_, Infallible>(answer(&request, name, latency))
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // The proxy closes connections as it likes.
            let _ = connection.await;
        });
    }
}

fn answer<B>(request: &Request<B>, name: &'static str, latency: Duration) -> Response<Full<Bytes>> {
    let (method, uri) = (request.method(), request.uri());
    let mut text = format!("{name} answers {method} {uri} after {} ms\n", latency.as_millis());
    for (field, value) in request.headers() {
        let _ = writeln!(text, "  {field}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("server", HeaderValue::from_static("demo origin"));
    headers.insert("x-origin", HeaderValue::from_static(name));
    response
}
