//! What a head of HTTP/2 has to be beyond what the library looks at, and what becomes of it. Pure.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, request};

use crate::wire::{Fault, Limits};

/// The longest method, as with HTTP/1.
const METHOD_BYTES: usize = 64;

/// What a field takes of a head of HTTP/1 beside its name and value.
const FIELD_BYTES: usize = 4;

/// What is wrong with a head that is understood: its size, or what it says about its body.
pub(super) fn fault(parts: &request::Parts, limits: &Limits) -> Option<Fault> {
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if parts.method.as_str().len() > METHOD_BYTES {
        return Some(Fault::MethodBytes);
    }
    if target.len() > limits.target_bytes {
        return Some(Fault::TargetBytes);
    }
    let headers = &parts.headers;
    if headers.len() > limits.fields {
        return Some(Fault::Fields);
    }
    let field = |(name, value): (&http::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_BYTES
    };
    let bytes = headers.iter().map(field).sum::<usize>() + target.len();
    if bytes > limits.head_bytes {
        return Some(Fault::HeadBytes);
    }
    if headers.values().any(|value| value.as_bytes().trim_ascii().len() < value.len()) {
        return Some(Fault::Blanks);
    }
    length(headers)
}

/// What is wrong with a Content-Length: what is wrong with it in HTTP/1.
fn length(headers: &HeaderMap) -> Option<Fault> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.as_bytes();
    if lengths.next().is_some() {
        return Some(Fault::Lengths);
    }
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Some(Fault::Length);
    }
    let number = std::str::from_utf8(length).ok().and_then(|text| text.parse::<i64>().ok());
    number.is_none().then_some(Fault::LengthTooLarge)
}

/// Joins the crumbs of a cookie (RFC 9113, 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if (crumbs.next(), crumbs.next()).1.is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..])));
    // Of valid parts the whole is valid.
    if let Ok(joined) = joined {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const LIMITS: Limits = Limits { head_bytes: 8 << 10, fields: 20, target_bytes: 1_000 };

    fn parts(uri: &str, fields: &[(&'static str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn heads_are_held_to_what_holds_for_http1() {
        let of = |uri: &str, fields: &[(&'static str, &str)]| fault(&parts(uri, fields), &LIMITS);
        assert_eq!(of("http://a/b?c", &[("x", "y"), ("content-length", "5")]), None);
        assert_eq!(of(&format!("http://a/{}", "b".repeat(1_000)), &[]), Some(Fault::TargetBytes));
        assert_eq!(of("/", &[("x", "y"); 21]), Some(Fault::Fields));
        assert_eq!(of("/", &[("x", &"y".repeat(8 << 10))]), Some(Fault::HeadBytes));
        for blank in [" x", "x ", "\tx", "x\t"] {
            assert_eq!(of("/", &[("x", blank)]), Some(Fault::Blanks), "{blank:?}");
        }
        for (length, expected) in [
            ("", Fault::Length),
            ("+5", Fault::Length),
            ("5,5", Fault::Length),
            ("9223372036854775808", Fault::LengthTooLarge),
        ] {
            assert_eq!(of("/", &[("content-length", length)]), Some(expected), "{length:?}");
        }
        let twice = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(of("/", &twice), Some(Fault::Lengths));
    }

    #[test]
    fn crumbs_become_a_cookie() {
        let joined = |crumbs: &[&str]| {
            let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
            let mut headers = parts("/", &fields).headers;
            join_cookies(&mut headers);
            let all =
                headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap().to_owned());
            all.collect::<Vec<_>>()
        };
        assert_eq!(joined(&[]), Vec::<String>::new());
        assert_eq!(joined(&["a=1; b=2"]), ["a=1; b=2"]);
        assert_eq!(joined(&["a=1", "b=2", "c=3"]), ["a=1; b=2; c=3"]);
    }
}
