//! What Linkspan promises, tried over real sockets: one file per topic, one test per promise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness that cannot go on has nothing better to do than to fail its test"
)]

mod access;
mod admin;
mod agreement;
mod authority;
mod balancing;
mod bodies;
mod cases;
mod cli;
mod configuration;
mod connections;
mod corpus;
mod counts;
mod diagnostics;
mod direct;
mod examples;
mod headers;
mod grpc;
mod health;
mod hops;
mod hostile;
mod http2;
mod http2_upstream;
mod languages;
mod limits;
mod loading;
mod logs;
mod names;
mod optimized;
mod outcomes;
mod proxy_protocol;
mod queueing;
mod readme;
mod recording;
mod reload;
mod reuse;
mod rewriting;
mod routing;
mod schema;
mod sendfile;
mod service;
mod shutdown;
mod sockets;
mod soak;
mod status;
mod stores;
mod strangers;
mod streaming;
mod streams;
mod substitute;
mod support;
mod swapping;
mod takeover;
mod tidy;
mod tls;
mod upgrades;
mod upstreams;
mod waiting;
