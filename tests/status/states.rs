//! States by hand: set over the administrator's listener, kept over reloads.

use std::net::SocketAddr;

use serde_json::Value;

use super::toml;
use crate::support::{Client, Origin, Proxy};

fn set(admin: SocketAddr, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
    let (host, token) = (admin.to_string(), token.map(|token| format!("Bearer {token}")));
    let mut fields = vec![("host", host.as_str())];
    fields.extend(token.as_deref().map(|token| ("authorization", token)));
    let response = Client::connect(admin).ask("POST", path, &fields, body.as_bytes());
    (response.status(), serde_json::from_slice(&response.body).unwrap())
}

fn by_hand(admin: SocketAddr, path: &str, state: &str) -> Value {
    let (status, told) =
        set(admin, path, Some("open-sesame"), &format!("{{\"state\":\"{state}\"}}"));
    assert_eq!(status, 200, "{told}");
    told
}

fn path(endpoint: SocketAddr) -> String {
    format!("/api/clusters/main/endpoints/{endpoint}")
}

#[test]
fn an_endpoint_is_taken_out_and_put_back() {
    let (a, b) = (Origin::replying("a"), Origin::replying("b"));
    let toml = toml(&[a.address(), b.address()], "balancer = 'first-alive'");
    let mut proxy = Proxy::start(&toml);
    let (admin, a) = (proxy.admin(), path(a.address()));
    assert_eq!(proxy.get("/").text(), "a");
    for (state, word) in [("maintenance", "maintenance"), ("drain", "draining")] {
        let told = by_hand(admin, &a, state);
        assert_eq!((&told["cluster"], &told["endpoint"]["state"]), (&"main".into(), &word.into()));
        assert_eq!(told["endpoint"]["by_hand"], true);
        let note = told["note"].as_str().unwrap();
        assert!(note.contains("until this process ends") && note.contains("not over a restart"));
        assert_eq!(proxy.get("/").text(), "b", "{state}");
    }
    proxy.reload(&format!("{toml}[clusters.other]\nendpoints = []\n")).unwrap();
    assert_eq!(proxy.get("/").text(), "b", "kept over a reload");
    let page = proxy.get("/proxy-status").text();
    assert!(page.contains("by hand until the process ends"), "{page}");
    let told = by_hand(admin, &a, "ready");
    assert_eq!(
        (&told["endpoint"]["state"], &told["endpoint"]["by_hand"]),
        (&"alive".into(), &false.into())
    );
    assert!(told["note"].as_str().unwrap().contains("as configured"), "{told}");
    assert_eq!(proxy.get("/").text(), "a");
    // The same can be looked at.
    let host = admin.to_string();
    let got = Client::connect(admin).ask("GET", &a, &[("host", &host)], b"");
    let got: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(got["endpoint"]["address"], told["endpoint"]["address"]);
}

#[test]
fn what_is_configured_to_be_out_is_put_in_by_hand() {
    let origin = Origin::replying("a");
    let toml = toml(&[], "").replace(
        "endpoints = []",
        &format!("endpoints = [{{ address = '{}', status = 'disabled' }}]", origin.address()),
    );
    let proxy = Proxy::start(&toml);
    assert_eq!(proxy.get("/").status(), 503);
    let told = by_hand(proxy.admin(), &path(origin.address()), "ready");
    assert_eq!(
        (&told["endpoint"]["state"], &told["endpoint"]["by_hand"]),
        (&"alive".into(), &true.into())
    );
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn addresses_that_are_no_plain_path_are_found_too() {
    let origin = Origin::replying("a");
    let own = origin.address();
    let rest = toml(&[], "").replace("clusters.main", "clusters.\"a/b %\"");
    let rest = rest.replace("default-cluster = \"main\"", "default-cluster = \"a/b %\"");
    let list = format!("['{own}', '{own}', 'localhost:{}', 'unix:/run/no/app.sock']", own.port());
    let proxy = Proxy::start(&rest.replace("endpoints = []", &format!("endpoints = {list}")));
    let admin = proxy.admin();
    let cluster = "/api/clusters/a%2Fb%20%25/endpoints/";
    let label = format!("{own}%23localhost");
    for endpoint in [
        own.to_string(),
        label,
        "unix:%2Frun%2Fno%2Fapp.sock".to_owned(),
        "unix:/run/no/app.sock".to_owned(),
    ] {
        let told = by_hand(admin, &format!("{cluster}{endpoint}"), "maintenance");
        assert_eq!(told["endpoint"]["state"], "maintenance", "{told}");
        assert_eq!(told["cluster"], "a/b %");
    }
    assert_eq!(proxy.get("/").status(), 503, "each is out of service, wherever it is listed");
    assert_eq!(origin.hits(), 0);
}

#[test]
fn what_is_not_known_or_not_allowed_changes_nothing() {
    let origin = Origin::replying("a");
    let proxy = Proxy::start(&toml(&[origin.address()], ""));
    let (admin, own) = (proxy.admin(), path(origin.address()));
    let (token, drain) = (Some("open-sesame"), "{\"state\":\"maintenance\"}");
    assert_eq!(set(admin, &own, None, drain).0, 401);
    assert_eq!(set(admin, &own, Some("open-sesam"), drain).0, 403);
    for (path, body, status, said) in [
        (own.as_str(), "{\"state\":\"up\"}", 400, "`drain`, `maintenance` or `ready`"),
        (&own, "state=drain", 400, "{\"state\":\"drain\"}"),
        (&own, "", 400, "{\"state\":\"drain\"}"),
        (&own, &"x".repeat(5_000), 413, "4096"),
        (
            "/api/clusters/mian/endpoints/x",
            drain,
            404,
            "there is no cluster `mian`; there is `main`",
        ),
        ("/api/clusters/main/endpoints/10.0.0.1:80", drain, 404, "127.0.0.1"),
        ("/api/clusters/main/endpoints/%FF", drain, 404, "127.0.0.1"),
    ] {
        let (got, told) = set(admin, path, token, body);
        let error = told["error"].as_str().unwrap();
        assert!(got == status && error.contains(said), "{path} {body}: {got} {error}");
    }
    let stranger = [
        ("host", "127.0.0.1"),
        ("origin", "http://evil.example"),
        ("authorization", "Bearer open-sesame"),
    ];
    assert_eq!(Client::connect(admin).ask("POST", &own, &stranger, drain.as_bytes()).status(), 403);
    let host = admin.to_string();
    let fields = [("host", host.as_str()), ("authorization", "Bearer open-sesame")];
    let refused = Client::connect(admin).ask("DELETE", &own, &fields, b"");
    assert_eq!((refused.status(), refused.value("allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let origin = Origin::replying("a");
    let proxy = Proxy::start(&toml(&[origin.address()], ""));
    let (admin, own) = (proxy.admin(), path(origin.address()));
    let mut slow = Client::connect(admin);
    slow.send(format!(
        "POST {own} HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer open-sesame\r\n\
         content-length: 20\r\n\r\n{{\"state\""
    ));
    assert_eq!(slow.response().status(), 408);
}
