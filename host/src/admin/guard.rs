//! Who may ask: pure functions over a request's head.
//!
//! A listener on a loopback address is reached by every page that a browser on that machine shows.
//! Two checks keep pages out. The Host must be an address or `localhost`, never a name that its
//! owner can point here (DNS rebinding). And a page's requests carry its Origin, which must then be
//! this listener's own.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode};
use sha2::{Digest, Sha256};

use crate::config::Secret;

/// Why a request is refused, in words for whoever sent it.
pub type Wrong = (StatusCode, &'static str);

/// Whether a request was meant for this listener by whoever sent it.
///
/// # Errors
///
/// 400 if that cannot be told, else 403.
pub fn meant<B>(request: &Request<B>) -> Result<(), Wrong> {
    let headers = request.headers();
    let host = only(headers, HOST.as_str())
        .ok_or((StatusCode::BAD_REQUEST, "there must be one Host header"))?;
    // What stands in the request line goes before the header; nobody who is honest differs.
    let named = request.uri().authority().map(Authority::as_str);
    if named.is_some_and(|named| !named.eq_ignore_ascii_case(host)) {
        return Err((StatusCode::BAD_REQUEST, "the request names two hosts"));
    }
    if !is_own(host) {
        let text = "the Host header must be an IP address or `localhost`";
        return Err((StatusCode::FORBIDDEN, text));
    }
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = only(headers, ORIGIN.as_str()).and_then(|origin| origin.strip_prefix("http://"));
    if origin.is_none_or(|origin| !origin.eq_ignore_ascii_case(host)) {
        return Err((StatusCode::FORBIDDEN, "requests of other origins are refused"));
    }
    Ok(())
}

/// Whether whoever sent a request has shown the token.
///
/// # Errors
///
/// 401 if none was shown, 403 if it is wrong, or there is none that would be right.
pub fn authorised(headers: &HeaderMap, token: Option<&Secret>) -> Result<(), Wrong> {
    let Some(token) = token else {
        return Err((StatusCode::FORBIDDEN, "no `token` is configured in [admin]"));
    };
    let shown = headers.get(AUTHORIZATION).ok_or((
        StatusCode::UNAUTHORIZED,
        "this needs the header `Authorization: Bearer TOKEN`, with the token of [admin]",
    ))?;
    let shown = shown.as_bytes().split_at_checked(7).filter(|(scheme, _)| {
        // The scheme is written in any case.
        scheme.eq_ignore_ascii_case(b"bearer ")
    });
    let right = shown.is_some_and(|(_, shown)| {
        // The time that comparing digests takes tells nothing about what was compared.
        Sha256::digest(shown) == Sha256::digest(token.reveal())
    });
    if right { Ok(()) } else { Err((StatusCode::FORBIDDEN, "the token is wrong")) }
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok())
}

fn is_own(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn status(uri: &str, fields: &[(&str, &str)]) -> Option<u16> {
        meant(&request(uri, fields)).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn hosts_are_addresses_or_localhost() {
        for host in ["127.0.0.1:9901", "127.0.0.1", "[::1]:9901", "localhost:1", "LocalHost"] {
            assert_eq!(status("/", &[("host", host)]), None, "{host}");
        }
        assert_eq!(status("/", &[("host", "10.1.2.3:9901")]), None, "where it may be bound");
        let strangers = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9901"];
        for host in strangers.into_iter().chain(["a@127.0.0.1", "0x7f.1", "", "[::1", "::1", "a b"])
        {
            assert_eq!(status("/", &[("host", host)]), Some(403), "{host}");
        }
        assert_eq!(status("/", &[]), Some(400));
        let two = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(status("/", &two), Some(400));
        let stranger = "http://evil.example/";
        assert_eq!(status(stranger, &[("host", "127.0.0.1")]), Some(400));
        assert_eq!(status("http://127.0.0.1/", &[("host", "127.0.0.1")]), None);
    }

    #[test]
    fn an_origin_is_this_listener() {
        let from = |origin| status("/", &[("host", "127.0.0.1:9901"), ("origin", origin)]);
        assert_eq!(from("http://127.0.0.1:9901"), None);
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:3000",
            "http://127.0.0.1",
            "https://127.0.0.1:9901",
            "null",
            "",
        ] {
            assert_eq!(from(origin), Some(403), "{origin}");
        }
    }

    #[test]
    fn the_token_is_compared_as_a_whole() {
        let token = Secret::new("open sesame!".replace(' ', "-").as_str()).unwrap();
        let with = |value: &str| {
            let request = request("/", &[("authorization", value)]);
            authorised(request.headers(), Some(&token)).err().map(|(status, _)| status.as_u16())
        };
        assert_eq!(with("Bearer open-sesame!"), None);
        assert_eq!(with("bearer open-sesame!"), None);
        for wrong in ["", "open-sesame!", "Bearer ", "Bearer open-sesame", "Basic open-sesame!"] {
            assert_eq!(with(wrong), Some(403), "{wrong}");
        }
        let none = authorised(&HeaderMap::new(), Some(&token)).unwrap_err();
        assert_eq!(none.0, StatusCode::UNAUTHORIZED);
        let nobody = authorised(request("/", &[("authorization", "Bearer ")]).headers(), None);
        assert_eq!(nobody.unwrap_err().0, StatusCode::FORBIDDEN);
    }
}
