//! Content-Length and Transfer-Encoding.

use super::{Rule, cut, forwarded, refused};

const HELLO: &str = "POST / HTTP/1.1\nhost: a.test\ncontent-length: 5";

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        refused("fr-002-te-cl", 400).reason("framing"),
        refused("fr-004-cl-different", 400).reason("framing"),
        refused("fr-005-cl-same-twice", 400).reason("framing"),
        refused("fr-007-cl-list-diff", 400).reason("framing"),
        refused("fr-008-cl-plus", 400).reason("framing"),
        refused("fr-008-cl-minus", 400).reason("framing"),
        refused("fr-008-cl-hex", 400).reason("framing"),
        refused("fr-008-cl-empty", 400).reason("framing"),
        refused("fr-008-cl-frac", 400).reason("framing"),
        refused("fr-008-cl-alpha", 400).reason("framing"),
        refused("fr-008-cl-quoted", 400).reason("framing"),
        refused("fr-009-cl-overflow", 413).reason("framing"),
        // No limit is set: it is passed on as it comes, until the client is silent for too long.
        cut("fr-010-cl-huge-legal", 408).listener("body-timeout = '300ms'"),
        forwarded("fr-011-cl-leading-zeros", HELLO).body("hello"),
        refused("fr-015-te-identity", 501).reason("framing"),
        refused("fr-015-te-xchunked", 501).reason("framing"),
        refused("fr-015-te-comma", 501).reason("framing"),
        refused("fr-015-te-trailing-comma", 501).reason("framing"),
        refused("fr-015-te-quoted", 501).reason("framing"),
        refused("fr-015-te-vtab", 400).reason("syntax"),
        refused("fr-015-te-ff", 400).reason("syntax"),
        refused("fr-015-te-nul", 400).reason("syntax"),
        refused("fr-015-te-empty", 501).reason("framing"),
        forwarded("fr-017-te-case", "POST / HTTP/1.1\nhost: a.test\ntransfer-encoding: chunked")
            .body("hello"),
        forwarded("fr-018-get-with-body", "GET / HTTP/1.1\nhost: a.test\ncontent-length: 5")
            .body("hello")
            .then("GET /2 HTTP/1.1\nhost: a.test"),
        forwarded("fr-021-cl-zero-smuggle", "POST / HTTP/1.1\nhost: a.test\ncontent-length: 0")
            .then("GET /2 HTTP/1.1\nhost: a.test"),
        cut("fr-022-truncated-body", 400).reason("client_gone").half_closes(),
    ]
}
