//! Files that are of no use are refused with the configuration, each at its key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::date_time_ymd;

use super::{Files, authority, behind, quoted};
use crate::support::{Binary, Proxy};

/// What is said of a configuration.
#[track_caller]
fn refused(tls: &str) -> String {
    match Proxy::try_start(&behind("127.0.0.1:1", tls), &[]) {
        Ok(_) => panic!("it is taken: {tls}"),
        Err(text) => text,
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_at_its_key() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let good = authority.vouch(&["linkspan"]);
    let other = authority.vouch(&["other"]);
    let old = authority.vouch_with(&["linkspan"], |it| it.not_after = date_time_ymd(2001, 2, 3));
    fs::create_dir(files.path("folder")).unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let [certificate, key] =
        [files.put("good.pem", &good.pem), files.put("good.key", good.key.serialize_pem())];
    let [certificate, key] = [quoted(&certificate), quoted(&key)];
    let put = |name: &str, text: &str| quoted(&files.put(name, text));
    let (missing, folder) = (quoted(&files.path("missing")), quoted(&files.path("folder")));
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for (tls, at, file, reason) in [
        (format!("ca = {missing}"), "ca", "missing", "cannot be read: No such file"),
        (format!("ca = {folder}"), "ca", "folder", "cannot be read: it is no file"),
        (format!("ca = {}", put("empty", "")), "ca", "empty", "has no certificate"),
        (format!("ca = {}", put("text", "hello")), "ca", "text", "has no certificate"),
        (format!("ca = {}", put("broken", broken)), "ca", "broken", "has a certificate of no use"),
        (format!("cert = {missing}, key = {key}"), "cert", "missing", "cannot be read"),
        (format!("cert = {certificate}, key = {missing}"), "key", "missing", "cannot be read"),
        (format!("cert = {certificate}, key = {folder}"), "key", "folder", "it is no file"),
        (format!("cert = {key}, key = {key}"), "cert", "good.key", "has no certificate"),
        (
            format!("cert = {certificate}, key = {certificate}"),
            "key",
            "good.pem",
            "has no private key",
        ),
        (
            format!("cert = {certificate}, key = {}", put("other.key", &other.key.serialize_pem())),
            "key",
            "other.key",
            "does not belong to the certificate",
        ),
        (
            format!("cert = {certificate}, key = {}", put("locked.key", encrypted)),
            "key",
            "locked.key",
            "has a key that is encrypted",
        ),
        (
            format!(
                "cert = {}, key = {}",
                put("old.pem", &old.pem),
                put("old.key", &old.key.serialize_pem())
            ),
            "cert",
            "old.pem",
            "has a certificate that has expired (Feb  3 00:00:00 2001 +00:00)",
        ),
    ] {
        let text = refused(&format!("{tls}, verify = false"));
        let place = format!("clusters.main.tls.{at}: {}", files.path(file).display());
        assert!(text.contains(&place) && text.contains(reason), "{tls}: {text}");
        assert_eq!(text.matches("error: ").count(), 1, "{text}");
    }
    for (half, missing) in [("cert", "key"), ("key", "cert")] {
        let text = refused(&format!("{ca}, {half} = {certificate}"));
        assert!(text.contains(&format!("clusters.main.tls: `{missing}` is missing")), "{text}");
    }
}

#[test]
fn a_file_that_nobody_may_read_is_refused() {
    let files = Files::new();
    let (_, ca) = authority(&files);
    fs::set_permissions(files.path("ca.pem"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut linkspan = Binary::unprivileged(&behind("127.0.0.1:1", &ca));
    assert_eq!(linkspan.wait().code(), Some(1));
    let log = linkspan.stderr();
    assert!(log.contains("ca.pem cannot be read: Permission denied"), "{log}");
}
