//! The rewriter `substitute`: what it makes of bodies that really come over the network.

mod coded;
mod large;

use crate::support::{Message, Origin, Proxy, UNHURRIED, one_cluster, reply};

/// A configuration that replaces `http://old.test/` and version numbers; `more` are further keys of
/// the plugin's `config`.
fn with_rules(address: std::net::SocketAddr, more: &str) -> String {
    let config = one_cluster(&[address], "rewriters = ['links']", "");
    format!(
        "{config}[plugins.links]\ncomponent = 'substitute'\n{UNHURRIED}\n[plugins.links.config]\n\
         rules = [\n  {{ find = 'http://old.test/', replace = 'https://new.test/' }},\n  \
         {{ match = 'v(\\d+)', replace = 'w$1', ignore-case = true }},\n]\n{more}\n"
    )
}

fn to(origin: &Origin, more: &str) -> Proxy {
    Proxy::start(&with_rules(origin.address(), more))
}

const PAGE: &str = "<a href='http://old.test/a'>V12</a> http://old.test <p>v7";
const REPLACED: &str = "<a href='https://new.test/a'>w12</a> http://old.test <p>w7";

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

#[track_caller]
fn assert_replaced(response: &Message) {
    assert_eq!((response.text().as_str(), response.complete), (REPLACED, true), "{response:?}");
    assert_eq!(response.length(), None);
}

#[test]
fn texts_are_replaced_however_their_bytes_come() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            let size = request.target()[1..].parse().unwrap();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
                PAGE.len()
            ));
            for part in PAGE.as_bytes().chunks(size) {
                // Each is a segment of its own: the harness waits for nothing to be joined.
                peer.send(part);
                std::thread::yield_now();
            }
        }
    });
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    for size in ["/1", "/2", "/7", "/19", "/1000"] {
        let response = client.get(size);
        assert!(response.is_chunked(), "{size}");
        assert_replaced(&response);
    }
    assert_eq!(origin.connections(), 1, "the upstream's connection is used again");
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
}

#[test]
fn the_head_tells_nothing_of_the_bytes_that_have_been() {
    let origin = Origin::replying("");
    drop(origin);
    let origin = Origin::answering(|_| {
        let fields = [
            HTML,
            ("etag", "\"abc\""),
            ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("repr-digest", "y"),
            ("x-kept", "z"),
        ];
        reply(200, &fields, PAGE)
    });
    let proxy = to(&origin, "");
    let response = proxy.get("/");
    assert_replaced(&response);
    assert_eq!(response.value("etag"), Some("W/\"abc\""));
    assert_eq!(response.value("x-kept"), Some("z"));
    for gone in ["last-modified", "accept-ranges", "content-md5", "repr-digest"] {
        assert_eq!(response.value(gone), None, "{gone}");
    }
    let proxy = to(&origin, "keep-last-modified = true");
    assert!(proxy.get("/").value("last-modified").is_some());
    let mut client = proxy.connect();
    let head = client.ask("HEAD", "/", &[], b"");
    assert_eq!((head.value("etag"), head.length()), (Some("W/\"abc\""), None), "as GET says");
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(!response.is_chunked());
    assert_replaced(&response);
    client.expect_closed();
}

#[test]
fn other_types_parts_and_revalidations_pass_as_they_are() {
    let origin = Origin::answering(|request| match request.target() {
        "/css" => reply(200, &[("content-type", "text/css"), ("etag", "\"a\"")], PAGE),
        "/none" => reply(200, &[], PAGE),
        "/part" => reply(206, &[HTML, ("content-range", "bytes 0-9/60")], "<a href='h"),
        _ => reply(304, &[("etag", "\"a\"")], ""),
    });
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    for target in ["/css", "/none"] {
        let response = client.get(target);
        assert_eq!((response.text().as_str(), response.length()), (PAGE, Some(PAGE.len())));
    }
    assert_eq!(client.get("/css").value("etag"), Some("\"a\""));
    assert_eq!(client.get("/part").length(), Some(10));
    let ask = |client: &mut crate::support::Client, tag| {
        let response = client.ask("GET", "/304", &[("if-none-match", tag)], b"");
        assert_eq!(response.status(), 304);
        response.value("etag").map(str::to_owned)
    };
    assert_eq!(ask(&mut client, "W/\"a\"").as_deref(), Some("W/\"a\""));
    assert_eq!(ask(&mut client, "\"a\"").as_deref(), Some("\"a\""));
    let proxy = to(&origin, "types = ['text/*', 'image/svg+xml']");
    assert_replaced(&proxy.get("/css"));
    assert_eq!(proxy.get("/none").length(), Some(PAGE.len()));
    let proxy = to(&origin, "types = ['*']");
    assert_replaced(&proxy.get("/none"));
}

#[test]
fn a_wrong_rule_is_told_at_its_place() {
    let origin = Origin::replying("");
    let good = with_rules(origin.address(), "");
    for (wrong, said) in [
        (good.replace("(\\d+)", "(\\d+"), "rules[1].match"),
        (good.replace("w$1", "w$2"), "`$2` names no group: there are 1"),
        (good.replace("find = 'http://old.test/'", "fnid = ''"), "did you mean `find`?"),
        (with_rules(origin.address(), "window = '1GiB'"), "expected `64B` to `512KiB`"),
        (with_rules(origin.address(), "types = ['html']"), "types[0]"),
    ] {
        let text = Proxy::try_start(&wrong, &[]).err().unwrap();
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}
