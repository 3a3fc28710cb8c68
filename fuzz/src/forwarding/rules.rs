//! The rules of `linkspan::headers`, written down once more.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};

const HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

const HEADS: [&str; 21] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "warning",
    "www-authenticate",
];

/// Belongs to one connection, or to a client and the proxy that it chose.
pub(super) fn ends_at_hop(name: &str) -> bool {
    HOP.contains(&name)
}

/// Is framing, or whom a request is for, to whoever takes underscores for hyphens.
pub(super) fn is_like_framing(name: &str) -> bool {
    let name = name.replace('_', "-");
    ends_at_hop(&name) || ["content-length", "host"].contains(&&*name)
}

/// A length without the zeros before it, if it has some.
pub(super) fn canonical(length: &HeaderValue) -> Option<String> {
    let text = length.to_str().ok().filter(|text| text.len() > 1 && text.starts_with('0'))?;
    text.parse::<u64>().ok().map(|length| length.to_string())
}

/// Makes no sense in trailers (RFC 9110, 6.5.1).
pub(super) fn is_for_heads(name: &str) -> bool {
    HEADS.contains(&name) || name.starts_with("if-")
}

/// Tells a proxy what to do with a response.
pub(super) fn is_instruction(name: &str) -> bool {
    ["x-accel-", "x-rewrite-"].iter().any(|prefix| name.starts_with(prefix))
        || matches!(name, "x-sendfile" | "x-sendfile2" | "x-sendfile-temporary")
        || matches!(name, "x-lighttpd-send-file" | "x-lighttpd-send-file2")
        || name == "x-lighttpd-send-tempfile"
}

/// Is taken for a proxy's word on its client, also where underscores count as hyphens.
pub(super) fn is_forwarding(name: &str) -> bool {
    let name = name.replace('_', "-");
    name.starts_with("x-forwarded-")
        || ["forwarded", "x-forwarded", "x-host", "x-real-ip"].contains(&&*name)
}

/// Whether Connection takes this field away.
pub(super) fn nominates(headers: &HeaderMap, name: &HeaderName) -> bool {
    let text = name.as_str();
    let stays =
        is_for_heads(text) || is_forwarding(text) || ["date", "via", "close"].contains(&text);
    !stays
        && members(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case(text.as_bytes()))
}

/// The members of all the lists of a name.
pub(super) fn members<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).into_iter().flat_map(listed)
}

/// The members of a list.
pub(super) fn listed(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let members = value.as_bytes().split(|byte| *byte == b',');
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a protocol is one of HTTP or TLS, in whichever version.
pub(super) fn carries_requests(protocol: &[u8]) -> bool {
    let text = protocol.to_ascii_lowercase();
    ["http", "h2", "h2c", "h3", "tls"].iter().any(|name| {
        text.strip_prefix(name.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    })
}
