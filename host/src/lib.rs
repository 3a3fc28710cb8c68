//! Linkspan: a reverse proxy whose decisions are WebAssembly components.

pub mod config;
