//! The chunked coding.

use super::{Rule, cut, forwarded};

const CHUNKED: &str = "POST / HTTP/1.1\nhost: a.test\ntransfer-encoding: chunked";

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        cut("ch-001-size-nonhex", 400).reason("chunk"),
        cut("ch-003-size-plus", 400).reason("chunk"),
        cut("ch-004-size-minus", 400).reason("chunk"),
        cut("ch-005-size-underscore", 400).reason("chunk"),
        cut("ch-006-size-empty", 400).reason("chunk"),
        cut("ch-007-size-overflow", 400).reason("chunk"),
        // No limit is set: it is passed on as it comes, until the client is silent for too long.
        cut("ch-008-size-max", 413).reason("chunk"),
        // A size has sixteen digits at most.
        cut("ch-009-size-leading-zeros", 400).reason("chunk"),
        cut("ch-012-lf-after-size", 400).reason("chunk"),
        cut("ch-013-lf-after-data", 400).reason("chunk"),
        cut("ch-014-cr-only-after-size", 400).reason("chunk"),
        cut("ch-015-data-too-long", 400).reason("chunk"),
        cut("ch-016-data-missing-crlf", 400).reason("chunk"),
        // Extensions are between a client and us.
        forwarded("ch-018-ext-ok", CHUNKED).body("hello"),
        cut("ch-019-ext-lf", 400).reason("chunk"),
        cut("ch-021-ext-nul", 400).reason("chunk"),
        cut("ch-022-ext-huge", 413).reason("chunk"),
        cut("ch-023-ext-drip", 413).reason("chunk"),
        forwarded("ch-025-trailer-forbidden", CHUNKED).body("hello"),
        cut("ch-027-trailer-flood", 431).reason("chunk"),
        forwarded("ch-028-extra-after-end", CHUNKED).then("GET /2 HTTP/1.1\nhost: a.test"),
        // One empty line is skipped, and no more.
        forwarded("ch-029-extra-crlf-after-end", CHUNKED).then_refused(400).reason("syntax"),
    ]
}
