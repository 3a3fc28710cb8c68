//! TLS, with clients and with upstreams.

mod acme;
mod downstream;
mod files;
mod machines;
mod upstream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;

use crate::support::Client;
use crate::support::tls::{Authority, client_of};

/// A directory with the certificates of an authority.
struct Vault {
    authority: Authority,
    directory: TempDir,
}

impl Vault {
    fn new() -> Self {
        Self { authority: Authority::new("authority"), directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a certificate for some names, in files of this name.
    fn make(&self, file: &str, names: &[&str]) {
        self.authority.vouch(names).write(self.path(), file);
    }

    /// The keys of a configuration that name the files of a certificate.
    fn files(&self, file: &str) -> String {
        let path = |end: &str| self.path().join(format!("{file}.{end}")).display().to_string();
        format!("cert = '{}', key = '{}'", path("pem"), path("key"))
    }

    /// A client that trusts the authority.
    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(client_of(&self.authority))
    }
}

/// Believes everybody, and keeps what is stapled to their certificates.
#[derive(Debug, Default)]
struct Credulous(Mutex<Vec<u8>>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What is stapled to the certificate that a client gets.
fn stapled(address: SocketAddr, name: &str) -> Vec<u8> {
    let verifier = Arc::new(Credulous::default());
    let builder = ClientConfig::builder().dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    Client::secure(address, &Arc::new(builder.with_no_client_auth()), name).unwrap();
    verifier.0.lock().unwrap().clone()
}
