//! The configuration as it is written, and what each part of it may be.

use linkspan_plugin_common::config::Value;
use linkspan_plugin_common::{fields, names};
use serde::Deserialize;

/// What the host writes itself, because it decides where a message ends.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// lighttpd's names for what only its FastCGI and SCGI backends are told.
const OF_GATEWAYS: [&str; 3] = ["_docroot", "_pathinfo", "_scriptname"];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Each a [`Rule`], to be read by itself, so that the faults of all are told at once.
    pub(crate) request: Vec<Value>,
    /// The same for responses.
    pub(crate) response: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) header: String,
    pub(crate) r#match: String,
    pub(crate) to: String,
}

/// What a rule rewrites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Path and query of a request.
    Target,
    /// The Host of a request.
    Host,
    /// Each field of that name, which is in lower case.
    Field(String),
}

impl Subject {
    /// What is meant by a name, in a request or in a response.
    pub(crate) fn parse(name: &str, in_request: bool) -> Result<Self, String> {
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        if in_request && (is(&"_uri") || is(&"uri")) {
            return Ok(Self::Target);
        }
        if in_request && is(&"host") {
            return Ok(Self::Host);
        }
        if OF_GATEWAYS.iter().any(&is) {
            return Err(format!(
                "`{name}` is for FastCGI and SCGI backends, which there are none of, \
                 expected `_uri`, `Host` or the name of a header field"
            ));
        }
        if name.starts_with('_') {
            let expected = if in_request {
                "expected `_uri`, `Host` or the name of a header field"
            } else {
                "expected the name of a header field"
            };
            let known: &[&str] = if in_request { &["_uri"] } else { &[] };
            let meant = names::did_you_mean(&name.to_ascii_lowercase(), known.iter().copied());
            return Err(format!("`{name}` is none of a message's parts, {expected}{meant}"));
        }
        if !fields::is_name(name) {
            return Err(format!(
                "{name:?} is no name of a header field, expected letters, digits and hyphens"
            ));
        }
        if FRAMING.iter().any(&is) {
            return Err(format!(
                "`{name}` belongs to the connection, which the proxy manages itself"
            ));
        }
        Ok(Self::Field(name.to_ascii_lowercase()))
    }

    /// What is wrong with a template, by what can be seen without a value.
    pub(crate) fn check(&self, to: &str) -> Result<(), String> {
        let fits = match self {
            Self::Target => {
                to.starts_with(['/', '$'])
                    && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
            }
            Self::Host => {
                !to.is_empty()
                    && to.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
            }
            Self::Field(_) => fields::is_value(to),
        };
        let expected = match self {
            _ if fits => return Ok(()),
            Self::Target => {
                "can be no target of a request, expected a path that begins with `/` or `$`, \
                 percent-encoded, without `#`"
            }
            Self::Host => "can be no Host, expected `host` or `host:port`",
            Self::Field(_) => {
                "can be no value of a header field, expected no control characters, and no blanks \
                 around it"
            }
        };
        Err(format!("{to:?} {expected}"))
    }
}
