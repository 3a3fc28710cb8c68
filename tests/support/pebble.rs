//! An authority that speaks ACME: pebble, the test server of Let's Encrypt.
//!
//! Each has an address of its own on the loopback network, so that the ports that it validates names at
//! can be known before anybody listens there.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use linkspan::config::Acme;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use super::tls::{Authority, client_of};
use super::{Client, NameServer, eventually};

const DIRECTORY: u16 = 14_000;
const MANAGEMENT: u16 = 15_000;
/// Where it looks for proofs in clear.
pub(crate) const HTTP: u16 = 5_002;
/// Where it looks for proofs in handshakes.
pub(crate) const TLS: u16 = 5_001;

/// The authority, which may not run yet. Dropped, it ends.
pub(crate) struct Pebble {
    address: Ipv4Addr,
    authority: Authority,
    directory: TempDir,
    names: NameServer,
    child: Option<Child>,
}

impl Pebble {
    /// One that runs.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut pebble = Self::new();
        pebble.run();
        pebble
    }

    /// One that does not run yet.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let own = COUNT.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::new(127, own, high, low);
        let (authority, directory) = (Authority::new("of pebble"), TempDir::new().unwrap());
        authority.vouch(&[&address.to_string()]).write(directory.path(), "pebble");
        fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        Self { address, authority, directory, names: NameServer::start(), child: None }
    }

    /// Runs it, until it answers.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        let at = |port: u16| SocketAddr::from((self.address, port)).to_string();
        let path = |name: &str| self.directory.path().join(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": at(DIRECTORY),
            "managementListenAddress": at(MANAGEMENT),
            "certificate": path("pebble.pem"),
            "privateKey": path("pebble.key"),
            "httpPort": HTTP,
            "tlsPort": TLS,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs::write(path("pebble.json"), config.to_string()).unwrap();
        let log = File::create(path("pebble.log")).unwrap();
        let mut command = Command::new("pebble");
        command.arg("-config").arg(path("pebble.json"));
        command.args(["-dnsserver", &self.names.address().to_string()]);
        command.env_remove("PEBBLE_VA_ALWAYS_VALID").env("PEBBLE_VA_NOSLEEP", "1");
        command.env("PEBBLE_WFE_NONCEREJECT", "5").env("PEBBLE_AUTHZREUSE", "0");
        command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        self.child = match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => panic!("pebble has to be installed, by tools/need.sh pebble: {error}"),
        };
        for port in [DIRECTORY, MANAGEMENT] {
            eventually("pebble", || {
                let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
                assert!(ended.is_none(), "pebble has ended: {}", self.log());
                TcpStream::connect((self.address, port)).ok()
            });
        }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("pebble.log")).unwrap_or_default()
    }

    /// How many orders it has taken.
    pub(crate) fn orders(&self) -> usize {
        let log = self.log();
        log.lines().filter(|line| line.contains("Added order ")).count()
    }

    /// The address at which it looks for proofs.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// From now on it finds a name at an address.
    pub(crate) fn name(&self, name: &str, address: Ipv4Addr) {
        self.names.host(name, 1, &[&address.to_string()]);
    }

    /// The URL of its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://{}:{DIRECTORY}/dir", self.address)
    }

    /// An `[acme]` that asks it, with these keys besides, and keeps what it gets here.
    pub(crate) fn section(&self, more: &str) -> String {
        let (url, path) = (self.url(), self.directory.path().display());
        format!(
            "[acme]\nterms-agreed = true\ndirectory = '{url}'\nca = '{path}/ca.pem'\n\
             dir = '{path}/kept'\nretry = '100ms'\n{more}\n"
        )
    }

    /// Where certificates are kept.
    pub(crate) fn kept(&self) -> PathBuf {
        Acme::folder(&self.directory.path().join("kept"), &self.url())
    }

    /// Another file of its.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client that trusts whoever it vouches for.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let config = Arc::new(client_of(&self.authority));
        let address = SocketAddr::from((self.address, MANAGEMENT));
        let client = Client::secure(address, &config, &self.address.to_string());
        let root = client.unwrap().get("/roots/0").text();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
