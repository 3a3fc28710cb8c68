//! Heads between HTTP/1's form and HTTP/2's (RFC 9113, 8.2 and 8.3). Pure.
//!
//! h2 has seen to it that names are tokens in lower case, that values have no controls, that nothing belongs to
//! a connection, and that Content-Length is a number that the data agrees with. What is left is judged here:
//! sizes, repetitions, blanks around values.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, request};

use crate::wire::{Fault, Limits};

/// What belongs to a connection of HTTP/1.
const OF_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// The most bytes of trailers, as of HTTP/1.
const TRAILER_BYTES: usize = 16 << 10;

/// A request in HTTP/2's form: the Host becomes its authority, and what belongs to a connection goes, TE except
/// `trailers` included.
pub(super) fn request(head: request::Parts, secure: bool) -> Request<()> {
    let request::Parts { method, uri, mut headers, .. } = head;
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    let target = uri.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let whole = whole(headers.get(HOST), &target, secure);
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = match whole {
        Some(whole) => {
            headers.remove(HOST);
            whole
        }
        None => {
            // h2 sends no authority then, and the Host as it is.
            *request.version_mut() = Version::HTTP_11;
            Uri::from(target)
        }
    };
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

fn whole(host: Option<&HeaderValue>, target: &PathAndQuery, secure: bool) -> Option<Uri> {
    let authority = Authority::try_from(host?.as_bytes()).ok()?;
    let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(authority);
    uri.path_and_query(target.clone()).build().ok()
}

/// Judges the head of a response. What it would be in HTTP/1 counts for its size.
pub(super) fn judge(headers: &HeaderMap, limits: &Limits) -> Result<(), Fault> {
    const STATUS_LINE: usize = "HTTP/1.1 200 OK\r\n".len();
    if headers.len() > limits.fields {
        return Err(Fault::Fields);
    }
    if STATUS_LINE + bytes(headers) + "\r\n".len() > limits.head_bytes {
        return Err(Fault::HeadBytes);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| self::length(length).is_none()) {
        return Err(Fault::LengthTooLarge);
    }
    if lengths.next().is_some() {
        return Err(Fault::Lengths);
    }
    values(headers)
}

/// Judges trailers.
pub(super) fn judge_trailers(headers: &HeaderMap, limits: &Limits) -> Result<(), Fault> {
    if headers.len() > limits.fields || bytes(headers) >= TRAILER_BYTES {
        return Err(Fault::Trailers);
    }
    values(headers)
}

/// How long a body is said to be.
pub(super) fn length(value: &HeaderValue) -> Option<u64> {
    let length = value.to_str().ok()?.parse::<i64>().ok()?;
    u64::try_from(length).ok()
}

fn bytes(headers: &HeaderMap) -> usize {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + ": ".len() + value.len() + "\r\n".len()
    };
    headers.iter().map(line).sum()
}

fn values(headers: &HeaderMap) -> Result<(), Fault> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let surrounded = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        is_blank(bytes.first()) || is_blank(bytes.last())
    };
    if headers.values().any(surrounded) { Err(Fault::Blanks) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(uri: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().method("OPTIONS").uri(uri).body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        super::request(request.into_parts().0, false)
    }

    #[test]
    fn a_host_becomes_the_authority_and_fields_of_the_connection_go() {
        let request = sent(
            "/a?b",
            &[
                ("host", "one.example:81"),
                ("connection", "te, upgrade"),
                ("te", "trailers"),
                ("upgrade", "websocket"),
                ("transfer-encoding", "chunked"),
                ("proxy-connection", "keep-alive"),
                ("keep-alive", "timeout=5"),
                ("cookie", "a=b; c=d"),
                ("content-length", "5"),
            ],
        );
        assert_eq!(request.uri(), "http://one.example:81/a?b");
        assert_eq!(request.version(), Version::HTTP_2);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        for (name, value) in [("te", "trailers"), ("cookie", "a=b; c=d"), ("content-length", "5")] {
            assert_eq!(request.headers()[name], value);
        }
        assert!(sent("/", &[("host", "a"), ("te", "gzip")]).headers().is_empty());
    }

    #[test]
    fn a_request_has_whatever_target_it_had() {
        assert_eq!(sent("*", &[("host", "a")]).uri().path(), "*");
        let without = sent("/a", &[]);
        assert_eq!((without.uri().to_string(), without.version()), ("/a".into(), Version::HTTP_11));
        let odd = sent("/a", &[("host", "a b")]);
        assert_eq!(
            (odd.uri().to_string(), &odd.headers()["host"]),
            ("/a".into(), &"a b".parse().unwrap())
        );
    }

    #[test]
    fn heads_are_judged_as_those_of_http_1_are() {
        let limits = Limits { head_bytes: 60, fields: 3, target_bytes: 0 };
        let judged = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            judge(&headers, &limits)
        };
        assert_eq!(judged(&[("a", "b"), ("c", "d"), ("e", "f")]), Ok(()));
        assert_eq!(judged(&[("a", "b"), ("c", "d"), ("e", "f"), ("e", "g")]), Err(Fault::Fields));
        assert_eq!(
            judged(&[("a", "0123456789012345678901234567890123456789")]),
            Err(Fault::HeadBytes)
        );
        assert_eq!(judged(&[("a", " b")]), Err(Fault::Blanks));
        assert_eq!(judged(&[("a", "b\t")]), Err(Fault::Blanks));
        assert_eq!(
            judged(&[("content-length", "5"), ("content-length", "5")]),
            Err(Fault::Lengths)
        );
        assert_eq!(
            judged(&[("content-length", "9223372036854775808")]),
            Err(Fault::LengthTooLarge)
        );
        assert_eq!(judged(&[("content-length", "9223372036854775807")]), Ok(()));
    }
}
