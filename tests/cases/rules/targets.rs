//! The forms of a target, and the methods that have their own.

use super::{Rule, forwarded, refused};

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        // The target goes before Host, for everyone.
        forwarded("tg-001-absolute-form", "GET /x HTTP/1.1\nhost: b.test"),
        // What the connection is, the upstream is told by X-Forwarded-Proto: still `http`.
        forwarded("tg-002-absolute-form-https-scheme", "GET /x HTTP/1.1\nhost: a.test"),
        refused("tg-003-absolute-other-scheme", 400).reason("syntax"),
        refused("tg-004-absolute-userinfo", 400),
        refused("tg-006-asterisk-get", 400),
        forwarded("tg-007-options-asterisk", "OPTIONS * HTTP/1.1\nhost: a.test"),
        refused("tg-008-connect", 405),
        refused("tg-009-relative-no-slash", 400).reason("syntax"),
    ]
}
