//! Clusters: where requests go, and the connections that take them there.

pub mod connect;
pub mod peer;
pub mod pool;
