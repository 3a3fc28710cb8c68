//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.

pub mod body;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod deadline;
pub mod drain;
pub mod headers;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod plugin;
pub mod proxy;
pub mod relay;
pub mod snapshot;
pub mod socket;
pub mod store;
pub mod worker;
