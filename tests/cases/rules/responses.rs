//! What upstreams send.

use super::{Relayed, Then, error, truncated, whole};

/// Their rules.
pub(super) fn rules() -> Vec<Relayed> {
    vec![
        error("rs-001-cl-te", 502),
        error("rs-003-cl-invalid", 502),
        error("rs-004-cl-list-same", 502),
        truncated("rs-005-truncated-cl", 200).upstream(Then::Closes).reason("broken"),
        truncated("rs-006-truncated-chunked", 200).upstream(Then::Closes).reason("broken"),
        whole("rs-007-extra-after-cl", 200, "hello", &["content-length: 5"]).dropped(),
        whole("rs-009-head-with-body", 200, "", &["content-length: 5"])
            .to("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .dropped(),
        // Neither has a body, whatever it says of one.
        whole("rs-011-204-te", 204, "", &["!transfer-encoding", "!content-length"]).dropped(),
        whole("rs-012-304-cl", 304, "", &["etag: \"x\""])
            .to("GET / HTTP/1.1\r\nHost: a.test\r\nIf-None-Match: \"x\"\r\n\r\n"),
        error("rs-016-101-unasked", 502),
        error("rs-017-101-other-protocol", 502).to(
            "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ),
        error("rs-018-status-4digits", 502),
        error("rs-019-status-099", 502),
        // There are servers that mean it.
        whole("rs-020-status-999", 999, "", &["content-length: 0"]),
        error("rs-022-http09", 502),
        error("rs-023-obs-fold", 502),
        error("rs-025-nul-in-value", 502),
        whole(
            "rs-026-hop-by-hop",
            200,
            "ok",
            &["!connection", "!x-int", "!keep-alive", "!proxy-authenticate", "content-length: 2"],
        )
        .dropped(),
        // What ends with the connection is told by its length, or in chunks.
        whole("rs-027-close-delimited", 200, "hello", &["transfer-encoding: chunked"])
            .upstream(Then::Closes)
            .dropped(),
        whole("rs-029-te-to-10", 200, "hello", &["!transfer-encoding"])
            .to("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
            .closes(),
        whole(
            "rs-031-many-set-cookie",
            200,
            "ok",
            &[&["set-cookie: a=b"; 50][..], &["x-proxy: linkspan"]].concat(),
        )
        .rewriter(
            "rewriters = ['stamp']",
            "[plugins.stamp]\ncomponent = 'headers'\n\
                 config = { response = { set = { x-proxy = 'linkspan' } } }",
        ),
        error("rs-033-redirect-location-crlf", 502),
        error("rs-034-slow-head", 504).cluster("response-timeout = '300ms'"),
        error("rs-035-empty-close", 502).upstream(Then::Closes).reason("broken"),
        truncated("rs-036-chunk-overflow", 200).reason("malformed"),
        whole(
            "rs-037-rewrite-length",
            200,
            "goodbye",
            &["transfer-encoding: chunked", "!content-length"],
        )
        .rewriter(
            "rewriters = ['words']",
            "[plugins.words]\ncomponent = 'substitute'\n\
                 config = { rules = [{ find = 'hello', replace = 'goodbye' }], types = ['*'] }",
        ),
    ]
}
