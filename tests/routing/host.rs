//! The router `host`: virtual hosts.

use super::config;
use crate::support::{Client, Origin, Proxy, request};

const NAMES: [&str; 4] = ["exact", "wild", "six", "rest"];

fn ask(client: &mut Client, host: &str) -> String {
    client.ask("GET", "/", &[("host", host)], b"").text()
}

/// A proxy whose router has these further keys.
fn proxy(origins: &[Origin; 4], keys: &str) -> Proxy {
    let clusters: Vec<_> = NAMES.into_iter().zip(origins).collect();
    Proxy::start(&config(
        "routers = ['by-host']",
        &clusters,
        &format!(
            "[plugins.by-host]\ncomponent = 'host'\n[plugins.by-host.config]\n{keys}\n\
             hosts = {{ 'A.example' = 'exact', '*.b.example' = 'wild', '[::1]' = 'six' }}\n"
        ),
    ))
}

#[test]
fn the_host_decides() {
    let origins = NAMES.map(Origin::replying);
    let proxy = proxy(&origins, "default = 'rest'");
    let mut client = proxy.connect();
    for (host, expected) in [
        ("a.example", "exact"),
        ("A.EXAMPLE.:8080", "exact"),
        ("x.b.example", "wild"),
        ("y.x.B.example:80", "wild"),
        ("b.example", "rest"),
        ("[0:0::1]:8080", "six"),
        ("other.test", "rest"),
        (&"long.".repeat(100), "rest"),
    ] {
        assert_eq!(ask(&mut client, host), expected, "{host}");
    }
    let seen = origins[0].requests()[1].value("host").map(str::to_owned);
    assert_eq!(seen.as_deref(), Some("A.EXAMPLE.:8080"), "the upstream sees what the client sent");
    client.send(b"GET http://a.example/ HTTP/1.1\r\nhost: other.test\r\n\r\n");
    assert_eq!(client.response().text(), "exact", "a target goes before Host");
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "rest");
    assert_eq!(proxy.access(1)[0]["route"], "by-host");
}

#[test]
fn without_a_default_the_next_is_asked() {
    let origins = NAMES.map(Origin::replying);
    let proxy = proxy(&origins, "");
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[("host", "other.test")], b""));
    assert_eq!(client.response().status(), 404);
    assert_eq!(ask(&mut client, "a.example"), "exact", "the connection goes on");
}

#[test]
fn faults_stand_where_they_are() {
    let origin = Origin::replying("");
    let refused = Proxy::try_start(
        &config(
            "routers = ['by-host']",
            &[("main", &origin)],
            "[plugins.by-host]\ncomponent = 'host'\n[plugins.by-host.config]\n\
             hosts = { 'a.example' = 'mian', 'A.example' = 'main', 'bücher.example' = 'main' }\n",
        ),
        &[],
    );
    let said = refused.err().unwrap();
    for part in ["there is no cluster `mian`", "the same host as `A.example`", "xn--bcher-kva"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
