//! `[acme]`: who issues certificates for the names of listeners, and how it is asked for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use sha2::{Digest, Sha256};

use crate::config::{Config, Name};
use crate::tls::issued::Issued;

/// How certificates are obtained.
#[derive(Debug, Clone)]
pub struct Acme {
    /// The URL of the authority's directory. Default that of Let's Encrypt.
    pub directory: Arc<str>,
    /// Where the authority can reach whoever runs this, as URLs. Default nowhere.
    pub contact: Vec<String>,
    /// The file with those who vouch for the authority's own server, and what is in it. Default those that the
    /// system trusts.
    pub authorities: Option<(PathBuf, Arc<RootCertStore>)>,
    /// Where accounts and certificates are kept.
    pub dir: PathBuf,
    /// How a name is proved to be ours: at least one way, tried in this order.
    pub challenges: Vec<Challenge>,
    /// How long before a certificate ends another is asked for. `None`: a third of its lifetime.
    pub renew_before: Option<Duration>,
    /// How soon a name is tried again; doubled each time, up to 6 h. Default 1 min.
    pub retry: Duration,
    /// What has been issued.
    pub issued: Arc<Issued>,
}

impl Acme {
    /// What the folder of a directory is called: its host, so that people know it, and what tells it from others.
    #[must_use]
    pub fn label(directory: &str) -> String {
        let uri = directory.parse::<http::Uri>().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let host: String = host.chars().filter(|c| plain(*c)).take(64).collect();
        let digest = Sha256::digest(directory);
        let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{host}-{digest}")
    }

    /// The folder of a directory's account and certificates.
    #[must_use]
    pub fn folder(dir: &Path, directory: &str) -> PathBuf {
        dir.join(Self::label(directory))
    }
}

/// How a name is proved to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a handshake (RFC 8737).
    TlsAlpn01,
    /// By a request in the clear (RFC 8555, 8.3).
    Http01,
}

impl Config {
    /// The names that certificates are issued for.
    #[must_use]
    pub fn managed_names(&self) -> BTreeSet<Name> {
        let secured = self.listeners.values().filter_map(|listener| listener.tls.as_ref());
        let managed = secured.filter_map(|tls| tls.managed());
        managed.flat_map(|managed| managed.names.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_has_a_folder_of_its_own() {
        let label = Acme::label("https://acme.example:14000/dir");
        assert!(label.starts_with("acme.example-"), "{label}");
        assert_ne!(label, Acme::label("https://acme.example:14000/dir2"));
        assert!(!Acme::label("https://[::1]/../x").contains(['/', ':', '[']));
    }
}
