//! What is known of those who connect to a Unix socket, and who believes them.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Folder, Setting};
use crate::support::{Client, Origin, Proxy, eventually, request};

/// The values of a field that the origin has got, one for each request.
fn told(setting: &Setting, name: &str) -> Vec<Option<String>> {
    let requests = setting.origin.requests();
    requests.iter().map(|request| request.value(name).map(str::to_owned)).collect()
}

#[test]
fn curl_is_served_over_one_connection() {
    let setting = Setting::new("", "");
    let body = b"seventeen bytes.\n".repeat(200_000);
    let urls = ["http://localhost/a", "http://localhost/b"];
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--data-binary", "@-", "--unix-socket"]).arg(setting.path());
    let curl = curl.args(urls).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut curl = curl.unwrap_or_else(|error| panic!("{error}: apt-get install curl"));
    curl.stdin.take().unwrap().write_all(&body).unwrap();
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert!(output.stdout == [&*body, &*body].concat(), "{} bytes", output.stdout.len());
    let targets: Vec<_> =
        setting.origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/a", "/b"]);
    assert_eq!(setting.proxy.counter("linkspan_connections", &[("listener", "web")]), 1);
}

#[test]
fn nobody_there_has_an_address() {
    let setting = Setting::new("", "");
    let fields = [("x-forwarded-for", "192.0.2.1"), ("x-request-id", "mine")];
    assert_eq!(setting.connect().ask("GET", "/", &fields, b"").status(), 200);
    assert_eq!(told(&setting, "x-forwarded-for"), [Some("unknown".to_owned())]);
    let line = &setting.proxy.access(1)[0];
    assert_eq!(line["client"], "unix:");
    assert_ne!(line["id"], "mine");
}

#[test]
fn plugins_see_no_address_there() {
    let (origins, folder) = (["a", "b", "c"].map(Origin::replying), Folder::new());
    let listed: Vec<_> = origins.iter().map(|origin| format!("'{}'", origin.address())).collect();
    let config = |balancer: &str| {
        format!(
            "[listeners.web]\n{}\ndefault-cluster = 'main'\n[clusters.main]\nendpoints = [{}]\n\
             balancer = 'by'\n[plugins.by]\n{balancer}\n",
            folder.bind("web"),
            listed.join(", ")
        )
    };
    let answers = |proxy: &Proxy| {
        let answers = [(); 3].map(|()| super::get(&folder.path("web")).text());
        assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
        answers
    };
    let proxy = Proxy::start(&config("component = 'source-hash'"));
    assert_eq!(answers(&proxy), ["a", "a", "a"], "an address that is none counts as 0");
    drop(proxy);
    let by_hash = "component = 'ring-hash'\nconfig = { key = 'client-address' }";
    let proxy = Proxy::start(&config(by_hash));
    answers(&proxy);
}

#[test]
fn who_connects_there_may_be_trusted() {
    let setting = Setting::new("trusted-proxies = ['unix']", "");
    let fields = [("x-forwarded-for", "192.0.2.1"), ("x-request-id", "mine")];
    assert_eq!(setting.connect().ask("GET", "/", &fields, b"").status(), 200);
    assert_eq!(told(&setting, "x-forwarded-for"), [Some("192.0.2.1, unknown".to_owned())]);
    assert_eq!(setting.proxy.access(1)[0]["id"], "mine");
    // No network has them.
    let setting = Setting::new("trusted-proxies = ['0.0.0.0/0', '::/0']", "");
    assert_eq!(setting.connect().ask("GET", "/", &fields, b"").status(), 200);
    assert_eq!(told(&setting, "x-forwarded-for"), [Some("unknown".to_owned())]);
}

#[test]
fn a_proxy_there_may_say_who_its_client_is() {
    let trust = "trusted-proxies = ['unix']\nproxy-protocol = 'require'\n\
                 max-connections-per-address = 1";
    let setting = Setting::new(trust, "");
    let header = b"PROXY TCP4 192.0.2.7 10.9.8.7 40112 443\r\n";
    let ask = [&header[..], &request("GET", "/", &[], b"")].concat();
    let mut client = setting.connect();
    // In pieces, too.
    let (first, rest) = ask.split_at(11);
    client.send(first);
    client.send(rest);
    assert_eq!(client.response().status(), 200);
    assert_eq!(told(&setting, "x-forwarded-for"), [Some("192.0.2.7".to_owned())]);
    assert_eq!(setting.proxy.access(1)[0]["client"], "192.0.2.7:40112");

    let mut second = setting.connect();
    second.send(&ask);
    second.expect_closed();
    let refused = |reason: &str| {
        let labels = [("listener", "web"), ("reason", reason)];
        setting.proxy.counter("linkspan_connections_refused", &labels)
    };
    assert_eq!(refused("too_many"), 1);

    let mut unknown = setting.connect();
    unknown.send(b"PROXY UNKNOWN\r\n");
    let fields = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(unknown.ask("GET", "/", &fields, b"").status(), 200);
    assert_eq!(told(&setting, "x-forwarded-for")[1].as_deref(), Some("unknown"));
    assert_eq!(setting.proxy.access(2)[1]["client"], "unix:");

    let mut bad = setting.connect();
    bad.send(request("GET", "/", &[], b""));
    bad.expect_closed();
    assert_eq!(refused("no_proxy_header"), 1);
}

#[test]
fn who_may_not_say_so_is_turned_away() {
    let setting = Setting::new("trusted-proxies = ['127.0.0.1']\nproxy-protocol = 'require'", "");
    let mut client = setting.connect();
    client.expect_closed();
    let labels = [("listener", "web"), ("reason", "untrusted")];
    assert_eq!(setting.proxy.counter("linkspan_connections_refused", &labels), 1);
}

#[test]
fn endpoints_are_told_that_the_client_is_unknown() {
    for (version, header) in
        [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", &b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"[..])]
    {
        let origin = Origin::scripted(move |peer| {
            let mut told = Vec::new();
            let _ = peer.take(header.len(), &mut told);
            let body = if told == header { "as it should be" } else { "something else" };
            peer.answer(|_| crate::support::reply(200, &[], body));
        });
        let folder = Folder::new();
        let lines = format!("proxy-protocol = '{version}'");
        let _proxy = Proxy::start(&folder.toml(&origin, "", &lines));
        assert_eq!(super::get(&folder.path("web")).text(), "as it should be", "{version}");
    }
}

#[test]
fn the_limit_per_address_is_for_those_who_have_one() {
    let setting = Setting::new("max-connections-per-address = 1\nmax-connections = 3", "");
    let mut clients = [setting.connect(), setting.connect(), setting.connect()];
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
    let mut waiting = setting.connect();
    waiting.send(request("GET", "/", &[], b""));
    eventually("the listener to be full", || {
        let open = setting.proxy.counter("linkspan_connections_open", &[("listener", "web")]);
        (open == 3).then_some(())
    });
    drop(clients);
    assert_eq!(waiting.response().status(), 200, "the limit of all holds there as well");
}

#[test]
fn an_upgraded_connection_goes_through() {
    let origin = Origin::scripted(|peer| {
        let head = peer.head().unwrap();
        assert_eq!(head.value("upgrade"), Some("websocket"));
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        );
        loop {
            let bytes = peer.some();
            if bytes.is_empty() || peer.write(&bytes).is_err() {
                return;
            }
        }
    });
    let folder = Folder::new();
    let _proxy = Proxy::start(&folder.toml(&origin, "", ""));
    let mut client = Client::at(&folder.path("web"));
    let fields = [("upgrade", "websocket"), ("connection", "upgrade")];
    client.send(request("GET", "/", &fields, b""));
    assert_eq!(client.response_head().status(), 101);
    let mut echoed = Vec::new();
    let sent = b"seventeen bytes.\n".repeat(60_000);
    let mut writer = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).unwrap());
        client.take(sent.len(), &mut echoed).unwrap();
    });
    assert!(echoed == sent);
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    client.expect_closed();
}
