//! Linkspan: a reverse proxy whose every decision is a WebAssembly component.

pub mod deadline;
pub mod socket;
