//! The first line of a request.

use super::{Rule, forwarded, refused};

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        refused("rl-001-missing-version", 400).reason("syntax"),
        refused("rl-002-lowercase-http", 400).reason("syntax"),
        refused("rl-004-version-2.0-text", 505).reason("version"),
        refused("rl-007-tab-separator", 400).reason("syntax"),
        refused("rl-010-nul-in-target", 400).reason("syntax"),
        // Bytes that no URI has would be understood by each upstream in its own way.
        refused("rl-012-obs-bytes-in-target", 400).reason("syntax"),
        refused("rl-013-method-bad-token", 400).reason("syntax"),
        forwarded("rl-014-method-lowercase", "get / HTTP/1.1\nhost: a.test"),
        forwarded("rl-015-method-unknown", "FROBNICATE / HTTP/1.1\nhost: a.test"),
        refused("rl-016-method-long", 501).reason("syntax"),
        forwarded("rl-017-uri-8000", &format!("GET /{} HTTP/1.1\nhost: a.test", "a".repeat(7990))),
        // One empty line is skipped, and no more: old clients send it after a body, which their
        // Content-Length leaves out.
        refused("rl-019-leading-crlf", 400).reason("syntax"),
        refused("rl-020-leading-crlf-flood", 400).reason("syntax"),
        refused("rl-022-all-bare-lf", 400).reason("syntax"),
        refused("rl-024-lf-splits-request-line", 400).reason("syntax"),
        refused("rl-027-h2-preface-on-h1-only", 505).reason("version"),
    ]
}
