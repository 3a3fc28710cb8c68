//! Endpoints that are spoken to in HTTP/2.

mod connections;
mod duplex;
mod hostile;
mod requests;
mod tls;

use std::net::SocketAddr;

use crate::support::streams::Streams;
use crate::support::{Proxy, one_cluster};

/// A proxy that speaks HTTP/2 to this endpoint. `cluster` are further lines.
fn before(address: SocketAddr, cluster: &str) -> Proxy {
    Proxy::start(&one_cluster(&[address], "", &format!("protocol = 'h2'\n{cluster}")))
}

fn to(origin: &Streams) -> Proxy {
    before(origin.address(), "")
}
