//! Paths: what a router decides on is what the upstream gets, byte for byte.
//!
//! The router that is asked is a test guest that looks paths up in a store, and there is no default
//! cluster: only a request whose path it sees as it stands there is forwarded at all.

use crate::support::UNHURRIED;

use super::{Rule, forwarded, refused};

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        seen_as_sent("ur-002-encoded-dotdot", "/public/%2e%2e/admin"),
        seen_as_sent("ur-003-encoded-slash", "/public/..%2fadmin"),
        seen_as_sent("ur-004-double-encoded", "/public/%252e%252e/admin"),
        seen_as_sent("ur-005-backslash", "/public\\..\\admin"),
        seen_as_sent("ur-006-double-slash", "//admin"),
        seen_as_sent("ur-007-semicolon", "/public/..;/admin"),
        // Upstreams differ in what they make of an escape that is none.
        refused("ur-008-bad-percent", 400),
        seen_as_sent("ur-010-crlf-encoded", "/a%0d%0aX-Admin:%201"),
        seen_as_sent("ur-011-overlong-utf8", "/%c0%ae%c0%ae/admin"),
        seen_as_sent("ur-012-unicode-fullwidth", "/%ef%bc%8e%ef%bc%8e/admin"),
        // Patterns are searched for in the path with its escapes resolved.
        forwarded("ur-013-case-percent", "GET /%7euser HTTP/1.1\nhost: a.test").router(
            "tilde",
            "[plugins.tilde]\ncomponent = 'regex-match'\n[[plugins.tilde.config.rules]]\n\
                 match = ['^/~user$', '^/(same|other)$']\ncluster = 'main'",
        ),
    ]
}

fn seen_as_sent(id: &'static str, path: &str) -> Rule {
    forwarded(id, &format!("GET {path} HTTP/1.1\nhost: a.test")).guests(&["waits"]).router(
        "waits",
        &format!(
            "[plugins.waits]\nconfig = {{ store = 'paths' }}\ngrants = {{ stores = ['paths'] }}\n\
                 {UNHURRIED}\n[stores.paths.entries]\n'{path}' = 'main'\n\
                 '/same' = 'main'\n'/other' = 'main'"
        ),
    )
}
