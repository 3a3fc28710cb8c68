//! What Linkspan promises, tried over real sockets: one file per topic, one test per promise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness that cannot go on has nothing better to do than to fail its test"
)]

mod balancing;
mod direct;
mod headers;
mod limits;
mod rewriting;
mod routing;
mod streaming;
mod support;
mod tidy;
mod upstreams;
