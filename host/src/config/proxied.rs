//! Who tells a listener by the PROXY protocol which client a connection is from.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Listener;

/// Whose word on others is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Those of a network.
    Network(IpNet),
    /// Whoever may connect to a Unix socket, where nobody has an address.
    Unix,
}

/// The connections of a listener that begin with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// All. Others than the trusted proxies may not connect.
    Require,
    /// Those of the trusted proxies. Whoever else connects is a client.
    FromTrusted,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// With a request.
    Request,
    /// With a header that says whose requests follow.
    Header,
    /// Not at all: who could claim to be anybody may not connect.
    Refused,
}

impl Listener {
    /// How a connection from an address begins, or one of a Unix socket. The address alone says so, and never what is sent: whoever
    /// could choose would choose who to be.
    #[must_use]
    pub fn opening(&self, peer: Option<IpAddr>) -> Opening {
        match self.proxy_protocol {
            ProxyProtocol::Off => Opening::Request,
            ProxyProtocol::Require | ProxyProtocol::FromTrusted if self.trusts(peer) => {
                Opening::Header
            }
            ProxyProtocol::Require => Opening::Refused,
            ProxyProtocol::FromTrusted => Opening::Request,
        }
    }

    /// Whether a client is one of the trusted proxies; one without an address is that of a Unix socket.
    #[must_use]
    pub fn trusts(&self, client: Option<IpAddr>) -> bool {
        let client = client.map(|client| client.to_canonical());
        self.trusted_proxies.iter().any(|trusted| match (trusted, client) {
            (TrustedProxy::Network(network), Some(client)) => network.contains(&client),
            (TrustedProxy::Unix, None) => true,
            (TrustedProxy::Network(_), None) | (TrustedProxy::Unix, Some(_)) => false,
        })
    }
}
