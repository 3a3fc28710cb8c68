//! Whom requests are for: Host, and targets that say it.

use crate::support::{Message, Origin, Proxy, one_cluster};

/// The answer to a request with this target and Host.
fn asked(proxy: &Proxy, method: &str, target: &str, host: &str) -> Message {
    let mut client = proxy.connect();
    client.send(format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    client.response()
}

#[test]
fn ports_that_are_no_digits_and_brackets_around_no_address_are_refused() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let hosts =
        ["a.test:+80", "[::1]:+80", "[zz]", "[]", "a[b]", "[v1.a]", "[::1%25lo]", "a.test:65536"];
    for host in hosts {
        let refused = asked(&proxy, "GET", "/", host);
        assert_eq!((refused.status(), refused.closes()), (400, true), "{host}");
        let target = format!("http://{host}/x");
        let refused = asked(&proxy, "GET", &target, "a.test");
        assert_eq!((refused.status(), refused.closes()), (400, true), "{target}");
    }
    assert_eq!(origin.connections(), 0);
    for host in ["a.test:080", "[::1]:80", "[2001:DB8::1]"] {
        assert_eq!(asked(&proxy, "GET", "/", host).status(), 200, "{host}");
        assert_eq!(origin.requests().pop().unwrap().value("host"), Some(host));
    }
}

#[test]
fn a_port_that_is_empty_is_accepted_and_no_upstream_sees_its_colon() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    for (target, sent, host) in [
        ("/x", "a.test:", "a.test"),
        ("/x", "[::1]:", "[::1]"),
        ("http://a.test:/x", "b.test", "a.test"),
        ("http://[::1]:/x", "b.test:", "[::1]"),
    ] {
        assert_eq!(asked(&proxy, "GET", target, sent).status(), 200, "{target} {sent}");
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.target(), request.values("host")), ("/x", vec![host]));
        assert_eq!(request.value("x-forwarded-host"), Some(host));
    }
}

#[test]
fn options_of_a_url_without_a_path_is_for_the_server_as_a_whole() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    for (target, seen) in [
        ("http://a.test", "*"),
        ("*", "*"),
        ("http://a.test/", "*"),
        ("http://a.test/?", "/?"),
        ("http://a.test/x", "/x"),
        ("http://a.test?x", "/?x"),
        ("/", "/"),
    ] {
        assert_eq!(asked(&proxy, "OPTIONS", target, "a.test").status(), 200, "{target}");
        assert_eq!(origin.requests().pop().unwrap().target(), seen, "{target}");
    }
}
