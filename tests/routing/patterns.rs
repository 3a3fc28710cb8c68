//! The router `regex-match`: patterns of paths, hosts, methods and headers.

use super::config;
use crate::support::{Origin, Proxy};

/// A proxy whose router has these rules, in front of clusters `a` and `b`.
fn proxy([a, b]: [&Origin; 2], rules: &str) -> Proxy {
    let plugin = format!(
        "[plugins.by-path]\ncomponent = 'regex-match'\nconfig = {{ rules = [\n{rules}\n] }}\n"
    );
    let listener = "routers = ['by-path']\nmax-target-bytes = '63KiB'";
    Proxy::start(&config(listener, &[("a", a), ("b", b)], &plugin))
}

fn origins() -> [Origin; 2] {
    ["a", "b"].map(Origin::replying)
}

#[test]
fn each_request_of_a_connection_is_decided_by_itself() {
    let origins = origins();
    let rules = "{ match = ['^/api'], cluster = 'a' }, { match = ['.'], cluster = 'b' }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    assert_eq!(client.get("/api/x").text(), "a");
    assert_eq!(client.get("/img").text(), "b");
}

#[test]
fn patterns_are_searched_for_in_the_decoded_path_without_its_query() {
    let origins = origins();
    let rules = "{ match = ['/*.php', '/*.jpg'], cluster = 'a' }, { cluster = 'b' }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    for (target, expected) in [
        ("/a.PHP", "a"),
        ("/xphp", "a"),
        ("/a.php?f=b.jpg", "a"),
        ("/a%2Ejpg", "a"),
        ("/a?f=b.jpg", "b"),
    ] {
        assert_eq!(client.get(target).text(), expected, "{target}");
    }
    assert_eq!(origins[0].requests()[3].target(), "/a%2Ejpg", "paths pass as they came");
}

#[test]
fn conditions_on_host_method_and_header_hold_together() {
    let origins = origins();
    let rules = "{ match = ['^/x'], host = ['^a\\.', '^b\\.'], method = ['GET', 'PUT'], \
                 header = { cookie = ['beta=1', 'beta=yes'], x-kind = '^k' }, cluster = 'a' }, \
                 { cluster = 'b' }";
    let proxy = proxy(origins.each_ref(), &rules.replace("\\.", "\\\\.").replace('\'', "\""));
    let mut client = proxy.connect();
    let mut ask = |method: &str, path: &str, host: &str, cookie: &str, kind: &str| {
        let fields = [("host", host), ("cookie", "other=2"), ("cookie", cookie), ("x-kind", kind)];
        client.ask(method, path, &fields, b"").text()
    };
    assert_eq!(ask("GET", "/x", "A.test:80", "beta=1", "kind"), "a");
    assert_eq!(ask("PUT", "/x", "b.test", "BETA=YES", "kind"), "a");
    for (method, path, host, cookie, kind) in [
        ("POST", "/x", "a.test", "beta=1", "kind"),
        ("GET", "/y", "a.test", "beta=1", "kind"),
        ("GET", "/x", "c.test", "beta=1", "kind"),
        ("GET", "/x", "a.test", "beta=0", "kind"),
        ("GET", "/x", "a.test", "beta=1", "unkind"),
    ] {
        assert_eq!(ask(method, path, host, cookie, kind), "b", "{method} {path} {host}");
    }
}

#[test]
fn groups_are_those_of_the_first_pattern_that_is_found() {
    let origins = origins();
    let rules = "{ match = ['^/user/([0-9]+)$', '^/(.*)$'], cluster = 'a', path = '/by?id=$1' }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    for target in ["/user/7", "/user/x%26admin=1?q"] {
        assert_eq!(client.get(target).text(), "a");
    }
    let targets: Vec<_> = origins[0].requests().iter().map(|it| it.target().to_owned()).collect();
    assert_eq!(targets, ["/by?id=7", "/by?id=user/x%26admin%3D1"], "its own query goes first");
}

#[test]
fn encoded_slashes_lead_out_of_no_path() {
    let origins = origins();
    let rules = "{ match = ['^/static/(.*)'], cluster = 'a', path = '/files/$1' }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    for target in ["/static/..%2f..%2fadmin", "/static/../admin", "/static/..%5Cadmin"] {
        assert_eq!(client.get(target).status(), 400, "{target}");
    }
    assert_eq!(client.get("/static/a%2fb?q").text(), "a");
    assert_eq!(origins[0].requests()[0].target(), "/files/a%2Fb?q");
}

#[test]
fn clients_choose_no_server_that_they_are_redirected_to() {
    let origins = origins();
    let rules = "{ match = ['^/host([^/]*)'], redirect = { status = 302, location = 'http://x.test$1/' } }, \
                 { match = ['^/shop/([^/]*)'], redirect = { status = 302, location = '//$1.x.test' } }, \
                 { match = ['^/bare'], redirect = { status = 301, location = '/?' } }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    for target in ["/host@evil.test", "/host.evil.test", "/shop/evil.test%5C", "/shop/@"] {
        assert_eq!(client.get(target).status(), 400, "{target}");
    }
    for (target, expected) in [
        ("/host?a=b", "http://x.test/?a=b"),
        ("/shop/eu.one", "//eu.one.x.test"),
        ("/bare?a=b", "/"),
    ] {
        assert_eq!(client.get(target).value("location"), Some(expected), "{target}");
    }
}

#[test]
fn the_longest_path_breaks_no_plugin() {
    let origins = origins();
    let rules = "{ match = ['^/(?:[^/]+/)*(?:[^/]+/)*old/(.*)$', '^/new/(.*)$'], \
                 cluster = 'a', path = '/$1' }, { match = ['(a.*b|.*c)+'], cluster = 'b' }";
    let proxy = proxy(origins.each_ref(), rules);
    let mut client = proxy.connect();
    for _ in 0..8 {
        assert_eq!(client.get(&format!("/new/{}", "x/".repeat(30_000))).status(), 414);
        assert_eq!(client.get(&format!("/new/{}", "x/".repeat(4_000))).text(), "a");
        assert_eq!(client.get(&format!("/{}", "abc".repeat(20_000))).text(), "b");
    }
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
    assert_eq!(proxy.counter("linkspan_plugin_parked", &[]), 0);
}
