//! TLS to endpoints: who is believed to be one, and what follows when somebody is not.

mod files;
mod reloads;
mod streams;
mod system;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::date_time_ymd;
use rustls::{Connection, ServerConfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::tls::{Authority, Identity};
use crate::support::{Origin, Peer, Proxy, eventually, one_cluster, reply};

/// Files of certificates and keys.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes a file, and gives its path.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The keys `cert` and `key` of a table, for somebody whose files get this name.
    fn pair(&self, name: &str, identity: &Identity) -> String {
        identity.write(self.0.path(), name);
        let [certificate, key] = ["pem", "key"].map(|end| self.path(&format!("{name}.{end}")));
        format!("cert = {}, key = {}", quoted(&certificate), quoted(&key))
    }
}

/// A path as TOML has it.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

/// An origin that answers with what it knows of the connection.
fn telling(config: &Arc<ServerConfig>) -> Origin {
    let mut config = (**config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Origin::secured(Arc::new(config), tell)
}

fn tell(peer: &mut Peer) {
    while peer.request().is_some() {
        let Some(Connection::Server(session)) = peer.tls().map(|tls| tls.connection()) else {
            return;
        };
        let name = session.server_name().unwrap_or("none").to_owned();
        let protocol = String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default());
        let shown = session.peer_certificates().map_or(0, <[_]>::len);
        let kind = format!("{:?}", session.handshake_kind().unwrap());
        let text = format!("name={name} protocol={protocol} shown={shown} {kind}");
        peer.send(reply(200, &[], text));
    }
}

/// An authority, and its file.
fn authority(files: &Files) -> (Authority, String) {
    let authority = Authority::new("internal");
    let ca = files.put("ca.pem", authority.pem());
    (authority, format!("ca = {}", quoted(&ca)))
}

/// A cluster of this endpoint, with these keys of `tls`.
fn behind(endpoint: &str, tls: &str) -> String {
    one_cluster(&[], "", &format!("tls = {{ {tls} }}"))
        .replace("endpoints = []", &format!("endpoints = ['{endpoint}']"))
}

fn error(proxy: &Proxy, lines: usize) -> String {
    let lines = proxy.access(lines);
    let error = lines.last().and_then(|line| line["error"].as_str());
    error.unwrap_or_default().to_owned()
}

fn errors(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counter("linkspan_errors", &[("reason", reason)])
}

#[test]
fn an_endpoint_that_proves_its_name_is_spoken_to_and_asked_for_it() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["localhost"]).server());
    let port = origin.address().port();
    for endpoint in [format!("localhost:{port}"), format!("https://Localhost:{port}")] {
        let proxy = Proxy::start(&behind(&endpoint, &ca));
        let mut client = proxy.connect();
        let answer = client.ask("GET", "/a", &[("host", "a.test")], b"");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, "name=localhost protocol=http/1.1 shown=0 Full")
        );
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.target(), request.value("host")), ("/a", Some("a.test")));
        assert_eq!(request.value("x-forwarded-proto"), Some("http"), "the client's");
        assert_eq!(proxy.access(1)[0]["error"], Value::Null);
    }
}

#[test]
fn connections_are_used_again_and_sessions_taken_up() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["127.0.0.1"]).server());
    let proxy = Proxy::start(&behind(&origin.address().to_string(), &ca));
    let mut client = proxy.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "name=none protocol=http/1.1 shown=0 Full");
    }
    assert_eq!(origin.connections(), 1);
    origin.cut_connections();
    eventually("its end", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(client.get("/").text(), "name=none protocol=http/1.1 shown=0 Resumed");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn what_a_certificate_must_be_for_can_be_said() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["a.test"]).server());
    let endpoint = origin.address().to_string();
    let proxy = Proxy::start(&behind(&endpoint, &format!("{ca}, server-name = 'A.Test.'")));
    assert!(proxy.get("/").text().starts_with("name=a.test "));
    let proxy = Proxy::start(&behind(&endpoint, &format!("{ca}, server-name = 'b.test'")));
    assert_eq!(proxy.get("/").status(), 502);
    assert_eq!(
        error(&proxy, 1),
        format!("{endpoint}: its certificate is not for b.test, but for a.test")
    );
}

#[test]
fn who_proves_nothing_gets_no_request() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let old = |params: &mut rcgen::CertificateParams| params.not_after = date_time_ymd(2001, 2, 3);
    let early =
        |params: &mut rcgen::CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    for (identity, said) in [
        (
            authority.vouch(&["10.0.0.1", "a.test"]),
            "is not for 127.0.0.1, but for 10.0.0.1, a.test",
        ),
        (authority.vouch_with(&["127.0.0.1"], old), "has expired (Feb  3 00:00:00 2001 +00:00)"),
        (
            authority.vouch_with(&["127.0.0.1"], early),
            "is not valid yet (from Jan  1 00:00:00 4000 +00:00)",
        ),
        (
            Authority::new("another").vouch(&["127.0.0.1"]),
            "is not vouched for by any authority that is trusted",
        ),
        (Identity::alone(&["127.0.0.1"]), "is not vouched for by any authority that is trusted"),
    ] {
        let origin = telling(&identity.server());
        let endpoint = origin.address().to_string();
        let proxy = Proxy::start(&behind(&endpoint, &ca));
        assert_eq!(proxy.get("/").status(), 502, "{said}");
        assert_eq!(error(&proxy, 1), format!("{endpoint}: its certificate {said}"));
        assert_eq!((origin.hits(), errors(&proxy, "tls")), (0, 1));
    }
}

#[test]
fn without_verification_anybody_is_believed() {
    let origin = telling(&Identity::alone(&["b.test"]).server());
    let proxy = Proxy::start(&behind(&origin.address().to_string(), "verify = false"));
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn who_does_not_speak_tls_gets_no_request() {
    let files = Files::new();
    let (_, ca) = authority(&files);
    let greeting = Origin::scripted(|peer| peer.send("220 mail ready\r\n"));
    let closing = Origin::scripted(|peer| {
        peer.some();
    });
    for (origin, said) in [
        (&greeting, "it does not speak TLS"),
        (&closing, "it closed the connection within the TLS handshake"),
    ] {
        let endpoint = origin.address().to_string();
        let proxy = Proxy::start(&behind(&endpoint, &ca));
        assert_eq!(proxy.get("/").status(), 502, "{said}");
        let error = error(&proxy, 1);
        assert!(error.starts_with(&format!("{endpoint}: {said}")), "{error}");
    }
    // A server of HTTP waits for the end of a head, which never comes.
    let origin = Origin::replying("plain");
    let config = behind(&origin.address().to_string(), &ca) + "connect-timeout = '100ms'\n";
    let proxy = Proxy::start(&config);
    assert_eq!((proxy.get("/").status(), origin.hits()), (503, 0));
    assert!(error(&proxy, 1).contains("connecting took longer than connect-timeout = 100ms"));
}

#[test]
fn endpoints_are_shown_a_certificate_if_they_ask() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let clients = Authority::new("clients");
    let origin = telling(&authority.vouch(&["127.0.0.1"]).server_for(&clients));
    let endpoint = origin.address().to_string();
    let own = files.pair("own", &clients.vouch(&["linkspan"]));
    let proxy = Proxy::start(&behind(&endpoint, &format!("{ca}, {own}")));
    assert!(proxy.get("/").text().contains(" shown=1 "));
    let own = files.pair("other", &authority.vouch(&["linkspan"]));
    for (tls, alert) in [(ca.clone(), "CertificateRequired"), (format!("{ca}, {own}"), "UnknownCA")]
    {
        let proxy = Proxy::start(&behind(&endpoint, &tls));
        assert_eq!(proxy.get("/").status(), 502, "{alert}");
        assert!(error(&proxy, 1).contains(alert), "{}", error(&proxy, 1));
    }
    assert_eq!(origin.hits(), 1);
}

#[test]
fn the_next_endpoint_is_tried_and_who_fails_is_left_alone() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let bad = telling(&authority.vouch(&["10.0.0.1"]).server());
    let good = telling(&authority.vouch(&["127.0.0.1"]).server());
    let endpoints = [bad.address(), good.address()];
    let cluster = format!("tls = {{ {ca} }}\nbalancer = 'first-alive'\nhealth.attempts = 1");
    let proxy = Proxy::start(&one_cluster(&endpoints, "", &cluster));
    let mut client = proxy.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("POST", "/", &[], b"x").status(), 200);
    }
    let lines = proxy.access(3);
    let attempts: Vec<_> = lines.iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [2, 1, 1], "it is offline after the first");
    assert_eq!((bad.connections(), bad.hits(), good.hits()), (1, 0, 3));
}

#[test]
fn each_endpoint_is_spoken_to_as_its_address_says() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let secure = telling(&authority.vouch(&["127.0.0.1"]).server());
    let plain = Origin::replying("plain");
    let list = |addresses: [&SocketAddr; 2]| {
        format!("endpoints = ['https://{}', 'http://{}']", addresses[0], addresses[1])
    };
    let config = one_cluster(&[], "", &format!("tls = {{ {ca} }}"));
    let both = list([&secure.address(), &plain.address()]);
    let proxy = Proxy::start(&config.replace("endpoints = []", &both));
    let mut client = proxy.connect();
    let mut said = [client.get("/").text(), client.get("/").text()];
    said.sort();
    assert_eq!(said, ["name=none protocol=http/1.1 shown=0 Full", "plain"]);
    // One address is two endpoints then, which share nothing.
    let both = list([&plain.address(), &plain.address()]);
    let proxy = Proxy::start(&config.replace("endpoints = []", &both));
    let mut client = proxy.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/").text(), "plain");
    }
}
