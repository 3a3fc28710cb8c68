//! What is shown of a configuration, and what is not.

use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::config::Config;
use crate::config::check;
use crate::config::file::{Document, Recording, Text, key};

/// A configuration, and the text that shows it.
fn shown(text: &str) -> (Config, String) {
    let (read, faults) =
        check::read_with(text, Path::new("/etc/l.toml"), &|_| None, Recording::Values);
    assert!(faults.is_empty(), "{text}\n{faults}");
    let (config, record) = read.unwrap();
    (config, Effective::new(record).to_string())
}

/// Reads a text, what it shows, and what that shows: all of it means the same.
fn reread(text: &str) -> String {
    let (config, first) = shown(text);
    let (again, second) = shown(&first);
    assert_eq!(format!("{again:#?}"), format!("{config:#?}"), "{first}");
    assert_eq!(second, first);
    first
}

#[test]
fn what_is_shown_means_the_same() {
    let text = r#"
[log]
file = "log/own.log"
access = "off"
[defaults.listener]
routers = ["first"]
[defaults.cluster]
balancer = ["Lockless Round Robin", "LockingRoundRobin", "mine"]
health.offline = "90s"
[listeners.web]
bind = "[::1]:0"
max-head-bytes = 0x4000
max-body-bytes = "1GB"
default-cluster = "a b"
[clusters."a b"]
endpoints = [
  "HTTP://Files.Internal/", "unix:/run/a ${b:-c}.sock", "[::1]",
  { address = "b", max-connections = 3 },
  { address = "a", weight = 0.29, "a key" = 1, date = 1979-05-27, text = "$${x} \"'\\\n" },
]
forwarded-headers = ["x-host"]
[plugins.first]
component = "locking-round-robin"
limits = { deadline = "1s500ms" }
grants = { stores = ["s"], addresses = ["10.0.0.0/8:*", "[fd00::/8]:443", "[::1]:1", "1.2.3.4:5", "A.b:*"] }
[plugins.first.config]
"a.b" = [[], {}, [{ c = '/new/${1}' }]]
number = 1e300
float = 1.0
date = 1979-05-27T07:32:00Z
"" = true
[stores.s]
entries = { "http://a/" = "\u007f\u0001é" }
"#;
    let shown = reread(text);
    for line in [
        r#"balancer = ["round-robin", "locking-round-robin", "mine"]"#,
        r#"max-body-bytes = "1000000000B""#,
        r#"offline = "1m30s""#,
        "# max-attempts is not set: as many as there are endpoints",
        "[plugins.locking-round-robin]",
        r#"file = "/etc/log/own.log""#,
    ] {
        assert!(shown.contains(&format!("{line}\n")), "{line}\n{shown}");
    }
}

#[test]
fn a_large_file_is_shown() {
    let mut text = "[listeners.web]\nbind = ':0'\n".to_owned();
    for number in 0..300 {
        let endpoints: Vec<_> = (0..40).map(|host| format!("'h{host}.c{number}:80'")).collect();
        let endpoints = endpoints.join(",");
        writeln!(text, "[clusters.c{number}]\nendpoints = [{endpoints}]").unwrap();
        writeln!(text, "[plugins.p{number}]\nconfig.rules = [{{ n = {number} }}]").unwrap();
    }
    let shown = reread(&text);
    assert_eq!(shown.matches("[clusters.").count(), 600, "each, and its health");
}

#[test]
fn secrets_are_masked_by_their_names() {
    let text = r#"
[listeners.web]
bind = ":0"
[clusters.c]
endpoints = [{ address = "a", apiKey = "hidden1", key = "seen1" }]
[plugins.p.config]
admin_token = "hidden2"
login = { Password = "hidden3", user = "seen2", pins = { secret = [1234, { deep = "hidden4" }] } }
strict-cookies = true
fields = [{ name = "Authorization", value = "hidden8" }, { name = "Accept", value = "seen3" }]
lines = ["Authorization", "bearer hidden9", "basic seen4 of three words"]
db_pwd = "hidden10"
[stores.s.entries]
X-Auth-Token = "hidden5"
url = "http://hidden6:hidden7@a/"
"#;
    let (_, first) = shown(text);
    assert!(!first.contains("hidden") && !first.contains("1234"), "{first}");
    assert!((1..=4).all(|seen| first.contains(&format!("seen{seen}"))), "{first}");
    assert!(first.contains("strict-cookies = true"), "{first}");
    assert_eq!(shown(&first).1, first);
}

#[test]
fn keys_are_masked_that_are_declared_secret() {
    let read = Document::read("pin = 'hidden'", &|_| None, Recording::Values, |table| {
        table.optional(key("pin", "What nobody may know", Text).secret(), "none")
    });
    let (pin, record) = read.0.unwrap();
    assert_eq!(pin.as_deref(), Some("hidden"));
    assert_eq!(Effective::new(record).to_string(), "pin = \"***\"\n");
}

#[test]
fn users_are_masked_in_urls() {
    for (text, shown) in [
        ("http://a.example/", None),
        ("http://user:pass@a.example/x@y", Some("http://***@a.example/x@y")),
        ("http://***@a.example/", None),
        ("see http://t@a and https://b:c@d/", Some("see http://***@a and https://***@d/")),
        ("a@b", None),
        ("db://u:p#w/@a:1/x", Some("db://***@a:1/x")),
        ("http://a:80/x@y and http://[::1]:80/x@y", None),
        (r"^(\w+)://([^@]+)@", None),
    ] {
        let masked = mask_user(text).filter(|masked| masked != text);
        assert_eq!(masked.as_deref(), shown, "{text}");
    }
}
