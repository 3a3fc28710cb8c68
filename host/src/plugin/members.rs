//! What a balancer's imports and calls need to know of a cluster: the seam to the cluster module,
//! which implements it.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use crate::plugin::bindings::{balancer, types};

pub use balancer::{Endpoint, EndpointState};
pub use types::{EndpointId, Picked};

/// What there is to tell of an endpoint, as the functions of these names of `endpoints` have it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Requests sent there and not finished.
    pub in_flight: u32,
    /// Requests ever sent there.
    pub total: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Bytes of requests' bodies.
    pub bytes_sent: u64,
    /// Bytes of responses' bodies.
    pub bytes_received: u64,
    /// The moving average of the time to the head of a response, in nanoseconds.
    pub latency: u64,
}

/// The endpoints of one cluster.
///
/// Versions only rise. A balancer's instance remembers the versions that it has seen, and is told
/// of changes before its next pick.
pub trait Members: Send + Sync {
    /// The cluster's number.
    fn cluster(&self) -> u32;

    /// Rises with every change of membership.
    fn membership_version(&self) -> u64;

    /// Rises with every change of a state.
    fn states_version(&self) -> u64;

    /// Both: [`Self::membership_version`] and [`Self::states_version`].
    fn versions(&self) -> (u64, u64) {
        (self.membership_version(), self.states_version())
    }

    /// The members in configured order, and the membership version that they are of.
    fn endpoints(&self) -> (u64, Vec<Endpoint>);

    /// The states of the distinct members.
    fn states(&self) -> Vec<(EndpointId, EndpointState)>;

    /// Whether the cluster has such a member now.
    fn has(&self, id: EndpointId) -> bool;

    /// The live figures of a member; none for a number that is none.
    fn figures(&self, id: EndpointId) -> Option<Figures>;

    /// A number that a member's last answer to an active check has; none for one that is no member.
    fn reported(&self, id: EndpointId, name: &str) -> Option<u64>;

    /// The same of all members whose answer is less than so many milliseconds old, in the order of
    /// [`Self::endpoints`].
    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>>;

    /// All numbers of a member's last answer, by name, for a recording.
    fn report(&self, _id: EndpointId) -> Vec<(String, u64)> {
        Vec::new()
    }

    /// Milliseconds since that answer.
    fn report_age(&self, id: EndpointId) -> Option<u64>;

    /// Requests in flight of all members, in the order of [`Self::endpoints`].
    fn in_flight_of_all(&self) -> Vec<u32>;

    /// The same of as many as there is room for, from a place on. What is beyond the end stays as it is.
    fn in_flight_from(&self, first: usize, room: &mut [u32]);
}

/// The endpoints that might have answered a request.
pub trait Siblings: Debug + Send + Sync {
    /// Whether one of them has that address or name, `host:port` or `host` for any port, without
    /// regard to case.
    fn include(&self, authority: &str) -> bool;

    /// All of them: the address that it has, if it has one, and what it is called.
    fn all(&self) -> Vec<(Option<SocketAddr>, String)>;
}

/// The port of an authority that names none.
const PORT: u16 = 80;

/// Whether an authority, `host:port` or `host` for any port, is one of these endpoints', each with the
/// address that it has, if it has one, and what it is called.
pub fn is_one_of<'e>(
    authority: &str,
    mut endpoints: impl Iterator<Item = (Option<SocketAddr>, Option<&'e str>)>,
) -> bool {
    let Some((host, port)) = host_and_port(authority) else { return false };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = inside.unwrap_or(host).parse().ok().map(|ip: IpAddr| ip.to_canonical());
    let is = |own: u16| port.is_none_or(|port| port == own);
    endpoints.any(|(own, called)| {
        let at = match (address, own) {
            (Some(ip), Some(own)) => ip == own.ip().to_canonical() && is(own.port()),
            _ => false,
        };
        at || called
            .and_then(host_and_port)
            .is_some_and(|(own, of)| own.eq_ignore_ascii_case(host) && is(of.unwrap_or(PORT)))
    })
}

/// Splits `host:port`, `host`, `[v6]:port` and `[v6]`.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    (!host.is_empty()).then_some((host, port))
}
