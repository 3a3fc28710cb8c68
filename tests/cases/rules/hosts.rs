//! The Host of a request.

use super::{Adds, Rule, forwarded, refused};

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        refused("ho-005-host-path", 400),
        refused("ho-006-host-userinfo", 400),
        refused("ho-007-host-bad-port", 400),
        refused("ho-009-host-nul", 400).reason("syntax"),
        // Hosts are compared without regard to case and a dot at the end; upstreams get the bytes.
        forwarded("ho-010-host-case-dot", "GET / HTTP/1.1\nhost: A.TEST.")
            .router("host", "[plugins.host.config]\nhosts = { 'a.test' = 'main' }"),
        forwarded("ho-012-host-10-optional", "GET / HTTP/1.1\nhost: {upstream}")
            .adds(Adds::Of10 { host: false })
            .closes(),
    ]
}
