//! Certificates that have been kept by an earlier process.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::sync::Arc;
use std::time::SystemTime;

use super::Setting;
use crate::support::pebble::Pebble;
use crate::support::tls::{Authority, Identity, client_of};

/// Keeps a text for a name, as an earlier process would have.
fn keep(pebble: &Pebble, name: &str, text: &str) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(pebble.kept()).unwrap();
    fs::write(pebble.kept().join(format!("{name}.pem")), text).unwrap();
}

fn text(identity: &Identity) -> String {
    format!("{}{}", identity.key.serialize_pem(), identity.pem)
}

/// Valid for ninety days, of which one is left.
fn old(params: &mut rcgen::CertificateParams) {
    let now = SystemTime::now();
    params.not_before = (now - 89 * DAY).into();
    params.not_after = (now + DAY).into();
}

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

#[test]
fn a_certificate_is_renewed_in_time_and_open_connections_stay() {
    let authority = Authority::new("former");
    let pebble = Pebble::new();
    keep(&pebble, "a.test", &text(&authority.vouch_with(&["a.test"], old)));
    let mut setting = Setting::new(pebble, "");
    let program = setting.serve(&["a.test"]);
    let client = Arc::new(client_of(&authority));
    let mut open = setting.connect(&client, "a.test").unwrap();
    program.wait_for_stderr("no certificate obtained");
    setting.pebble.run();
    setting.eventually_serves(&program, "a.test");
    program.wait_for_stderr("certificate renewed");
    assert!(setting.connect(&client, "a.test").is_err());
    assert_eq!(open.get("/").text(), "ok");
    assert_eq!(setting.pebble.orders(), 1);
}

#[test]
fn what_is_of_no_use_is_told_of_and_obtained_anew() {
    let authority = Authority::new("former");
    let setting = Setting::new(Pebble::start(), "");
    let of = |names: &[&str]| text(&authority.vouch(names));
    let unmatched = of(&["d.test"]).replace(&authority.vouch(&["d.test"]).key.serialize_pem(), "");
    let cases = [
        ("a.test", "garbage".to_owned(), "a.test.pem has no certificate"),
        ("b.test", of(&["other.test"]), "b.test.pem has a certificate for other names"),
        (
            "c.test",
            text(&authority.vouch_with(&["c.test"], Identity::expired)),
            "c.test.pem has a certificate that has expired",
        ),
        ("d.test", unmatched.replace("PRIVATE KEY", "OTHER"), "d.test.pem has no private key"),
    ];
    for (name, text, _) in &cases {
        keep(&setting.pebble, name, text);
    }
    let elsewhere = setting.pebble.path().join("elsewhere.pem");
    fs::write(&elsewhere, of(&["e.test"])).unwrap();
    symlink(&elsewhere, setting.pebble.kept().join("e.test.pem")).unwrap();
    let names = ["a.test", "b.test", "c.test", "d.test", "e.test"];
    let program = setting.serve(&names);
    for (_, _, said) in &cases {
        program.wait_for_stderr(said);
    }
    program.wait_for_stderr("e.test.pem cannot be read");
    for name in names {
        setting.eventually_serves(&program, name);
    }
    // What the link leads to is nobody's business.
    assert_eq!(fs::read_to_string(&elsewhere).unwrap().matches("BEGIN").count(), 2);
}

#[test]
fn an_account_is_used_again_and_one_of_no_use_is_replaced() {
    let setting = Setting::new(Pebble::start(), "");
    let mut program = setting.serve(&["a.test"]);
    program.wait_for_stderr("certificate obtained");
    let account = setting.pebble.kept().join("account.json");
    let first = fs::read(&account).unwrap();
    let again = |program: &mut crate::support::Binary, meanwhile: &dyn Fn()| {
        program.killed_and_back(|_| {
            fs::remove_file(setting.pebble.kept().join("a.test.pem")).unwrap();
            meanwhile();
        });
        program.wait_for_stderr("certificate obtained");
    };
    again(&mut program, &|| {});
    assert_eq!(fs::read(&account).unwrap(), first);
    again(&mut program, &|| fs::write(&account, "{}").unwrap());
    program.wait_for_stderr("account.json is of no use");
    assert_ne!(fs::read(&account).unwrap(), first);
}
