//! What is wrong with a configuration that wants certificates.

use std::fs;

use tempfile::TempDir;

use crate::support::{Proxy, one_cluster};

/// What is said of these settings.
#[track_caller]
fn fault(acme: &str, names: &str) -> String {
    let listener = format!("tls = {{ acme = {names} }}");
    let toml = one_cluster(&["127.0.0.1:1".parse().unwrap()], &listener, "");
    match Proxy::try_start(&format!("{acme}\n{toml}"), &[]) {
        Ok(_) => panic!("{acme} {names} is taken"),
        Err(text) => text,
    }
}

#[test]
fn bad_settings_are_refused_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let own = format!("dir = '{}'", directory.path().display());
    fs::write(directory.path().join("file"), "").unwrap();
    let file = directory.path().join("file").display().to_string();
    for (acme, expected) in [
        ("".to_owned(), "nobody issues certificates whose terms are not agreed to"),
        ("terms-agreed = false".to_owned(), "no authority issues without its terms"),
        ("directory = '/nowhere'".to_owned(), "it has no host"),
        ("directory = 'http://acme.example/dir'".to_owned(), "asked by https alone"),
        ("directory = 'acme.example'".to_owned(), "asked by https alone"),
        ("directory = 'ftp://127.0.0.1/dir'".to_owned(), "asked by https alone"),
        ("directory = 'https://me:pass@acme.example/'".to_owned(), "a user or a password"),
        ("contact = ['me@a.test']".to_owned(), "it does not begin with `mailto:`"),
        ("contact = ['mailto:me']".to_owned(), "it is not an address of mail"),
        ("contact = ['mailto:a@b.test,c@d.test']".to_owned(), "it is not one address"),
        ("challenges = ['dns-01']".to_owned(), "`dns-01` is not known here"),
        ("challenges = []".to_owned(), "the list is empty"),
        ("challenges = ['http-01']".to_owned(), "no listener speaks HTTP in the clear"),
        (format!("ca = '{file}'"), "file has no certificate"),
        (format!("dir = '{file}/acme'"), "nothing can be kept in"),
    ] {
        let terms =
            if acme.is_empty() || acme.contains("terms") { "" } else { "terms-agreed = true" };
        let own = if acme.starts_with("dir =") { "" } else { &own };
        let said = fault(&format!("[acme]\n{terms}\n{own}\n{acme}"), "['a.test']");
        assert!(said.contains(expected), "{acme}: {said}");
    }
}

#[test]
fn names_that_nothing_can_be_issued_for_are_refused() {
    let directory = TempDir::new().unwrap();
    let acme = format!("[acme]\nterms-agreed = true\ndir = '{}'", directory.path().display());
    for (names, expected) in [
        ("['*.a.test']", "only dns-01 proves wildcards"),
        ("['127.0.0.1']", "it is an address, not a name"),
        ("['ä.test']", "names of other scripts are written as `xn--…`"),
        ("['a..test']", "no host can have this name"),
        ("['a.test/x']", "no host can have this name"),
        ("[]", "`cert` is missing"),
        ("'a.test'", "expected a list"),
    ] {
        let said = fault(&acme, names);
        assert!(said.contains(expected), "{names}: {said}");
    }
    let said = fault("", "['a.test']");
    assert!(said.contains("nobody issues certificates whose terms"), "{said}");
}
