//! TLS as rustls speaks it: certificates and keys from files, and who is believed.
//!
//! Everything is read when a configuration is, so that one whose files are of no use is not taken; what
//! is agreed on with a peer lasts as long as its connection, whatever becomes of the files.

pub mod client;
pub mod failure;
pub mod issued;
pub mod pem;
pub mod server;
pub mod subject;
mod tickets;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// What does the arithmetic, for all of the process.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}
