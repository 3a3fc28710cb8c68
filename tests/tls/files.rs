//! The files of certificates: what is wrong with them, and how they are replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::Vault;
use crate::support::tls::{Authority, Identity};
use crate::support::{Binary, Client, Origin, Proxy, eventually, one_cluster};

/// What is said of a listener with these settings.
fn fault(tls: &str) -> String {
    Proxy::try_start(&format!("[listeners.web]\nbind = '127.0.0.1:0'\ntls = {tls}\n"), &[])
        .map(|_| ())
        .unwrap_err()
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let vault = Vault::new();
    let at = |name: &str| vault.path().join(name).display().to_string();
    vault.make("a", &["a.test"]);
    vault.make("b", &["b.test"]);
    vault.authority.vouch_with(&["old.test"], Identity::expired).write(vault.path(), "old");
    let young = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    };
    vault.authority.vouch_with(&["young.test"], young).write(vault.path(), "young");
    fs::write(at("empty.pem"), "").unwrap();
    fs::write(at("binary.pem"), [0x30, 0x82, 0, 1]).unwrap();
    fs::write(at("half.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let nonsense = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    fs::write(at("nonsense.pem"), nonsense).unwrap();
    fs::write(at("large.pem"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    for (file, arguments) in [
        ("encrypted.key", &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"][..]),
        ("old-encrypted.key", &["ec", "-aes256", "-passout", "pass:x"][..]),
    ] {
        let mut openssl = Command::new("openssl");
        let run = openssl.args(arguments).args(["-in", &at("a.key"), "-out", &at(file)]).output();
        let run = run.expect("openssl has to be installed: tools/need.sh openssl");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
    let cases = [
        ("gone.pem", "a.key", "gone.pem cannot be read: No such file or directory"),
        ("a.pem", "gone.key", "gone.key cannot be read: No such file or directory"),
        ("empty.pem", "a.key", "empty.pem has no certificate"),
        ("binary.pem", "a.key", "binary.pem has no certificate"),
        ("half.pem", "a.key", "half.pem is not PEM: "),
        ("nonsense.pem", "a.key", "nonsense.pem has a certificate of no use: "),
        ("large.pem", "a.key", "large.pem cannot be read: it has more than 1 MiB"),
        ("", "a.key", "cannot be read: it is no file"),
        ("a.pem", "a.pem", "a.pem has no private key"),
        ("a.pem", "b.key", "b.key has a key that does not belong to the certificate"),
        ("a.pem", "encrypted.key", "encrypted.key has a key that is encrypted"),
        ("a.pem", "old-encrypted.key", "old-encrypted.key has a key that is encrypted"),
        ("old.pem", "old.key", "old.pem has a certificate that has expired (Jan  1 00:00:00 2001"),
        ("young.pem", "young.key", "young.pem has a certificate that is not valid yet (from Jan"),
    ];
    for (cert, key, expected) in cases {
        let said = fault(&format!("{{ cert = '{}', key = '{}' }}", at(cert), at(key)));
        assert!(said.contains(expected), "{cert}, {key}: {said}");
        let own = if expected.contains(".key") {
            "listeners.web.tls.key"
        } else {
            "listeners.web.tls.cert"
        };
        assert!(said.contains(own) || cert == key, "{own}: {said}");
    }
}

#[test]
fn what_is_missing_beside_other_settings_is_said() {
    let vault = Vault::new();
    vault.make("a", &["a.test"]);
    fs::write(vault.path().join("text"), "no DER").unwrap();
    let text = vault.path().join("text").display().to_string();
    let files = vault.files("a");
    let (cert, key) = files.split_once(", ").unwrap();
    for (tls, expected) in [
        ("{ }".to_owned(), "`cert` is missing"),
        (format!("{{ {cert} }}"), "`key` is missing"),
        (format!("{{ {key} }}"), "`cert` is missing"),
        (format!("{{ {files}, client-cert = 'optional' }}"), "there is no `client-ca`"),
        (format!("{{ {files}, client-ca = '{text}' }}"), "text has no certificate"),
        (format!("{{ {files}, ocsp = '{text}' }}"), "text has no OCSP response in DER"),
        (format!("{{ certificates = [{{ {cert} }}] }}"), "`key` is missing"),
        ("{ certificates = [{ }] }".to_owned(), "`cert` is missing"),
        (format!("{{ {files}, min-version = '1.1' }}"), "`1.1` is not known here"),
        ("true".to_owned(), "expected a table"),
        ("{ certificates = [] }".to_owned(), "`cert` is missing"),
    ] {
        let said = fault(&tls);
        assert!(said.contains(expected), "{tls}: {said}");
    }
}

/// The program with a listener that speaks TLS, and its certificate's files.
struct Setting {
    vault: Vault,
    program: Binary,
    _origin: Origin,
}

impl Setting {
    fn new() -> Self {
        let (vault, origin) = (Vault::new(), Origin::replying("ok"));
        vault.make("a", &["one.test", "a.test"]);
        let listener = format!("tls = {{ {} }}", vault.files("a"));
        let toml = one_cluster(&[origin.address()], &listener, "");
        let mut program = Binary::serve(&toml);
        program.address("web");
        Self { vault, program, _origin: origin }
    }

    fn connect(&mut self, name: &str) -> std::io::Result<Client> {
        let address = self.program.address("web");
        Client::secure(address, &self.vault.client(), name)
    }

    fn eventually_serves(&mut self, name: &str) {
        eventually("the other certificate", || self.connect(name).ok());
    }
}

#[test]
fn a_certificate_that_is_replaced_is_served_and_open_connections_stay() {
    let mut setting = Setting::new();
    let mut open = setting.connect("one.test").unwrap();
    assert_eq!(open.get("/").status(), 200);
    setting.vault.make("a", &["two.test", "a.test"]);
    setting.eventually_serves("two.test");
    assert!(setting.connect("one.test").is_err());
    assert_eq!(open.get("/").status(), 200);
    // As certbot does it: by links.
    setting.vault.make("b", &["three.test"]);
    for end in ["pem", "key"] {
        let (from, to) = (format!("b.{end}"), setting.vault.path().join(format!("a.{end}")));
        symlink(from, setting.vault.path().join("link")).unwrap();
        fs::rename(setting.vault.path().join("link"), to).unwrap();
    }
    setting.eventually_serves("three.test");
    assert_eq!(open.get("/").status(), 200);
}

#[test]
fn a_replacement_that_is_of_no_use_leaves_what_was() {
    let mut setting = Setting::new();
    let path = setting.vault.path().join("a.pem");
    let other = Authority::new("other").vouch(&["other.test"]);
    fs::write(&path, &other.pem).unwrap();
    setting.program.wait_for_stderr("has a key that does not belong to the certificate");
    assert_eq!(setting.connect("one.test").unwrap().get("/").status(), 200);
    fs::remove_file(&path).unwrap();
    setting.program.wait_for_stderr("a.pem cannot be read: No such file or directory");
    assert_eq!(setting.connect("one.test").unwrap().get("/").status(), 200);
    setting.vault.make("a", &["two.test"]);
    setting.eventually_serves("two.test");
}
