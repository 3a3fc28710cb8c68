//! What a plugin gives goes out as what it is meant to be, or not at all: no line break, NUL or
//! framing gets into a message through any answer that carries text.

use super::{failures, misbehaving};
use crate::support::{Client, Message, Origin, Proxy};

/// What only the host writes.
const FRAMING: [&str; 8] = [
    "Content-Length",
    "transfer-encoding",
    "Connection",
    "KEEP-ALIVE",
    "te",
    "trailer",
    "Upgrade",
    "content-length",
];
/// Percent-encoded, as all that follow: no names of fields.
const NAMES: [&str; 9] =
    ["", "a b", "a:b", "a:", "x-b%0d%0ay", "x-b%0a", "x-b%00", "%c3%a9", "a%09"];
/// No values of fields.
const VALUES: [&str; 7] = [
    "1%0d%0ax-b: 2",
    "1%0ax-b: 2",
    "1%0dx-b: 2",
    "1%00",
    "%7f",
    "a%1fb",
    "1%0d%0a%0d%0aHTTP/1.1 200 OK",
];
/// No targets of requests.
const PATHS: [&str; 9] = [
    "",
    "a",
    "/a%0d%0ax-b: 1",
    "/a HTTP/1.1%0d%0ax-b: 1",
    "/a%0a",
    "/a%00",
    "/a#b",
    "/%c3%a9",
    "http://a/",
];
/// No hosts.
const HOSTS: [&str; 9] =
    ["", "a%0d%0ax-b: 1", "a%0a", "a%00", "a b", "u@a", "a/b", "a:b", "a:99999"];

struct Injector {
    origin: Origin,
    proxy: Proxy,
    client: Client,
    status: u16,
    refused: u64,
}

impl Injector {
    fn at(call: &str, status: u16) -> Self {
        let origin = Origin::replying("hello");
        let proxy = Proxy::start_with(&misbehaving(&origin, call, &["web"], ""), &["misbehave"]);
        let client = proxy.connect();
        Self { origin, proxy, client, status, refused: 0 }
    }

    fn give(&mut self, kind: &str, name: &str, value: &str) -> Message {
        let fields = [
            ("x-do", "given"),
            ("x-cluster", "web"),
            ("x-as", kind),
            ("x-name", name),
            ("x-value", value),
        ];
        self.client.ask("GET", "/", &fields, b"")
    }

    /// It is refused and counted, and the connection goes on.
    #[track_caller]
    fn refuses(&mut self, kind: &str, name: &str, value: &str) {
        let answer = self.give(kind, name, value);
        assert_eq!(answer.status(), self.status, "{kind} {name:?} {value:?}: {answer:?}");
        assert!(answer.values("x-b").is_empty(), "{kind} {name:?} {value:?}: {answer:?}");
        self.refused += 1;
        let counted = failures(&self.proxy, "web", "contract");
        assert_eq!(counted, self.refused, "{kind} {name:?} {value:?}");
        assert_eq!(self.client.get("/").text(), "hello", "after {kind} {name:?} {value:?}");
    }

    /// What is refused of fields in every call that can give some.
    #[track_caller]
    fn refuses_fields(&mut self, kinds: &[&str]) {
        for kind in kinds {
            for name in FRAMING.iter().chain(&NAMES) {
                self.refuses(kind, name, "5");
            }
            if *kind != "remove" {
                for value in VALUES {
                    self.refuses(kind, "x-a", value);
                }
            }
        }
        let kind = kinds.first().copied().unwrap_or_default();
        let answer = self.give(kind, "x-a", "%09a%ff%09b");
        assert_eq!(answer.status(), 200, "that is a value");
    }

    /// How many requests have reached the origin that were not asked to be harmless.
    fn reached(&self) -> usize {
        let asked = |request: &&Message| request.value("x-do").is_some();
        self.origin.requests().iter().filter(asked).count()
    }
}

#[test]
fn a_router_can_inject_nothing() {
    let mut router = Injector::at("route", 503);
    router.refuses_fields(&["respond"]);
    for value in VALUES {
        router.refuses("location", "", &format!("/{value}"));
    }
    for path in PATHS {
        router.refuses("path", "", path);
    }
    for host in HOSTS {
        router.refuses("host", "", host);
    }
    for status in ["0", "99", "100", "101", "199", "600", "65535"] {
        router.refuses("status", "", status);
        router.refuses("redirect", "", status);
    }
    assert_eq!(router.reached(), 0);
    assert_eq!(router.give("location", "", "/a%09").status(), 302);
}

#[test]
fn a_rewriter_of_requests_can_inject_nothing() {
    let mut rewriter = Injector::at("on-request", 502);
    rewriter.refuses_fields(&["set", "append", "remove"]);
    for path in PATHS {
        rewriter.refuses("path", "", path);
    }
    for host in HOSTS {
        rewriter.refuses("host", "", host);
        rewriter.refuses("set", "Host", host);
        rewriter.refuses("append", "host", host);
    }
    rewriter.refuses("remove", "HOST", "");
    rewriter.refuses("status", "", "200");
    assert_eq!(rewriter.reached(), 1, "but for the one that was in order");
}

#[test]
fn a_rewriter_of_responses_can_inject_nothing() {
    let mut rewriter = Injector::at("on-response", 502);
    rewriter.refuses_fields(&["set", "append", "remove"]);
    for status in ["0", "99", "100", "101", "199", "204", "304", "600", "65535"] {
        rewriter.refuses("status", "", status);
    }
    rewriter.refuses("path", "", "/a");
    rewriter.refuses("host", "", "a");
    let answer = rewriter.give("status", "", "202");
    assert_eq!(answer.head.line, "HTTP/1.1 202 Accepted");
}
