//! The chunked coding.

use super::{Rule, cut, forwarded};

const CHUNKED: &str = "POST / HTTP/1.1\nhost: a.test\ntransfer-encoding: chunked";

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        cut("ch-001-size-nonhex", 400),
        cut("ch-003-size-plus", 400),
        cut("ch-004-size-minus", 400),
        cut("ch-005-size-underscore", 400),
        cut("ch-006-size-empty", 400),
        cut("ch-007-size-overflow", 400),
        // No limit is set: it is passed on as it comes, until the client is silent for too long.
        cut("ch-008-size-max", 408).listener("body-timeout = '300ms'"),
        // Upstreams get the size as Linkspan writes it.
        forwarded("ch-009-size-leading-zeros", CHUNKED).body("hello"),
        cut("ch-012-lf-after-size", 400),
        cut("ch-013-lf-after-data", 400),
        cut("ch-014-cr-only-after-size", 400),
        cut("ch-015-data-too-long", 400),
        cut("ch-016-data-missing-crlf", 400),
        // Extensions are between a client and us.
        forwarded("ch-018-ext-ok", CHUNKED).body("hello"),
        cut("ch-019-ext-lf", 400),
        cut("ch-021-ext-nul", 400),
        cut("ch-022-ext-huge", 413),
        cut("ch-023-ext-drip", 413),
        forwarded("ch-025-trailer-forbidden", CHUNKED).body("hello"),
        cut("ch-027-trailer-flood", 431),
        forwarded("ch-028-extra-after-end", CHUNKED).then("GET /2 HTTP/1.1\nhost: a.test"),
        forwarded("ch-029-extra-crlf-after-end", CHUNKED).then("GET /2 HTTP/1.1\nhost: a.test"),
    ]
}
