//! Addresses that routers name: what the plugin's grants cover is served, anything else is refused
//! before it is dialled.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use serde_json::Value;

use crate::support::{Binary, Client, Down, Message, NameServer, Origin, Proxy, reply};

/// A listener in front of the guest that forwards to the address in `x-to`.
fn config(grants: &[&str]) -> String {
    format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
         [plugins.forwards]\ngrants = {{ addresses = {grants:?} }}\n"
    )
}

fn granting(grants: &[&str]) -> Proxy {
    Proxy::start_with(&config(grants), &["forwards"])
}

#[track_caller]
fn ask(client: &mut Client, to: &str) -> Message {
    client.ask("GET", "/a?b", &[("x-to", to)], b"")
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn refusals(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_errors", &[("reason", "not_granted")])
}

/// A socket that notices when it is dialled.
struct Trap(TcpListener);

impl Trap {
    fn at(ip: [u8; 4]) -> Self {
        let listener = TcpListener::bind((IpAddr::from(ip), 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn expect_untouched(&self) {
        let error = self.0.accept().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_granted_address_is_served_like_a_cluster_of_its_own() {
    let origin = Origin::replying("hello");
    let proxy = granting(&[&origin.address().to_string()]);
    let mut client = proxy.connect();
    for _ in 0..2 {
        let response = ask(&mut client, &url(origin.address()));
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    }
    assert_eq!((origin.hits(), origin.connections()), (2, 1), "connections are reused");
    let request = &origin.requests()[0];
    assert_eq!(request.target(), "/a?b");
    assert_eq!(request.value("host"), Some("test"));
    assert_eq!(request.value("x-forwarded-for"), Some("127.0.0.1"));
    let line = &proxy.access(2)[1];
    assert_eq!(line["route"], "forwards");
    assert_eq!(line["cluster"], Value::Null);
    assert_eq!(line["endpoint"], origin.address().to_string());
    assert_eq!(proxy.counter("linkspan_upstream_attempts", &[("cluster", "")]), 2);
}

#[test]
fn the_router_may_give_host_and_path() {
    let origin = Origin::replying("");
    let proxy = granting(&["127.0.0.0/8:*"]);
    let address = url(origin.address());
    let fields = [("x-to", address.as_str()), ("x-give-host", "other.test"), ("x-give-path", "/c")];
    assert_eq!(proxy.connect().ask("GET", "/a?b", &fields, b"").status(), 200);
    let request = origin.request();
    assert_eq!((request.target(), request.value("host")), ("/c?b", Some("other.test")));
}

#[test]
fn what_is_not_granted_is_refused_and_not_dialled() {
    let trap = Trap::at([127, 0, 0, 2]);
    let port = trap.port();
    let proxy = granting(&[&format!("127.0.0.1:{port}"), "127.0.0.2:1", "[::/0]:*"]);
    let mut client = proxy.connect();
    for address in [format!("127.0.0.2:{port}"), format!("[::ffff:127.0.0.2]:{port}")] {
        let response = ask(&mut client, &format!("http://{address}"));
        assert_eq!((response.status(), response.text().as_str()), (502, "502 Bad Gateway\n"));
    }
    trap.expect_untouched();
    assert_eq!(refusals(&proxy), 2);
    let line = &proxy.access(2)[0];
    let expected =
        format!("router forwards may not forward to http://127.0.0.2:{port}: no grant covers it");
    assert_eq!(line["error"], expected);
    assert_eq!((&line["route"], &line["attempts"]), (&"forwards".into(), &0.into()));
}

#[test]
fn a_plugin_without_grants_may_forward_to_clusters_only() {
    let trap = Trap::at([127, 0, 0, 1]);
    let proxy = granting(&[]);
    let mut client = proxy.connect();
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(ask(&mut client, &format!("http://{host}:{}", trap.port())).status(), 502);
    }
    trap.expect_untouched();
}

#[test]
fn a_name_is_granted_by_itself_or_by_what_it_resolves_to() {
    let origin = Origin::replying("hello");
    let port = origin.address().port();
    let named = format!("localhost:{port}");
    for grants in [&[named.as_str()][..], &["localhost:*"], &["127.0.0.1:*", "[::1]:*"]] {
        let proxy = granting(grants);
        let mut client = proxy.connect();
        for host in ["localhost", "LOCALHOST"] {
            assert_eq!(ask(&mut client, &format!("http://{host}:{port}/")).text(), "hello");
        }
        assert_eq!(proxy.access(1)[0]["endpoint"], origin.address().to_string());
    }
    assert_eq!(origin.hits(), 6);
    for grants in [&["localhost:1"][..], &["other.test:*"], &["10.0.0.0/8:*"], &["127.0.0.1:1"]] {
        let proxy = granting(grants);
        let response = ask(&mut proxy.connect(), &format!("http://localhost:{port}"));
        assert_eq!((response.status(), refusals(&proxy)), (502, 1), "{grants:?}");
    }
    assert_eq!(origin.hits(), 6);
}

#[test]
fn a_name_that_resolves_to_what_is_not_granted_is_refused() {
    let (dns, trap) = (NameServer::start(), Trap::at([127, 0, 0, 2]));
    let origin = Origin::replying("hello");
    let port = origin.address().port();
    dns.host("mixed.test", 60, &["127.0.0.2", "127.0.0.1", "127.0.0.3"]);
    dns.host("inside.test", 60, &["127.0.0.2"]);
    dns.host("other.test", 60, &["127.0.0.3", "127.0.0.2"]);
    let directory = "[server]\nplugin-dir = 'plugins.d'\n";
    let toml = format!("{directory}{}{}", dns.section(), config(&["127.0.0.1:*"]));
    let mut binary = Binary::with(&toml, &["forwards"], &["run"]);
    let mut client = binary.connect();
    assert_eq!(ask(&mut client, &format!("http://mixed.test:{port}")).text(), "hello");
    for name in ["inside.test", "other.test"] {
        let to = format!("http://{name}:{}", trap.port());
        assert_eq!(ask(&mut client, &to).status(), 502, "{to}");
        binary.wait_for_stderr(&format!("\"address\":\"{to}\""));
    }
    let said = binary.stderr();
    let refused = said.lines().filter(|line| line.contains("refused to forward"));
    assert_eq!(refused.filter(|line| line.contains("no grant covers it")).count(), 2, "{said}");
    trap.expect_untouched();
}

#[test]
fn requests_do_not_run_in_circles() {
    let proxy = granting(&["127.0.0.0/8:*", "127.0.0.1:*", "localhost:*"]);
    let port = proxy.address("web").port();
    let mut client = proxy.connect();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        assert_eq!(ask(&mut client, &format!("http://{host}:{port}")).status(), 502, "{host}");
    }
    assert_eq!((refusals(&proxy), proxy.access(3).len()), (3, 3));
    let error = proxy.access(3)[0]["error"].clone();
    assert!(error.as_str().unwrap().ends_with("Linkspan itself listens there"), "{error}");
}

#[test]
fn no_network_is_wide_enough_for_special_addresses() {
    let trap = Trap::at([0, 0, 0, 0]);
    let port = trap.port();
    let proxy = granting(&["0.0.0.0/0:*", "[::/0]:*"]);
    let mut client = proxy.connect();
    // Of those that are special, the ones that a mistake would not lead off this machine; all of them
    // are in the unit tests.
    for host in ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]"] {
        assert_eq!(ask(&mut client, &format!("http://{host}:{port}")).status(), 502, "{host}");
    }
    trap.expect_untouched();
    assert_eq!(refusals(&proxy), 3);
}

#[test]
fn what_is_no_address_of_http_is_refused() {
    let origin = Origin::replying("hello");
    let address = origin.address();
    let proxy = granting(&["0.0.0.0/0:*", "localhost:*"]);
    let mut client = proxy.connect();
    let long = format!("http://{}", "a".repeat(5_000));
    for bad in [
        format!("h2c://{address}"),
        format!("http://{address}/path"),
        format!("http://user@{address}"),
        format!("//{address}"),
        address.to_string(),
        "unix:/run/linkspan.sock".to_owned(),
        "http://".to_owned(),
        "http://127.0.0.1:0".to_owned(),
        "\u{fffd}".to_owned(),
        long,
    ] {
        assert_eq!(ask(&mut client, &bad).status(), 502, "{bad}");
    }
    assert_eq!((origin.hits(), refusals(&proxy)), (0, 10));
    let lines = proxy.access(10);
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.ends_with("`h2c` endpoints are not available in this version"), "{error}");
    let error = lines[9]["error"].as_str().unwrap();
    assert!(error.len() < 400 && error.ends_with("it is too long"), "{error}");
    assert_eq!(ask(&mut client, &url(address)).text(), "hello", "the connection goes on");
}

#[test]
fn an_address_where_nobody_listens_is_unavailable_until_somebody_does() {
    let down = Down::new();
    let address = down.address();
    let proxy = granting(&["127.0.0.1:*"]);
    let mut client = proxy.connect();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, &url(address)).status(), 503);
    }
    assert_eq!(proxy.access(3)[2]["attempts"], 1);
    let origin = down.up(|peer| peer.answer(|_| reply(200, &[], "up")));
    assert_eq!(ask(&mut client, &url(address)).text(), "up");
    assert_eq!(origin.hits(), 1);
}

#[test]
fn a_reload_gives_and_takes_grants() {
    let origin = Origin::replying("hello");
    let mut proxy = granting(&["127.0.0.1:*"]);
    let mut client = proxy.connect();
    let to = url(origin.address());
    assert_eq!(ask(&mut client, &to).text(), "hello");
    proxy.reload(&config(&["127.0.0.2:*"])).unwrap();
    assert_eq!(ask(&mut client, &to).status(), 502);
    proxy.reload(&config(&["127.0.0.1:*"])).unwrap();
    assert_eq!(ask(&mut client, &to).text(), "hello");
    let itself = url(proxy.address("web"));
    assert_eq!(ask(&mut client, &itself).status(), 502, "listeners stay known");
}
