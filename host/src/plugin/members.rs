//! What a balancer's imports and calls need to know of a cluster: the seam to the cluster module,
//! which implements it.

use std::fmt::Debug;

use crate::plugin::bindings::{balancer, types};

pub use balancer::{Endpoint, EndpointState};
pub use types::{EndpointId, Picked};

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

    /// The members in configured order, and the membership version that they are of.
    fn endpoints(&self) -> (u64, Vec<Endpoint>);

    /// The states of the distinct members.
    fn states(&self) -> Vec<(EndpointId, EndpointState)>;

    /// Whether the cluster has such a member now.
    fn has(&self, id: EndpointId) -> bool;

    /// A live figure of a member; 0 for a number that is none.
    fn figure(&self, id: EndpointId, figure: Figure) -> u64;

    /// A number that a member's last answer to an active check has; none for one that is no member.
    fn reported(&self, id: EndpointId, name: &str) -> Option<u64>;

    /// The same of all members whose answer is less than so many milliseconds old, in the order of
    /// [`Self::endpoints`].
    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>>;

    /// Milliseconds since that answer.
    fn report_age(&self, id: EndpointId) -> Option<u64>;

    /// Requests in flight of all members, in the order of [`Self::endpoints`].
    fn in_flight_of_all(&self) -> Vec<u32>;
}

/// The endpoints that might have answered a request.
pub trait Siblings: Debug + Send + Sync {
    /// Whether one of them has that address or name, `host:port` or `host` for any port, without
    /// regard to case.
    fn include(&self, authority: &str) -> bool;
}

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Requests sent and not finished.
    InFlight,
    /// Requests ever sent.
    Total,
    /// Attempts that failed.
    Failures,
    /// Bytes of request bodies.
    BytesSent,
    /// Bytes of response bodies.
    BytesReceived,
    /// Nanoseconds to a response's head.
    Latency,
}
