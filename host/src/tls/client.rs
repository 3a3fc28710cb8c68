//! What upstreams are spoken to in TLS with: who is believed to be one, and who we say that we are.
//!
//! Equal settings are one [`ClientTls`] in all of the process, also over reloads, and with it go the sessions
//! that are taken up again: whoever has another has other settings.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};
use sha2::{Digest, Sha256};
use tokio_rustls::{TlsConnector, TlsStream};

use super::failure::Failure;
use super::{Version, provider};
use crate::socket::Stream;

/// Who is believed to be an upstream.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Whoever shows a certificate for its name for which one of these vouches.
    Authorities(Arc<RootCertStore>),
    /// Anybody who answers.
    Anybody,
}

/// What upstreams are spoken to in TLS with.
pub struct ClientTls {
    digest: [u8; 32],
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// What goes by these settings: the one that is there, or a new one. `own` is shown to upstreams that ask
    /// who we are.
    ///
    /// # Errors
    ///
    /// Why these settings do not go together, in words.
    pub fn new(
        trust: &Trust,
        own: Option<&Arc<CertifiedKey>>,
        least: Version,
    ) -> Result<Arc<Self>, String> {
        static KNOWN: Mutex<Vec<Weak<ClientTls>>> = Mutex::new(Vec::new());
        let digest = digest(trust, own, least);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.strong_count() > 0);
        let mut alive = known.iter().filter_map(Weak::upgrade);
        if let Some(same) = alive.find(|alive| alive.digest == digest) {
            return Ok(same);
        }
        let config = config(trust, own, least).map_err(|error| error.to_string())?;
        let new = Arc::new(Self { digest, config: Arc::new(config) });
        known.push(Arc::downgrade(&new));
        Ok(new)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// How TLS is spoken to one upstream.
#[derive(Debug, Clone)]
pub struct Secure {
    /// With what.
    pub client: Arc<ClientTls>,
    /// What the upstream is asked for, unless it is an address, and what its certificate has to be for.
    pub name: ServerName<'static>,
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client, &other.client) && self.name == other.name
    }
}

impl Secure {
    /// Speaks TLS over a stream from here on. `protocols` are those that are offered, best first (RFC 7301).
    ///
    /// # Errors
    ///
    /// Why the two did not come to terms.
    pub async fn shake_hands(
        &self,
        stream: Stream,
        protocols: &[&[u8]],
    ) -> Result<Stream, Failure> {
        let connector = TlsConnector::from(Arc::clone(&self.client.config));
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let connecting = connector.with_alpn(protocols).connect(self.name.clone(), stream);
        let stream = Box::pin(connecting).await.map_err(|error| Failure::new(error, &self.name))?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// The authorities that the system trusts.
///
/// # Errors
///
/// Why there are none.
pub fn system_authorities() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that nobody could use, such as ones without a name.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(|error| format!(": {error}"));
        return Err(format!("the system has no authorities{}", reason.unwrap_or_default()));
    }
    Ok(Arc::new(roots))
}

fn config(
    trust: &Trust,
    own: Option<&Arc<CertifiedKey>>,
    least: Version,
) -> Result<ClientConfig, Error> {
    const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    let versions = match least {
        Version::Tls12 => BOTH,
        Version::Tls13 => &[&version::TLS13],
    };
    let provider = Arc::clone(provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?;
    let builder = match trust {
        Trust::Authorities(roots) => {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build();
            builder
                .with_webpki_verifier(verifier.map_err(|error| Error::General(error.to_string()))?)
        }
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
    };
    Ok(match own {
        Some(own) => {
            let own: Arc<dyn ResolvesClientCert> =
                Arc::new(SingleCertAndKey::from(Arc::clone(own)));
            builder.with_client_cert_resolver(own)
        }
        None => builder.with_no_client_auth(),
    })
}

/// What distinguishes settings from others. A certificate stands for its key.
fn digest(trust: &Trust, own: Option<&Arc<CertifiedKey>>, least: Version) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut take = |part: &[u8]| {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    };
    take(&[u8::from(least == Version::Tls13)]);
    take(&own.map_or(0, |own| own.cert.len()).to_be_bytes());
    own.into_iter().flat_map(|own| &own.cert).for_each(|certificate| take(certificate));
    if let Trust::Authorities(roots) = trust {
        for root in &roots.roots {
            take(&root.subject);
            take(&root.subject_public_key_info);
            take(root.name_constraints.as_deref().unwrap_or_default());
        }
    }
    digest.finalize().into()
}

/// Believes anybody, who must have the key of what is shown all the same.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authority of this name.
    fn authority(name: &str) -> Trust {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        Trust::Authorities(Arc::new(roots))
    }

    #[test]
    fn equal_settings_are_one_as_long_as_somebody_has_them() {
        let (one, other) = (authority("one"), authority("other"));
        let new = |trust: &Trust, least| ClientTls::new(trust, None, least).unwrap();
        let first = new(&one, Version::Tls12);
        assert!(Arc::ptr_eq(&first, &new(&one, Version::Tls12)));
        let different = [new(&other, Version::Tls12), new(&one, Version::Tls13)];
        let anybody = new(&Trust::Anybody, Version::Tls12);
        assert!(!different.iter().chain([&anybody]).any(|other| Arc::ptr_eq(other, &first)));
    }
}
