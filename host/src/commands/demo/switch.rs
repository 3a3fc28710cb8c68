//! Where the visitor of the demo stops and starts its origins: `POST /stop/NAME`, `POST /start/NAME`.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::admin::guard::meant;
use crate::commands::demo::origin::Origin;

/// How long a request may take to come: there is one connection at a time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens on a free port.
pub(super) fn start(origins: Vec<Arc<Origin>>) -> io::Result<SocketAddr> {
    let socket = crate::listener::socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?;
    let socket = TcpListener::from_std(socket)?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = socket.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let origins = &origins;
            let service = service_fn(move |request| async move {
                Ok::<_, Infallible>(answer(&request, origins).await)
            });
            let connection = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            // Who leaves early does not need an answer.
            let _ = tokio::time::timeout(PATIENCE, connection).await;
        }
    });
    Ok(address)
}

async fn answer<B>(request: &Request<B>, origins: &[Arc<Origin>]) -> Response<Full<Bytes>> {
    let (status, text) = match meant(request) {
        Ok(()) => change(request, origins).await,
        Err((status, text)) => (status, text.to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response
}

async fn change<B>(request: &Request<B>, origins: &[Arc<Origin>]) -> (StatusCode, String) {
    let path = request.uri().path();
    let action = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    let wanted = action.and_then(|(action, name)| {
        Some((action, origins.iter().find(|origin| origin.name() == name)?))
    });
    let Some((action @ ("stop" | "start"), origin)) = wanted else {
        let states = origins.iter().map(|origin| {
            let state = if origin.is_running() { "runs" } else { "is stopped" };
            format!("{} {state}", origin.name())
        });
        let text = states.collect::<Vec<_>>().join("\n");
        return match path {
            "/" => (StatusCode::OK, text),
            _ => (StatusCode::NOT_FOUND, format!("{text}\ntry /stop/NAME or /start/NAME")),
        };
    };
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "this wants a POST: curl -X POST …".to_owned());
    }
    let name = origin.name();
    if action == "stop" {
        origin.stop().await;
        return (StatusCode::OK, format!("{name} is stopped"));
    }
    match origin.resume() {
        Ok(()) => (StatusCode::OK, format!("{name} runs")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{name} cannot start: {error}")),
    }
}
