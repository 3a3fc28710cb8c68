//! The modules that read what strangers write, as a crate of their own: `fuzz/host` builds it. They
//! need nothing of those that know requests or WebAssembly, whose build takes long.

pub mod hello;
pub mod proxy_protocol;
pub mod wire;
pub mod socket;
pub mod tls;
pub mod config;
pub mod log;
pub mod headers;
