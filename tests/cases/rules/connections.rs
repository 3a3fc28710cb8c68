//! What comes when on a connection. Those that need more than bytes are stories.

use super::{Adds, Rule, Step, forwarded};

/// Their rules.
pub(super) fn rules() -> Vec<Rule> {
    let plain = "GET / HTTP/1.1\nhost: a.test";
    vec![
        forwarded("cn-001-pipeline-3", "GET /1 HTTP/1.1\nhost: a.test")
            .slow("/1")
            .then("GET /2 HTTP/1.1\nhost: a.test")
            .then("GET /3 HTTP/1.1\nhost: a.test"),
        forwarded("cn-002-pipeline-bad-second", "GET /1 HTTP/1.1\nhost: a.test")
            .then_refused(400)
            .reason("syntax"),
        forwarded("cn-003-10-default-close", plain).adds(Adds::Of10 { host: true }).closes(),
        forwarded("cn-004-10-keepalive", plain).adds(Adds::Of10 { host: true }),
        // The second is a request like any other, and routers see it.
        Rule {
            steps: vec![
                forwarded("", "GET /ws HTTP/1.1").adds(Adds::Unsaid).steps.remove(0),
                Step::Answered(403),
            ],
            ..forwarded("cn-008-upgrade-refused", "")
        }
        .router(
            "guard",
            "[plugins.guard]\ncomponent = 'regex-match'\n[[plugins.guard.config.rules]]\n\
             match = ['^/admin']\nrespond = { status = 403, body = 'not for you' }\n\
             [[plugins.guard.config.rules]]\nmatch = ['^/']\ncluster = 'main'",
        ),
        forwarded("cn-010-upgrade-with-body", "POST /ws HTTP/1.1").adds(Adds::Unsaid).body("hello"),
    ]
}
