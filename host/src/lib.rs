//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.

pub mod cluster;
pub mod config;
pub mod drain;
pub mod log;
pub mod metrics;
pub mod relay;
