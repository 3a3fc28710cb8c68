//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.

pub mod body;
pub mod cluster;
pub mod deadline;
pub mod listener;
pub mod socket;
