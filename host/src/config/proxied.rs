//! Who tells a listener by the PROXY protocol which client a connection is from.

use std::net::IpAddr;

use crate::config::Listener;

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
    /// How a connection from an address begins. The address alone says so, and never what is sent: whoever
    /// could choose would choose who to be.
    #[must_use]
    pub fn opening(&self, peer: IpAddr) -> Opening {
        match self.proxy_protocol {
            ProxyProtocol::Off => Opening::Request,
            ProxyProtocol::Require | ProxyProtocol::FromTrusted if self.trusts(peer) => {
                Opening::Header
            }
            ProxyProtocol::Require => Opening::Refused,
            ProxyProtocol::FromTrusted => Opening::Request,
        }
    }
}
