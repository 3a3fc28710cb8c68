//! Where the endpoints of a configuration are, one by one, and how each is spoken to.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::ServerName;

use super::AskedBy;
use super::names::{Names, question};
use crate::cluster::peer::Peer;
use crate::config::{Address, UpstreamTls};
use crate::dns::Found;
use crate::tls::client::Secure;

/// One address of a configured endpoint.
pub(super) struct Place {
    pub(super) peer: Peer,
    pub(super) by: AskedBy,
    pub(super) authority: HeaderValue,
    /// What a service says of it.
    pub(super) rank_and_weight: Option<(u8, u32)>,
}

/// The places of an endpoint to which TLS is spoken like this, by what names stand for.
pub(super) fn places(address: &Address, tls: Option<&UpstreamTls>, names: &Names) -> Vec<Place> {
    let usual = if tls.is_some() { 443 } else { 80 };
    let place = |peer, host: Option<&Arc<str>>, (name, port): (&str, u16)| Place {
        peer,
        by: AskedBy { host: host.cloned(), tls: tls.and_then(|tls| secure(tls, address, name)) },
        authority: authority(name, port, usual),
        rank_and_weight: None,
    };
    let found = question(address).map(|question| names.found(&question));
    let found = found.into_iter().flatten();
    match address {
        Address::Socket(socket) => {
            let host = of_ip(socket.ip());
            vec![place(Peer::Tcp(*socket), None, (&host, socket.port()))]
        }
        Address::Unix(path) => vec![place(Peer::Unix(path.clone()), None, ("localhost", usual))],
        Address::Name(host, port) => {
            let of = |found: &Found| {
                place(Peer::Tcp((found.address, *port).into()), Some(host), (host, *port))
            };
            found.map(of).collect()
        }
        Address::Service(_) => {
            let of = |found: &Found| {
                let service = found.service.as_ref()?;
                let peer = Peer::Tcp((found.address, service.port).into());
                let at = (&*service.target, service.port);
                let rank_and_weight = Some((service.rank, service.weight));
                Some(Place { rank_and_weight, ..place(peer, Some(&service.target), at) })
            };
            found.filter_map(of).collect()
        }
    }
}

/// How TLS is spoken to an address that is asked for by this host. Of a service its own name counts and not
/// that of its targets: those are the word of whoever answers for it (RFC 6125, 6.2.1).
fn secure(tls: &UpstreamTls, address: &Address, host: &str) -> Option<Secure> {
    let client = Arc::clone(&tls.client);
    if let Some(name) = &tls.server_name {
        return Some(Secure { client, name: name.clone() });
    }
    let name = match address {
        Address::Socket(socket) => ServerName::from(socket.ip()),
        Address::Service(service) => named(domain(service)),
        Address::Name(..) | Address::Unix(_) => named(host),
    };
    Some(Secure { client, name })
}

/// A name that certificates can be for. What cannot be one is none's, which is what nobody can prove to be.
fn named(host: &str) -> ServerName<'static> {
    let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned());
    name.unwrap_or_else(|_| ServerName::from(IpAddr::from([0, 0, 0, 0])))
}

/// What follows the labels of service and protocol.
fn domain(service: &str) -> &str {
    let mut rest = service;
    while let Some((_, more)) = rest.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        rest = more;
    }
    rest
}

fn of_ip(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// What a client would send as Host; without the port where it is the usual one.
fn authority(host: &str, port: u16, usual: u16) -> HeaderValue {
    let text = if port == usual { host.to_owned() } else { format!("{host}:{port}") };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
}
