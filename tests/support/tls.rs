//! TLS for tests: an authority with what it vouches for, and the two ends of a conversation.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConnection};

/// Somebody who vouches for others.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// One who trusts it alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A certificate for these names and addresses, the first of which is its common name.
    pub(crate) fn vouch(&self, names: &[&str]) -> Identity {
        self.vouch_with(names, |_| {})
    }

    /// The same, with something else about it.
    pub(crate) fn vouch_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        let purposes = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = purposes.into();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { pem: certificate.pem(), certificate: certificate.der().clone(), key }
    }
}

impl Identity {
    /// Somebody for whom nobody vouches.
    pub(crate) fn alone(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Self { pem: certificate.pem(), certificate: certificate.der().clone(), key }
    }

    /// One that has been valid no more since many years.
    pub(crate) fn expired(params: &mut CertificateParams) {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        fs::write(directory.join(format!("{name}.pem")), &self.pem).unwrap();
        fs::write(directory.join(format!("{name}.key")), self.key.serialize_pem()).unwrap();
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
        (vec![self.certificate.clone()], PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// A client that trusts an authority, and shows this.
    pub(crate) fn client(&self, authority: &Authority) -> Arc<ClientConfig> {
        let (chain, key) = self.parts();
        let builder = ClientConfig::builder().with_root_certificates(authority.roots());
        Arc::new(builder.with_client_auth_cert(chain, key.into()).unwrap())
    }

    /// A server with this certificate, which asks for none.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let (chain, key) = self.parts();
        let builder = rustls::ServerConfig::builder().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key.into()).unwrap())
    }

    /// The same for clients for whom an authority vouches.
    pub(crate) fn server_for(&self, clients: &Authority) -> Arc<rustls::ServerConfig> {
        let (chain, key) = self.parts();
        let clients = WebPkiClientVerifier::builder(Arc::new(clients.roots())).build().unwrap();
        let builder = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
        Arc::new(builder.with_single_cert(chain, key.into()).unwrap())
    }
}

/// A configuration whose files of certificates, which it has in a directory, are in another one.
pub(crate) fn provided(text: &str, from: &str, to: &Path) -> String {
    let authority = Authority::new("example");
    for name in text.split(from).skip(1).filter_map(|rest| rest.split_once('.')) {
        let (name, rest) = name;
        authority.vouch(&[&format!("{name}.example")]).write(to, name);
        if rest.starts_with("ocsp") {
            fs::write(to.join(format!("{name}.ocsp")), b"\x30\x00").unwrap();
        }
    }
    text.replace(from, &format!("{}/", to.display()))
}

/// A client that trusts an authority.
pub(crate) fn client_of(authority: &Authority) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(authority.roots()).with_no_client_auth()
}

/// TLS over a socket that blocks.
#[derive(Debug)]
pub(crate) struct Tls(Box<Connection>);

impl Tls {
    pub(crate) fn client(config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self(Box::new(Connection::Client(connection)))
    }

    pub(crate) fn server(config: &Arc<rustls::ServerConfig>) -> Self {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        Self(Box::new(Connection::Server(connection)))
    }

    /// The state of the conversation.
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Shakes hands, or says why not.
    pub(crate) fn begin(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        while self.0.is_handshaking() {
            self.0.complete_io(&mut stream)?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.0.writer().write(rest)?;
            rest = rest.get(written..).unwrap_or_default();
            while self.0.wants_write() {
                self.0.write_tls(&mut stream)?;
            }
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, mut stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.0.read_tls(&mut stream)?;
            let read = self.0.process_new_packets();
            // An alert says why, if that has failed.
            while self.0.wants_write() {
                self.0.write_tls(&mut stream)?;
            }
            read.map_err(io::Error::other)?;
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        self.0.send_close_notify();
        while self.0.wants_write() {
            self.0.write_tls(&mut stream)?;
        }
        Ok(())
    }
}
