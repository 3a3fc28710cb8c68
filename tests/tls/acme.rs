//! Certificates that are obtained by ACME, from an authority that checks every step.

mod faults;
mod others;
mod stored;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::pebble::{HTTP, Pebble, TLS};
use crate::support::{Binary, Client, Origin, Signal, eventually};

/// The program in front of an origin, at the address where an authority looks for proofs.
struct Setting {
    pebble: Pebble,
    origin: Origin,
    acme: String,
}

impl Setting {
    fn new(pebble: Pebble, acme: &str) -> Self {
        let (origin, acme) = (Origin::replying("ok"), pebble.section(acme));
        Self { pebble, origin, acme }
    }

    /// A configuration with names for which certificates are obtained.
    fn toml(&self, names: &[&str]) -> String {
        let (address, acme) = (self.pebble.address(), &self.acme);
        let origin = self.origin.address();
        format!(
            "[server]\nworkers = 1\ntakeover = 'takeover.sock'\n\
             [admin]\nbind = '127.0.0.1:0'\n{acme}\
             [listeners.clear]\nbind = '{address}:{HTTP}'\ndefault-cluster = 'main'\n\
             [listeners.web]\nbind = '{address}:{TLS}'\ndefault-cluster = 'main'\n\
             tls = {{ acme = {names:?} }}\n\
             [clusters.main]\nendpoints = ['{origin}']\n"
        )
    }

    /// Serves names that lead here.
    fn serve(&self, names: &[&str]) -> Binary {
        names.iter().for_each(|name| self.pebble.name(name, self.pebble.address()));
        let mut program = Binary::serve(&self.toml(names));
        program.address("web");
        program
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.pebble.address(), port).into()
    }

    fn connect(&self, client: &Arc<ClientConfig>, name: &str) -> std::io::Result<Client> {
        Client::secure(self.at(TLS), client, name)
    }

    /// Waits until a name is served with a certificate of the authority.
    #[track_caller]
    fn eventually_serves(&self, program: &Binary, name: &str) -> Client {
        let client = self.pebble.client();
        eventually("a certificate", || {
            let error = match self.connect(&client, name) {
                Ok(client) => return Some(client),
                Err(error) => error,
            };
            assert!(!program.stderr().contains("panicked"), "{error}: {}", program.stderr());
            None
        })
    }
}

/// What the administrator is told of all that is counted.
fn metrics(program: &mut Binary) -> String {
    let admin = program.admin();
    let host = [("host", "localhost")];
    Client::connect(admin).ask("GET", "/metrics", &host, b"").text()
}

#[test]
fn a_certificate_is_obtained_by_http_01_and_used_after_a_restart() {
    let setting =
        Setting::new(Pebble::start(), "challenges = ['http-01']\ncontact = ['mailto:me@a.test']");
    let mut program = setting.serve(&["a.test"]);
    assert_eq!(setting.eventually_serves(&program, "A.test").get("/").text(), "ok");
    program.wait_for_stderr("certificate obtained");
    let kept = setting.pebble.kept();
    let mode =
        |name: &str| kept.join(name).symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(["a.test.pem", "account.json", "lock", ""].map(mode), [0o600, 0o600, 0o600, 0o700]);
    let text = metrics(&mut program);
    for sample in [
        "linkspan_acme_certificate_expiry_timestamp_seconds{name=\"a.test\"} ",
        "linkspan_acme_orders_total{name=\"a.test\",outcome=\"obtained\"} 1\n",
        "linkspan_acme_orders_total{name=\"a.test\",outcome=\"failed\"} 0\n",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    // Nothing is in progress any more: the origin may have a path of that kind of its own.
    let hits = setting.origin.hits();
    let answer = Client::connect(setting.at(HTTP)).get("/.well-known/acme-challenge/x");
    assert_eq!((answer.text().as_str(), setting.origin.hits()), ("ok", hits + 1));

    program.killed_and_back(|_| {});
    program.address("web");
    let client = setting.pebble.client();
    assert_eq!(setting.connect(&client, "a.test").unwrap().get("/").text(), "ok");
    assert_eq!(setting.pebble.orders(), 1, "{}", setting.pebble.log());
    let key = fs::read_to_string(kept.join("a.test.pem")).unwrap();
    let key: Vec<_> = key.lines().skip(1).take(2).collect();
    assert!(key.iter().all(|line| !program.stderr().contains(line)));
}

#[test]
fn a_certificate_is_obtained_by_tls_alpn_01() {
    let setting = Setting::new(Pebble::start(), "challenges = ['tls-alpn-01']");
    let program = setting.serve(&["a.test", "b.test"]);
    for name in ["a.test", "b.test"] {
        assert_eq!(setting.eventually_serves(&program, name).get("/").text(), "ok");
    }
    assert_eq!(setting.pebble.orders(), 2);
    // Who asks for a proof that nobody expects gets none.
    let mut client = ClientConfig::clone(&setting.pebble.client());
    client.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let error = setting.connect(&Arc::new(client), "a.test").unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn names_that_come_with_a_reload_get_certificates_and_those_that_stay_keep_theirs() {
    let setting = Setting::new(Pebble::start(), "");
    let program = setting.serve(&["a.test"]);
    let mut open = setting.eventually_serves(&program, "a.test");
    // It is served before it is kept.
    program.wait_for_stderr("certificate obtained");
    setting.pebble.name("b.test", setting.pebble.address());
    fs::write(program.file(), setting.toml(&["a.test", "b.test"])).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(setting.eventually_serves(&program, "b.test").get("/").text(), "ok");
    assert_eq!(open.get("/").text(), "ok");
    assert_eq!(setting.pebble.orders(), 2);
    // One that goes is of no more interest, and is still kept.
    fs::write(program.file(), setting.toml(&["b.test"])).unwrap();
    program.signal(Signal::HUP);
    let client = setting.pebble.client();
    eventually("the name to go", || setting.connect(&client, "a.test").err());
    assert!(setting.pebble.kept().join("a.test.pem").exists());
    fs::write(program.file(), setting.toml(&["b.test", "a.test"])).unwrap();
    program.signal(Signal::HUP);
    setting.eventually_serves(&program, "a.test");
    assert_eq!(setting.pebble.orders(), 2);
}

#[test]
fn a_name_that_is_not_believed_to_be_ours_is_tried_again() {
    let setting = Setting::new(Pebble::start(), "challenges = ['http-01']");
    // Nobody listens there.
    setting.pebble.name("a.test", Ipv4Addr::new(127, 0, 0, 2));
    let mut program = Binary::serve(&setting.toml(&["a.test"]));
    program.address("web");
    program.wait_for_stderr("does not believe that the name is ours (http-01)");
    program.wait_for_stderr("urn:ietf:params:acme:error:connection");
    program.wait_for_stderr("tried again in");
    let client = setting.pebble.client();
    assert!(setting.connect(&client, "a.test").is_err());
    program.wait_for_stderr("no certificate has been issued yet for a.test");
    assert_eq!(Client::connect(setting.at(HTTP)).get("/").text(), "ok");
    setting.pebble.name("a.test", setting.pebble.address());
    setting.eventually_serves(&program, "a.test");
    let text = metrics(&mut program);
    assert!(!text.contains("{name=\"a.test\",outcome=\"failed\"} 0\n"), "{text}");
}

#[test]
fn the_other_way_of_proving_is_tried_after_a_failure() {
    let setting = Setting::new(Pebble::start(), "");
    setting.pebble.name("a.test", setting.pebble.address());
    // Nobody speaks TLS where the authority looks.
    let toml = setting.toml(&["a.test"]).replace(&format!(":{TLS}'"), ":0'");
    let mut program = Binary::serve(&toml);
    let address = program.address("web");
    program.wait_for_stderr("(tls-alpn-01)");
    let client = setting.pebble.client();
    eventually("a certificate", || Client::secure(address, &client, "a.test").ok());
}

#[test]
fn a_process_that_takes_over_serves_what_is_kept() {
    let setting = Setting::new(Pebble::start(), "");
    let mut before = setting.serve(&["a.test"]);
    setting.eventually_serves(&before, "a.test");
    before.wait_for_stderr("certificate obtained");
    let mut after = before.beside(&["run", "--takeover"]);
    after.address("web");
    assert_eq!(before.wait().code(), Some(0), "{}", before.stderr());
    let client = setting.pebble.client();
    assert_eq!(setting.connect(&client, "a.test").unwrap().get("/").text(), "ok");
    assert_eq!(setting.pebble.orders(), 1);
}
