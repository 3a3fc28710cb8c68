//! What a listener speaks TLS with: its certificates, chosen by the name that a client asks for, and what
//! it asks of clients.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::issued::Managed;
use super::tickets::tickets;
use super::{Version, provider};

/// A certificate with what it is for.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The file of the certificate and its chain.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// The file of the OCSP response that is stapled to it, if one is.
    pub ocsp: Option<PathBuf>,
    /// What is in these.
    pub certified: Arc<CertifiedKey>,
}

impl Certificate {
    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.ocsp).map(PathBuf::as_path)
    }
}

/// What a listener shows clients, at least one of it.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Those of files.
    pub files: Vec<Certificate>,
    /// Those that are issued while it serves, which go before.
    pub managed: Option<Managed>,
}

/// Whether clients have to show a certificate, where authorities vouch for those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Who shows none, or one that nobody vouches for, is turned away.
    Required,
    /// Who shows none is served as well; not who shows one that nobody vouches for.
    Optional,
}

/// Who vouches for clients.
#[derive(Debug, Clone)]
pub struct ClientAuthorities {
    /// The file of their certificates.
    pub file: PathBuf,
    /// What is in it.
    pub roots: Arc<RootCertStore>,
    /// Whether clients have to show one.
    pub shown: Shown,
}

/// What a listener speaks TLS with.
#[derive(Clone)]
pub struct ServerTls {
    certificates: Certificates,
    names: Arc<Names>,
    clients: Option<ClientAuthorities>,
    least: Version,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// What is said in TLS by these certificates, the first of which is for clients that ask for none of the
    /// names; those of files go before others there. Sessions are taken up again where `scope` and the authorities are the same. `protocols` are
    /// those that are offered, best first (RFC 7301).
    ///
    /// # Errors
    ///
    /// Why these settings do not go together, in words.
    pub fn new(
        certificates: Certificates,
        clients: Option<ClientAuthorities>,
        least: Version,
        protocols: &[&[u8]],
        scope: &str,
    ) -> Result<Self, String> {
        const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        let versions = match least {
            Version::Tls12 => BOTH,
            Version::Tls13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::clone(&clients.roots);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider()));
                let verifier = match clients.shown {
                    Shown::Required => verifier,
                    Shown::Optional => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
            }
        };
        let names = Arc::new(Names::new(&certificates));
        let mut config = builder.with_cert_resolver(Arc::clone(&names) as _);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.ticketer = tickets(scope_of(scope, clients.as_ref()), Ticketer::new)
            .map_err(|error| error.to_string())?;
        Ok(Self { certificates, names, clients, least, config: Arc::new(config) })
    }

    /// Its certificates that are from files.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates.files
    }

    /// The names that certificates are issued for while it serves, if there are such.
    #[must_use]
    pub fn managed(&self) -> Option<&Managed> {
        self.certificates.managed.as_ref()
    }

    /// Whether there is no certificate for a name yet, in lower case, as none has been issued.
    #[must_use]
    pub fn awaits(&self, name: &str) -> bool {
        let managed = self.managed().is_some_and(|managed| managed.awaits(name));
        managed && self.names.find(name).is_none()
    }

    /// Who vouches for clients, if anybody has to.
    #[must_use]
    pub fn clients(&self) -> Option<&ClientAuthorities> {
        self.clients.as_ref()
    }

    /// The least version that is spoken.
    #[must_use]
    pub fn least(&self) -> Version {
        self.least
    }

    /// As rustls takes it.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The files that all of it was read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let clients = self.clients.iter().map(|clients| clients.file.as_path());
        self.certificates.files.iter().flat_map(Certificate::files).chain(clients)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files().collect();
        formatter.debug_struct("ServerTls").field("files", &files).finish_non_exhaustive()
    }
}

/// What a session must have in common with a connection that takes it up: who has vouched for its client
/// is not asked again then.
fn scope_of(scope: &str, clients: Option<&ClientAuthorities>) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(scope);
    if let Some(clients) = clients {
        digest.update([0, u8::from(clients.shown == Shown::Required)]);
        for root in &clients.roots.roots {
            for part in [&root.subject, &root.subject_public_key_info] {
                digest.update(part.len().to_be_bytes());
                digest.update(part);
            }
        }
    }
    digest.finalize().into()
}

/// Certificates by the names that they are for.
#[derive(Debug)]
struct Names {
    /// In lower case. Several of one name differ in what clients must know to use them.
    exact: BTreeMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows the asterisk and its dot, which stand for one label (RFC 9525, 6.3).
    wildcard: BTreeMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    others: Vec<Arc<CertifiedKey>>,
    managed: Option<Managed>,
}

impl Names {
    fn new(certificates: &Certificates) -> Self {
        let others = certificates.files.first().map(|first| Arc::clone(&first.certified));
        let others = others.into_iter().collect();
        let (exact, wildcard) = (BTreeMap::new(), BTreeMap::new());
        let managed = certificates.managed.clone();
        let mut names = Self { exact, wildcard, others, managed };
        for certificate in &certificates.files {
            let certified = &certificate.certified;
            for name in certified.cert.first().map(|own| names_of(own)).unwrap_or_default() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, &*name),
                };
                names.entry(name.into()).or_default().push(Arc::clone(certified));
            }
        }
        names
    }

    /// Those of files for a name in lower case.
    fn find(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let exact = self.exact.get(name);
        let parent = || self.wildcard.get(name.split_once('.')?.1);
        exact.or_else(parent).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let managed = self.managed.as_ref();
        let found = match (name.as_deref(), managed) {
            (Some(name), Some(managed)) if managed.has(name) => {
                if let Some(issued) = managed.get(name) {
                    return Some(issued);
                }
                // That of another name would be of no use.
                self.find(name)?
            }
            (name, _) => name.and_then(|name| self.find(name)).unwrap_or(&self.others),
        };
        let schemes = hello.signature_schemes();
        let fits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        let of_files = found.iter().find(fits).or_else(|| found.first()).cloned();
        of_files.or_else(|| managed.and_then(Managed::first))
    }
}

/// The host names that a certificate is for, in lower case.
pub(crate) fn names_of(certificate: &[u8]) -> Vec<Box<str>> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}
