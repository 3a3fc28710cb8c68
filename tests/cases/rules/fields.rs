//! Header fields.

use super::{Rule, forwarded, refused};

const PLAIN: &str = "GET / HTTP/1.1\nhost: a.test";

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        refused("hd-001-obs-fold", 400).reason("syntax"),
        refused("hd-003-first-line-whitespace", 400).reason("syntax"),
        refused("hd-004-no-colon", 400).reason("syntax"),
        refused("hd-006-name-bad-char", 400).reason("syntax"),
        refused("hd-007-name-high-bit", 400).reason("syntax"),
        refused("hd-008-value-bare-cr", 400).reason("syntax"),
        refused("hd-009-value-nul", 400).reason("syntax"),
        forwarded("hd-011-value-latin1", "GET / HTTP/1.1\nhost: a.test\nx-a: caf\u{e9}"),
        refused("hd-012-nbsp-around-te", 501).reason("framing"),
        forwarded("hd-015-100-fields", &format!("{PLAIN}{}", "\nx-f: v".repeat(90))),
        // Fields with underscores go no further: CGI takes them for hyphens.
        forwarded("hd-016-underscore", PLAIN),
        forwarded("hd-017-underscore-te", "POST / HTTP/1.1\nhost: a.test\ncontent-length: 5")
            .body("0\r\n\r\n"),
        forwarded("hd-018-connection-nominated", PLAIN).closes(),
        forwarded(
            "hd-019-connection-nominates-host",
            "GET / HTTP/1.1\nhost: a.test\ncookie: s=1\nauthorization: Basic eA==",
        ),
        forwarded("hd-021-empty-connection", PLAIN),
        forwarded("hd-022-request-close", PLAIN).closes(),
        // What the client says of itself is replaced.
        forwarded("hd-023-xff-spoof", PLAIN),
        forwarded("hd-024-xff-crlf-encoded", PLAIN),
        // The client is in step, and may ask for something else.
        refused("hd-025-via-loop", 508).stays().stands_for("ourname", "linkspan"),
        forwarded(
            "hd-027-max-forwards-options",
            "OPTIONS / HTTP/1.1\nhost: a.test\nmax-forwards: 2",
        ),
    ]
}
