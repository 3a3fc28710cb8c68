//! TCP listeners: stream routers that decide by the first bytes, and what is relayed then.
//!
//! The guest `streams` does what its rules say.

mod bounds;
mod hostile;
mod leaving;
mod machine;
mod protocols;
mod queueing;
mod relaying;
mod upstreams;

use std::net::SocketAddr;

use crate::support::{Client, Origin, Proxy, UNHURRIED, eventually};

/// A listener, `web`, in front of the guest with this configuration, granted every loopback address;
/// `listener` are further lines of its, `more` further tables.
fn toml(config: &str, listener: &str, more: &str) -> String {
    format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'streams'\n\
         {listener}\n{more}\n[plugins.streams]\n{UNHURRIED}\n\
         grants = {{ addresses = ['127.0.0.1:*'] }}\nconfig = {{ {config} }}\n"
    )
}

fn routed(config: &str, listener: &str, more: &str) -> Proxy {
    Proxy::start_with(&toml(config, listener, more), &["streams"])
}

/// How a stream router writes an address.
fn tcp(address: SocketAddr) -> String {
    format!("tcp://{address}")
}

/// What comes in answer to these bytes, until the connection ends.
#[track_caller]
fn answer(proxy: &Proxy, bytes: &str) -> String {
    let mut client = proxy.connect();
    client.send(bytes);
    text(client.rest())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A figure of the guest's own.
fn events(proxy: &Proxy, name: &str) -> u64 {
    proxy.counter("linkspan_plugin_events_total", &[("plugin", "streams"), ("name", name)])
}

fn errors(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counter("linkspan_errors_total", &[("reason", reason)])
}

/// A server that says its port and what it has got, and closes. What begins with `e` ends with `f`.
fn echo() -> Origin {
    Origin::scripted(|peer| {
        let mut bytes = peer.some();
        while bytes.first() == Some(&b'e') && bytes.last() != Some(&b'f') {
            bytes.extend(peer.some());
        }
        let port = peer.stream().local_addr().unwrap().port();
        peer.send([format!("{port}:").as_bytes(), &bytes].concat());
    })
}

/// A server that sends back whatever comes, until the other side has no more.
fn mirror() -> Origin {
    Origin::scripted(|peer| {
        loop {
            let bytes = peer.some();
            if bytes.is_empty() || peer.write(&bytes).is_err() {
                return;
            }
        }
    })
}

/// Waits until so many connections are in the access log, and gives the reason of the last.
#[track_caller]
fn reason(proxy: &Proxy, lines: usize) -> String {
    let lines = proxy.access(lines);
    lines.last().unwrap()["error"].as_str().unwrap_or_default().to_owned()
}

/// What comes next, which is so long.
#[track_caller]
fn next(client: &mut Client, length: usize) -> String {
    let mut bytes = Vec::new();
    client.take(length, &mut bytes).unwrap();
    text(bytes)
}

/// Waits until no connection of the listener is open.
#[track_caller]
fn all_closed(proxy: &Proxy) {
    for name in ["linkspan_streams_open", "linkspan_connections_open"] {
        eventually(name, || (proxy.counter(name, &[]) == 0).then_some(()));
    }
}
