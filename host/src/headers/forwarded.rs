//! What an upstream is told about the client and the request: X-Forwarded-*, X-Host, X-Request-Id
//! and Via.

use bytes::Bytes;
use http::header::{CONNECTION, TE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::{Fault, append, has, set};
use crate::config::ForwardedHeaders;
use crate::log::id::RequestId;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_HOST: HeaderName = HeaderName::from_static("x-host");

/// What Linkspan calls itself in Via.
pub const PSEUDONYM: &str = "linkspan";

/// Where a request's id stands, towards upstreams and from trusted clients.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is given on its way up.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// The forwarding headers that the cluster asks for.
    pub enabled: ForwardedHeaders,
    /// The client's address, as [`client_address`](super::client_address) writes it.
    pub client: &'a HeaderValue,
    /// `http` or `https`.
    pub scheme: &'a HeaderValue,
    /// The Host that the client sent.
    pub sent_host: Option<&'a HeaderValue>,
    /// The request's id.
    pub id: &'a RequestId,
    /// The version that the client speaks.
    pub version: Version,
}

/// Completes a cleaned request for its upstream. Once per request: an attempt at another endpoint
/// needs only [`set`] with its Host. What cleaning has left of a trusted proxy's word stays, and
/// its address joins those in X-Forwarded-For.
///
/// # Errors
///
/// [`Fault::TooMany`], when there is no room.
pub fn complete_request(headers: &mut HeaderMap, with: &Forwarding<'_>) -> Result<(), Fault> {
    let forwarded = [
        (with.enabled.x_forwarded_for, X_FORWARDED_FOR, Some(with.client)),
        (with.enabled.x_forwarded_proto, X_FORWARDED_PROTO, Some(with.scheme)),
        (with.enabled.x_forwarded_host, X_FORWARDED_HOST, with.sent_host),
        (with.enabled.x_host, X_HOST, with.sent_host),
    ];
    for (enabled, name, value) in forwarded {
        let told = has(headers, &name);
        match value {
            _ if !enabled && told => {
                headers.remove(name);
            }
            Some(client) if enabled && told && name == X_FORWARDED_FOR => {
                let all = joined(headers, &name, client);
                set(headers, name, all)?;
            }
            Some(value) if enabled && !told => set(headers, name, value.clone())?,
            _ => {}
        }
    }
    if with.enabled.x_request_id {
        // Hardly a listener lets such names pass.
        if headers.keys().any(|name| name.as_str().contains('_')) {
            for alias in ["x_request_id", "x-request_id", "x_request-id"] {
                headers.remove(alias);
            }
        }
        set(headers, X_REQUEST_ID, with.id.header())?;
    }
    if has(headers, &TE) {
        set(headers, CONNECTION, HeaderValue::from_static("te"))?;
    }
    append_via(headers, with.version)
}

/// All values of a name and one more, as one.
fn joined(headers: &HeaderMap, name: &HeaderName, last: &HeaderValue) -> HeaderValue {
    let values = headers.get_all(name).iter().chain([last]).map(HeaderValue::as_bytes);
    let all: Vec<&[u8]> = values.filter(|value| !value.trim_ascii().is_empty()).collect();
    HeaderValue::from_maybe_shared(Bytes::from(all.join(&b", "[..])))
        .unwrap_or_else(|_of_valid_parts| last.clone())
}

/// Adds Linkspan to Via: `version` is that of the message that was received.
///
/// # Errors
///
/// [`Fault::TooMany`], when there is no room.
pub fn append_via(headers: &mut HeaderMap, version: Version) -> Result<(), Fault> {
    let via = match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 linkspan",
        Version::HTTP_2 => "2 linkspan",
        Version::HTTP_3 => "3 linkspan",
        _ => "1.1 linkspan",
    };
    append(headers, VIA, HeaderValue::from_static(via))
}
