//! Header rules: what ends at a hop, what an upstream is told about the client, and what a plugin
//! may write. Pure functions over header maps.
//!
//! - What belongs to one connection (RFC 9110, 7.6.1) goes no further: Connection and the fields
//!   that it nominates, Keep-Alive, Proxy-Connection, TE except `trailers` on the way up,
//!   Transfer-Encoding, Upgrade, HTTP2-Settings. So do Proxy-Authorization, Proxy-Authenticate and
//!   Proxy-Authentication-Info: they are between a client and a proxy that it chose, which Linkspan
//!   is not. Trailer stays.
//! - A nomination cannot take away what other parties rely on: Host, framing, credentials, caching
//!   and the forwarding headers are left alone.
//! - What an upstream says to a proxy alone goes, heeded or not: X-Sendfile and its kin, which tell of
//!   paths, X-Accel-*, X-Rewrite-*.
//! - All that upstreams take for a proxy's word on who the client is goes, whether Linkspan then
//!   sends it or not: every X-Forwarded-*, X-Host, X-Real-IP and Forwarded, also spelt with
//!   underscores, which CGI-like upstreams take for hyphens. Of a trusted proxy they stay, in their
//!   proper spelling.
//! - Of a request all other fields with underscores go as well, unless the listener lets them pass:
//!   a Transfer_Encoding must not become what a Transfer-Encoding would be. So do those in trailers.
//!
//! Requests are cleaned before any plugin sees them, so that no plugin believes a client either, and
//! get what Linkspan says when it is known where they go.

mod authority;
mod forwarded;
mod upgrade;

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use smallvec::SmallVec;

use crate::config::{HostHeader, Underscores};

pub use authority::authority;
pub use forwarded::{Forwarding, PSEUDONYM, X_REQUEST_ID, append_via, complete_request};
pub use upgrade::{agrees, offered, switch, upgrade};

/// Whether there is a field of that name. Looking at the names of a usual head costs a fifth of hashing one, which is
/// worth it where a field is seldom there.
#[must_use]
pub fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|other| other == name)
}

/// The most fields that a head may have after plugins added theirs, far below where the map itself
/// would panic.
pub const MAX_FIELDS: usize = 4_096;

/// Removes from a request what ends here and what the client claims about itself. The word of a trusted
/// proxy on its own client stays.
///
/// `TE: trailers` stays: the client can take the upstream's trailers, and Linkspan passes them on.
pub fn clean_request(headers: &mut HeaderMap, trusted: bool, underscores: Underscores) {
    // Whether it has underscores, and may not have them.
    let ambiguous = |name: &str| match underscores {
        Underscores::Drop => true,
        Underscores::Pass => is_reserved(&name.replace('_', "-")),
    };
    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
    let trailers = has(headers, &TE)
        && headers.get_all(TE).iter().any(|value| members(value).any(is_trailers));
    strip(headers, |name| match name.contains('_') {
        true => is_forwarding(name) || ambiguous(name),
        false => ends_at_hop(name) || is_forwarding(name) && !trusted,
    });
    canonical_length(headers);
    if trailers {
        // There is room: the field was there before.
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from a response what ends here, and what an upstream says to a proxy alone.
pub fn clean_response(headers: &mut HeaderMap) {
    strip(headers, |name| ends_at_hop(name) || is_instruction(name));
    canonical_length(headers);
}

/// Removes from an informational response the same, and what tells of a body that it has not (RFC 9110,
/// 8.6), and says whom it has passed, in `version`.
pub fn clean_interim(headers: &mut HeaderMap, version: Version) {
    let tells_of_body = |name: &str| matches!(name, "content-length" | "trailer");
    strip(headers, |name| ends_at_hop(name) || is_instruction(name) || tells_of_body(name));
    // No head that is read has so many fields that there is no room.
    let _ = append_via(headers, version);
}

/// Removes from a response's trailers what may only stand in a head (RFC 9110, 6.5.1), and what an
/// upstream could pass off as a head's, should the recipient merge the two.
pub fn clean_trailers(headers: &mut HeaderMap) {
    strip(headers, is_no_trailer);
}

/// What removes the same from a request's trailers, and names with underscores as from its head.
#[must_use]
pub fn request_trailers(underscores: Underscores) -> fn(&mut HeaderMap) {
    let dropping: fn(&mut HeaderMap) =
        |headers| strip(headers, |name| is_no_trailer(name) || name.contains('_'));
    let passing: fn(&mut HeaderMap) = |headers| {
        strip(headers, |name| is_no_trailer(name) || is_no_trailer(&name.replace('_', "-")));
    };
    match underscores {
        Underscores::Drop => dropping,
        Underscores::Pass => passing,
    }
}

/// The Host for an upstream: what a plugin gave, else what the cluster's rule says. A client that
/// sent none, as HTTP/1.0 allows, leaves the endpoint's.
#[must_use]
pub fn upstream_host<'a>(
    rule: HostHeader,
    given: Option<&'a HeaderValue>,
    sent: Option<&'a HeaderValue>,
    endpoint: &'a HeaderValue,
) -> &'a HeaderValue {
    given.unwrap_or_else(|| match rule {
        HostHeader::Preserve => sent.unwrap_or(endpoint),
        HostHeader::Endpoint => endpoint,
    })
}

/// The value of X-Forwarded-For; made once per connection. Of who has no address it is what RFC 7239 says then.
#[must_use]
pub fn client_address(address: Option<IpAddr>) -> HeaderValue {
    let text = address.map(|address| address.to_canonical().to_string());
    let value = text.and_then(|text| HeaderValue::try_from(text).ok());
    value.unwrap_or_else(|| HeaderValue::from_static("unknown"))
}

/// Replaces all fields of a name.
///
/// # Errors
///
/// [`Fault::TooMany`], when there is no room.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
    has_room(headers)?;
    headers.insert(name, value);
    Ok(())
}

/// Adds a field, after those of the same name.
///
/// # Errors
///
/// [`Fault::TooMany`], when there is no room.
pub fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
    has_room(headers)?;
    headers.append(name, value);
    Ok(())
}

/// The name of a field that a plugin wants to set, append or remove.
///
/// # Errors
///
/// [`Fault::Name`] or [`Fault::Framing`].
pub fn given_name(name: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(Fault::Name)?;
    if is_framing(&name) { Err(Fault::Framing(name)) } else { Ok(name) }
}

/// The value that a plugin gives a field: any bytes but control characters. Surrounding blanks are
/// no part of a value.
///
/// # Errors
///
/// [`Fault::Value`].
pub fn given_value(value: Vec<u8>) -> Result<HeaderValue, Fault> {
    let trimmed = trim(&value);
    if trimmed.len() == value.len() {
        HeaderValue::from_maybe_shared(Bytes::from(value))
    } else {
        HeaderValue::from_bytes(trimmed)
    }
    .map_err(Fault::Value)
}

/// The target of a request to which a plugin gives a path. A path with a question mark brings its
/// own query, one without keeps `query`.
///
/// # Errors
///
/// [`Fault::Path`], unless it starts with a slash and consists of visible ASCII without `#`.
pub fn given_path(path: &str, query: Option<&str>) -> Result<PathAndQuery, Fault> {
    let target = match query {
        Some(query) if !path.contains('?') => format!("{path}?{query}"),
        _ => path.to_owned(),
    };
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    // The library counts in 16 bits.
    if !path.starts_with('/') || !visible || target.len() >= usize::from(u16::MAX) {
        return Err(Fault::Path);
    }
    PathAndQuery::try_from(target).ok().ok_or(Fault::Path)
}

/// The Host that a plugin gives a request: `host` or `host:port`.
///
/// # Errors
///
/// [`Fault::Host`], when it is not that, or has user information.
pub fn given_host(host: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(authority(host).ok_or(Fault::Host)?).map_err(Fault::Value)
}

/// Why a header, path or host was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not a field name.
    #[error("not a header name")]
    Name(#[source] http::header::InvalidHeaderName),
    /// A control character in a value.
    #[error("a header value with a control character")]
    Value(#[source] http::header::InvalidHeaderValue),
    /// A field that only the host writes.
    #[error("{0} is written by the host alone")]
    Framing(HeaderName),
    /// No room for another field.
    #[error("more than {MAX_FIELDS} header fields")]
    TooMany,
    /// Not a path.
    #[error("not a path of visible ASCII that starts with a slash")]
    Path,
    /// Not a host.
    #[error("not a host or host:port")]
    Host,
}

/// Removes the fields that `doomed` names and those that Connection nominates. Without any, it
/// allocates nothing.
fn strip(headers: &mut HeaderMap, doomed: impl Fn(&str) -> bool) {
    let mut names: SmallVec<[HeaderName; 8]> = SmallVec::new();
    let mut nominates = false;
    for name in headers.keys() {
        nominates |= name == CONNECTION;
        if doomed(name.as_str()) {
            names.push(name.clone());
        }
    }
    let lines = nominates.then(|| headers.get_all(CONNECTION).iter());
    for value in lines.into_iter().flatten() {
        for option in members(value).filter(|option| !is_plain_option(option)) {
            if let Ok(name) = HeaderName::from_bytes(option)
                && may_be_nominated(name.as_str())
                && headers.contains_key(&name)
            {
                names.push(name);
            }
        }
    }
    for name in names {
        headers.remove(name);
    }
}

/// The members of a comma-separated list.
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let members = value.as_bytes().split(|byte| *byte == b',').map(trim);
    members.filter(|member| !member.is_empty())
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// Options that every other message carries and that name no field, or one that goes anyway.
fn is_plain_option(option: &[u8]) -> bool {
    [&b"keep-alive"[..], b"close", b"upgrade", b"te"]
        .iter()
        .any(|plain| option.eq_ignore_ascii_case(plain))
}

fn ends_at_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Writes a length that begins with zeros as everyone reads it: some take `010` for eight.
fn canonical_length(headers: &mut HeaderMap) {
    let zeros = |length: &&HeaderValue| length.len() > 1 && length.as_bytes().starts_with(b"0");
    let length = headers.get(CONTENT_LENGTH).filter(zeros).and_then(|value| value.to_str().ok());
    if let Some(length) = length.and_then(|text| text.parse::<u64>().ok()) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// What no other spelling may stand for: framing, and whom a request is for.
fn is_reserved(name: &str) -> bool {
    ends_at_hop(name) || matches!(name, "content-length" | "host")
}

/// What only the host writes, in the words of the plugin contract.
fn is_framing(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a sender may declare a field to be for the next hop only. Not those that are meant for
/// all recipients: stripping them would make the recipient see another message.
fn may_be_nominated(name: &str) -> bool {
    !is_head_only(name) && !is_forwarding(name)
}

/// Whether it has no place in trailers. The id of a request is a trusted proxy's to give, in its head.
fn is_no_trailer(name: &str) -> bool {
    ends_at_hop(name)
        || is_forwarding(name)
        || is_head_only(name)
        || is_instruction(name)
        || name == X_REQUEST_ID
}

/// Framing, routing, authentication, controls and what says how to read the content.
fn is_head_only(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "date"
            | "expect"
            | "expires"
            | "host"
            | "location"
            | "max-forwards"
            | "pragma"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "trailer"
            | "vary"
            | "via"
            | "warning"
            | "www-authenticate"
    ) || name.starts_with("if-")
}

/// Whether it tells a proxy what to do with a response: lighttpd's, Apache's and nginx's.
fn is_instruction(name: &str) -> bool {
    matches!(
        name,
        "x-sendfile"
            | "x-sendfile2"
            | "x-sendfile-temporary"
            | "x-lighttpd-send-file"
            | "x-lighttpd-send-file2"
            | "x-lighttpd-send-tempfile"
    ) || name.starts_with("x-accel-")
        || name.starts_with("x-rewrite-")
}

/// Whether upstreams take it for a proxy's word on the client.
fn is_forwarding(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    if !name.starts_with(['x', 'f']) {
        return false;
    }
    let like = |known: &str| {
        let pairs = name.bytes().zip(known.bytes());
        name.len() >= known.len()
            && pairs.into_iter().all(|(byte, known)| byte == known || (byte, known) == (b'_', b'-'))
    };
    let is = |known: &str| name.len() == known.len() && like(known);
    like(PREFIX) || is("forwarded") || is("x-forwarded") || is("x-host") || is("x-real-ip")
}

fn has_room(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.len() < MAX_FIELDS { Ok(()) } else { Err(Fault::TooMany) }
}

#[cfg(test)]
mod tests;
