//! A proxy to try without a file: three origins of our own, and the built-in plugins in front.

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::commands::{fail, say, serve};
use crate::config::Reading;

/// The demo's configuration; `ORIGIN1` to `ORIGIN3` stand for the origins' addresses.
const CONFIG: &str = include_str!("../../../examples/demo/linkspan.toml");

/// The names of the origins, which each of their answers tells.
const ORIGINS: [&str; 3] = ["anna", "bert", "cora"];

/// Serves the demo until a signal says to leave.
pub async fn demo() -> ExitCode {
    let mut text = CONFIG.to_owned();
    for (place, name) in ORIGINS.into_iter().enumerate() {
        let socket = match TcpListener::bind(("127.0.0.1", 0)).await {
            Ok(socket) => socket,
            Err(error) => return fail(&format_args!("no port for an origin: {error}")),
        };
        let address = match socket.local_addr() {
            Ok(address) => address.to_string(),
            Err(error) => return fail(&error),
        };
        text = text.replace(&format!("ORIGIN{}", place + 1), &address);
        tokio::spawn(origin(socket, name));
    }
    let mut reading = Reading::parse(&text, Path::new("demo.toml"));
    match reading.sound().cloned() {
        Some(config) => {
            say(&"three origins answer with their names; try, with the address printed below:");
            say(
                &"  curl -i ADDRESS/           the origins take turns, and a header tells who chose",
            );
            say(&"  curl -i ADDRESS/first      always the first origin that is alive");
            say(&"  curl -i ADDRESS/gone       answered by the router itself");
            serve(config, &mut reading, None).await
        }
        None => fail(reading.faults()),
    }
}

/// An origin that answers everything with its name.
async fn origin(socket: TcpListener, name: &'static str) {
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        let service = service_fn(move |request: Request<Incoming>| async move {
            let text = format!("{name} was asked for {}\n", request.uri());
            let mut response = Response::new(Full::new(Bytes::from(text)));
            response.headers_mut().insert("server", HeaderValue::from_static("demo origin"));
            response.headers_mut().insert("x-origin", HeaderValue::from_static(name));
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
