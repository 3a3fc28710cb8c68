//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.

pub mod socket;
pub mod deadline;
pub mod drain;
pub mod config;
pub mod log;
pub mod metrics;
pub mod body;
pub mod store;
pub mod plugin;
pub mod cluster;
pub mod snapshot;
pub mod view;
pub mod worker;
pub mod listener;
pub mod relay;
pub mod proxy;
pub mod cli;
pub mod commands;
