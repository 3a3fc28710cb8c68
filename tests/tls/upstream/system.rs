//! Whom the system trusts is believed where nothing else is configured, also behind addresses that
//! routers name.

use super::{Files, authority, behind, telling};
use crate::support::tls::Authority;
use crate::support::{Binary, Origin, Signal, eventually};

/// Linkspan, where the system trusts the authorities of this file alone.
fn trusting(files: &Files, toml: &str) -> Binary {
    let ca = files.path("ca.pem");
    let variables = [("SSL_CERT_FILE", ca.to_str().unwrap()), ("SSL_CERT_DIR", "/nonexistent")];
    Binary::with_variables(toml, &variables, &["run"])
}

#[test]
fn the_authorities_of_the_system_vouch_for_endpoints_and_named_addresses() {
    let files = Files::new();
    let (authority, _) = authority(&files);
    let origin = telling(&authority.vouch(&["localhost", "127.0.0.1"]).server());
    let address = origin.address();
    let port = address.port();
    let toml = format!(
        "[log]\nformat = 'text'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['remap']\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['https://localhost:{port}']\n\
         [plugins.remap]\ncomponent = 'memcached-remap'\n\
         grants = {{ stores = ['sites'], addresses = ['127.0.0.1:*'] }}\n\
         [plugins.remap.config]\nstore = 'sites'\non-miss = 'next'\n\
         [stores.sites.entries]\n'http://a.test:80/' = 'https://{address}/'\n\
         'http://b.test:80/' = 'http://{address}/'\n"
    );
    let mut linkspan = trusting(&files, &toml);
    let mut client = linkspan.connect();
    let mut ask = |host: &str| client.ask("GET", "/", &[("host", host)], b"");
    assert!(ask("else.test").text().starts_with("name=localhost "));
    let answer = ask("a.test");
    assert!(answer.text().starts_with("name=none "), "{}", answer.text());
    assert_eq!(origin.requests()[1].value("host"), Some("127.0.0.1"));
    // The same address without TLS is another cluster, with connections of its own.
    assert_ne!(ask("b.test").status(), 200);
    assert!(ask("a.test").text().starts_with("name=none "));
    assert_eq!(origin.hits(), 3);
}

#[test]
fn a_system_without_authorities_is_said_to_have_none() {
    let files = Files::new();
    files.put("ca.pem", "");
    let text = "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
                [clusters.main]\nendpoints = ['https://localhost:1']\n";
    let mut linkspan = trusting(&files, text);
    assert_eq!(linkspan.wait().code(), Some(1));
    let log = linkspan.stderr();
    assert!(log.contains("clusters.main: the system has no authorities"), "{log}");
}

#[test]
fn a_file_that_changes_is_read_again_by_itself() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["127.0.0.1"]).server());
    files.put("ca.pem", Authority::new("another").pem());
    let mut linkspan = Binary::serve(&behind(&origin.address().to_string(), &ca));
    let mut client = linkspan.connect();
    assert_eq!(client.get("/").status(), 502);
    files.put("ca.pem", authority.pem());
    eventually("the other file", || (client.get("/").status() == 200).then_some(()));
}

#[test]
fn that_nobody_is_verified_is_said_at_start_and_with_every_reload() {
    let origin = Origin::replying("a");
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\ntls.verify = false\n",
        origin.address()
    );
    let linkspan = Binary::serve(&toml);
    let said = |times: usize| {
        let lines = || linkspan.stderr().matches("clusters.main.tls.verify: nobody has to").count();
        eventually("a warning", || (lines() == times).then_some(()));
    };
    said(1);
    linkspan.signal(Signal::HUP);
    said(2);
    let mut check = Binary::with(&toml, &[], &["check"]);
    check.wait();
    let told = check.stderr() + &check.stdout();
    assert!(told.contains("clusters.main.tls.verify"), "{told}");
}
