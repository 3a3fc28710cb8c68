//! Addresses: to listen on, of endpoints, and of those that routers name.

mod grant;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use crate::config::{Address, Config, Location, Scheme, TrustedProxy};
use crate::socket::bind::Bind;

pub(super) use grant::grant;
pub use grant::{AddressGrant, HostGrant};

/// The longest path of a Unix socket: what `sockaddr_un` holds, less the closing zero.
const UNIX_PATH_BYTES: usize = 107;

/// Why a text is no address.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum AddressError {
    #[error("it is empty")]
    Empty,
    #[error("it has no port")]
    NoPort,
    #[error("`{0}` is not a port")]
    BadPort(String),
    #[error("`{0}` is not the name of a host")]
    BadName(String),
    #[error("an IPv6 address with a port is written in brackets, as in `[::1]:80`")]
    Unbracketed,
    #[error("`{0}` is not an IPv6 address")]
    BadIpv6(String),
    #[error("a name server is given by its IP address")]
    NamedServer,
    #[error("SRV records say which port it is; expected none")]
    ServicePort,
    #[error("a request can be forwarded to a host, and not to a service")]
    ServiceUrl,
    #[error("only IP addresses and `localhost` can be listened on")]
    NotLocal,
    #[error("an endpoint is a host and a port; a path has no place in it")]
    HasPath,
    #[error("it has no scheme; expected `http://host:port` or `https://host:port`")]
    NoScheme,
    #[error("it is neither `tcp://host:port` nor `unix:/path`")]
    NoStream,
    #[error("`{0}` is not a scheme of endpoints")]
    BadScheme(String),
    #[error("`{0}` endpoints are not available in this version")]
    Later(String),
    #[error("a Unix socket is written as `unix:{0}`")]
    BarePath(String),
    #[error("the path of a Unix socket is absolute")]
    RelativePath,
    #[error("the path of a Unix socket has {UNIX_PATH_BYTES} bytes at most")]
    LongPath,
    #[error("`{0}` is not a network")]
    BadNetwork(String),
    #[error("the network has bits behind its prefix; it would be `{0}`")]
    HostBits(IpNet),
}

/// Why a text is no address that a request can be forwarded to.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(transparent)]
pub struct BadUrl(#[from] AddressError);

impl Location {
    /// Reads `http://host:port` or `https://host:port`, as routers name addresses. Without a port it is 80,
    /// or 443. An IPv4 address written as an IPv6 one is that IPv4 address.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn from_url(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::NoScheme)?;
        match url(scheme, rest)? {
            Self { address: Address::Service(_), .. } => Err(AddressError::ServiceUrl.into()),
            Self { scheme, address } => Ok(Self { scheme, address: address.canonical() }),
        }
    }

    /// Reads `tcp://host:port` or `unix:/path`, as stream routers name addresses.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn from_stream(text: &str) -> Result<Self, BadUrl> {
        let plain = |address: Address| Self { scheme: Scheme::Http, address: address.canonical() };
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(plain(unix(path)?));
        }
        let rest = text.strip_prefix("tcp://").ok_or(AddressError::NoStream)?;
        match split(rest)? {
            (_, Some(_)) => Ok(plain(authority(rest, 0)?)),
            (_, None) => Err(AddressError::NoPort.into()),
        }
    }
}

impl Address {
    /// An IPv4 address that is written as an IPv6 one as what it is.
    fn canonical(mut self) -> Self {
        if let Self::Socket(socket) = &mut self {
            socket.set_ip(socket.ip().to_canonical());
        }
        self
    }
}

impl fmt::Display for Address {
    /// As a file names an endpoint.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(out, "{address}"),
            Self::Name(name, port) => write!(out, "{name}:{port}"),
            Self::Service(name) => write!(out, "srv+http://{name}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Where a configuration listens cannot be changed by a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotMovable {
    /// One address cannot serve several listeners.
    #[error(
        "host and port can be given for a configuration of one listener only; this one has {0}"
    )]
    Several(usize),
    /// The only listener has neither.
    #[error("host and port can be given for an IP address only; the listener is at {0}")]
    Unix(Bind),
}

impl Config {
    /// Changes where the only listener listens.
    ///
    /// # Errors
    ///
    /// [`NotMovable`] if there are several, or the only one listens on a Unix socket.
    pub fn override_bind(
        &mut self,
        host: Option<IpAddr>,
        port: Option<u16>,
    ) -> Result<(), NotMovable> {
        if host.is_none() && port.is_none() {
            return Ok(());
        }
        let count = self.listeners.len();
        let Some(listener) = self.listeners.values_mut().next().filter(|_| count == 1) else {
            return Err(NotMovable::Several(count));
        };
        let Bind::Tcp(address) = &mut listener.bind else {
            return Err(NotMovable::Unix(listener.bind.clone()));
        };
        if let Some(host) = host {
            address.set_ip(host);
        }
        if let Some(port) = port {
            address.set_port(port);
        }
        Ok(())
    }
}

/// Reads `10.0.0.1:80`, `[::1]:80`, `localhost:80`, `:80` or `unix:/path`; `:80` is every IPv4 address.
pub(super) fn bind(text: &str) -> Result<Bind, AddressError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Bind::Unix(unix_path(path)?));
    }
    if text.starts_with('/') {
        return Err(AddressError::BarePath(text.to_owned()));
    }
    let (host, port) = match split(text)? {
        (host, Some(port)) => (host, number(port, 0)?),
        (_, None) => return Err(AddressError::NoPort),
    };
    let address = match host {
        Host::Ip(address) => address,
        Host::Name("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        Host::Name(_) => return Err(AddressError::NotLocal),
    };
    Ok(Bind::Tcp(SocketAddr::new(address, port)))
}

/// Reads `10.0.0.1:80`, `[::1]:80`, `files.internal`, `http://files.internal:80`, `https://files.internal`
/// or `unix:/path`. Without a port it is 80, and with `https` 443.
pub(super) fn endpoint(text: &str) -> Result<Location, AddressError> {
    let unsaid = |address| Location { scheme: Scheme::Unsaid, address };
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(unsaid);
    }
    match text.split_once("://") {
        None => authority(text, 80).map(unsaid),
        Some((scheme, rest)) => url(scheme, rest),
    }
}

/// Reads `10.0.0.1:11211`, `[::1]`, `cache.internal` or `unix:/path`. Without a port it is 11211.
pub(super) fn memcached(text: &str) -> Result<Address, AddressError> {
    text.strip_prefix("unix:").map_or_else(|| authority(text, 11_211), unix)
}

fn url(scheme: &str, rest: &str) -> Result<Location, AddressError> {
    let name = scheme.to_ascii_lowercase();
    let (is_service, name) = match name.strip_prefix("srv+") {
        Some(name) => (true, name),
        None => (false, &*name),
    };
    let (read, port) = match name {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "h2c" | "fcgi" if !is_service => return Err(AddressError::Later(scheme.to_owned())),
        _ => return Err(AddressError::BadScheme(scheme.to_owned())),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = if is_service { service(rest)? } else { authority(rest, port)? };
    Ok(Location { scheme: read, address })
}

/// The name of SRV records.
fn service(text: &str) -> Result<Address, AddressError> {
    if text.contains('/') {
        return Err(AddressError::HasPath);
    }
    match split(text)? {
        (Host::Name(host), None) => Ok(Address::Service(Arc::from(name(host)?))),
        (Host::Name(_), Some(_)) => Err(AddressError::ServicePort),
        (Host::Ip(_), _) => Err(AddressError::BadName(text.to_owned())),
    }
}

fn authority(authority: &str, default: u16) -> Result<Address, AddressError> {
    if authority.contains('/') {
        return Err(AddressError::HasPath);
    }
    let (host, port) = split(authority)?;
    let port = port.map_or(Ok(default), |port| number(port, 1))?;
    match host {
        Host::Ip(address) => Ok(Address::Socket(SocketAddr::new(address, port))),
        Host::Name(host) => Ok(Address::Name(Arc::from(name(host)?), port)),
    }
}

/// Reads `10.0.0.1:53`, `10.0.0.1`, `[::1]:53` or `[::1]`. Without a port it is 53.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, AddressError> {
    let (host, port) = split(text)?;
    let port = port.map_or(Ok(53), |port| number(port, 1))?;
    match host {
        Host::Ip(address) => Ok(SocketAddr::new(address, port)),
        Host::Name(_) => Err(AddressError::NamedServer),
    }
}

/// Reads what [`network`] does, or `unix`.
pub(super) fn trusted(text: &str) -> Result<TrustedProxy, AddressError> {
    match text {
        "unix" => Ok(TrustedProxy::Unix),
        _ => network(text).map(TrustedProxy::Network),
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8`, `10.0.0.1` or `::1`; a single address is a network of its own.
pub(super) fn network(text: &str) -> Result<IpNet, AddressError> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    let parsed = text.parse::<IpNet>().ok().or_else(|| single().ok());
    let network = parsed.ok_or_else(|| AddressError::BadNetwork(text.to_owned()))?;
    if network == network.trunc() {
        Ok(canonical(network))
    } else {
        Err(AddressError::HostBits(network.trunc()))
    }
}

/// A network of IPv4 addresses that are written as IPv6 ones, as one of IPv4: addresses that are
/// compared with it are canonical, too.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network.addr() {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let length = network.prefix_len().checked_sub(96);
    let short = mapped.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    short.map_or(network, IpNet::V4)
}

enum Host<'t> {
    Ip(IpAddr),
    Name(&'t str),
}

/// A host, and the port if there is one.
fn split(text: &str) -> Result<(Host<'_>, Option<&str>), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let bad = || AddressError::BadIpv6(text.to_owned());
        let (inner, after) = rest.split_once(']').ok_or_else(bad)?;
        let host = Host::Ip(IpAddr::V6(ipv6(inner)?));
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((_, port)) if port.contains(':') => return Err(AddressError::Unbracketed),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    Ok((host.parse().map_or(Host::Name(host), |address| Host::Ip(IpAddr::V4(address))), port))
}

fn ipv6(text: &str) -> Result<Ipv6Addr, AddressError> {
    text.parse().ok().ok_or_else(|| AddressError::BadIpv6(text.to_owned()))
}

fn number(port: &str, least: u16) -> Result<u16, AddressError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|number| digits && *number >= least);
    number.ok_or_else(|| AddressError::BadPort(port.to_owned()))
}

/// A host name in lower case. One that ends in a number would be an IPv4 address to some.
fn name(text: &str) -> Result<String, AddressError> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    if labels.len() > 253 || numeric || !labels.split('.').all(is_label) {
        return Err(AddressError::BadName(text.to_owned()));
    }
    Ok(text.to_ascii_lowercase())
}

fn unix(path: &str) -> Result<Address, AddressError> {
    unix_path(path).map(Address::Unix)
}

fn unix_path(path: &str) -> Result<PathBuf, AddressError> {
    if !path.starts_with('/') {
        return Err(AddressError::RelativePath);
    }
    if path.len() > UNIX_PATH_BYTES || path.contains('\0') {
        return Err(AddressError::LongPath);
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests;
