//! Addresses to grant.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::{AddressError, canonical, ipv6, name, network, number, unix};
use crate::config::Address;

/// A set of addresses, as `NETWORK:PORT` or `HOST:PORT`, where PORT may be `*`, or one as `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressGrant {
    /// Which hosts.
    pub host: HostGrant,
    /// Which port; `None` for any.
    pub port: Option<u16>,
}

/// The hosts of an [`AddressGrant`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostGrant {
    /// The addresses of a network; a single address is one of full length.
    Network(IpNet),
    /// A name, in lower case, to be asked for literally.
    Name(String),
    /// No host but a Unix socket, by its path.
    Unix(PathBuf),
}

impl AddressGrant {
    /// Whether it covers an address, after resolution.
    #[must_use]
    pub fn covers(&self, address: IpAddr, port: u16) -> bool {
        let HostGrant::Network(network) = &self.host else { return false };
        network.contains(&address.to_canonical()) && self.port.is_none_or(|granted| granted == port)
    }
}

impl fmt::Display for AddressGrant {
    /// As a file names a grant.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostGrant::Unix(path) => return write!(out, "unix:{}", path.display()),
            HostGrant::Name(name) => out.write_str(name),
            HostGrant::Network(IpNet::V4(network)) => write!(out, "{network}"),
            HostGrant::Network(IpNet::V6(network)) => write!(out, "[{network}]"),
        }?;
        match self.port {
            Some(port) => write!(out, ":{port}"),
            None => out.write_str(":*"),
        }
    }
}

/// Reads `10.0.0.0/8:*`, `[fd00::/8]:443`, `[::1]:80`, `127.0.0.1:8080`, `backend.internal:*` or
/// `unix:/path`.
pub(in crate::config) fn grant(text: &str) -> Result<AddressGrant, AddressError> {
    if let Some(Address::Unix(path)) = text.strip_prefix("unix:").map(unix).transpose()? {
        return Ok(AddressGrant { host: HostGrant::Unix(path), port: None });
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    let port = if port == "*" { None } else { Some(number(port, 1)?) };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inner.is_none() && host.contains(':') && !host.contains('/') {
        return Err(AddressError::Unbracketed);
    }
    let plain = inner.unwrap_or(host);
    let host = if plain.contains('/') {
        HostGrant::Network(network(plain)?)
    } else if let Some(address) = inner {
        HostGrant::Network(canonical(IpNet::from(IpAddr::V6(ipv6(address)?))))
    } else if let Ok(address) = plain.parse::<IpAddr>() {
        HostGrant::Network(IpNet::from(address))
    } else {
        HostGrant::Name(name(plain)?)
    };
    Ok(AddressGrant { host, port })
}
