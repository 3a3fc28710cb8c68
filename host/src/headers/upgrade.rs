//! Switching to another protocol (RFC 9110, 7.8): who asks for it, for which, and who agrees.

use bytes::Bytes;
use http::header::{CONNECTION, TE, UPGRADE};
use http::{HeaderMap, HeaderValue, Version, request};

use super::{Fault, has, members, set};

/// The protocols that a client would switch to: of Upgrade, if Connection nominates it (RFC 9110, 7.8).
/// Several fields count as the first; whoever switches by them is told to one.
#[must_use]
pub fn upgrade(request: &request::Parts) -> Option<HeaderValue> {
    if !has(&request.headers, &UPGRADE) {
        return None;
    }
    let value = request.headers.get(UPGRADE)?;
    let mut nominated = request.headers.get_all(CONNECTION).iter().flat_map(members);
    let nominated = nominated.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    (nominated && request.version >= Version::HTTP_11).then(|| value.clone())
}

/// What of an Upgrade an upstream is offered. Not what would carry requests past routers and rewriters:
/// other versions of HTTP, and TLS.
#[must_use]
pub fn offered(upgrade: &HeaderValue) -> Option<HeaderValue> {
    let offered: Vec<_> = members(upgrade).filter(|protocol| !hides_requests(protocol)).collect();
    if offered.is_empty() {
        return None;
    }
    HeaderValue::from_maybe_shared(Bytes::from(offered.join(&b", "[..]))).ok()
}

/// Whether an upstream has chosen among what it was offered, and nothing else.
#[must_use]
pub fn agrees(offered: &HeaderValue, chosen: Option<&HeaderValue>) -> bool {
    let is_offered =
        |protocol: &[u8]| members(offered).any(|offered| offered.eq_ignore_ascii_case(protocol));
    chosen.is_some_and(|chosen| {
        let mut chosen = members(chosen).peekable();
        chosen.peek().is_some() && chosen.all(is_offered)
    })
}

fn hides_requests(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"http"[..], b"h2", b"h2c", b"h3", b"tls"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Writes that the protocol changes, or is to change.
///
/// # Errors
///
/// [`Fault::TooMany`], when there is no room.
pub fn switch(headers: &mut HeaderMap, protocol: HeaderValue) -> Result<(), Fault> {
    let te = headers.contains_key(TE);
    let nominated = HeaderValue::from_static(if te { "te, upgrade" } else { "upgrade" });
    set(headers, CONNECTION, nominated)?;
    set(headers, UPGRADE, protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::tests::map;

    #[test]
    fn only_an_upgrade_that_is_nominated_is_one() {
        let mut request = http::Request::new(()).into_parts().0;
        let mut upgraded = |fields: &[(&str, &str)]| {
            request.headers = map(fields);
            upgrade(&request).map(|value| value.to_str().unwrap().to_owned())
        };
        let asked = ("upgrade", "websocket");
        assert_eq!(upgraded(&[asked, ("connection", "keep-alive, Upgrade")]).unwrap(), "websocket");
        assert_eq!(upgraded(&[asked]), None);
        assert_eq!(upgraded(&[asked, ("connection", "keep-alive")]), None);
        assert_eq!(upgraded(&[("connection", "upgrade")]), None);
        request.version = Version::HTTP_10;
        request.headers = map(&[asked, ("connection", "upgrade")]);
        assert_eq!(upgrade(&request), None);
    }

    #[test]
    fn upstreams_are_offered_no_protocol_that_hides_requests() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        for (asked, expected) in [
            ("websocket", Some("websocket")),
            ("h2c", None),
            ("H2C, websocket", Some("websocket")),
            ("HTTP/3.0 , TLS/1.0", None),
            ("foo/2, bar", Some("foo/2, bar")),
            (",", None),
        ] {
            assert_eq!(offered(&value(asked)), expected.map(value), "{asked:?}");
        }
        let offer = value("websocket, foo/2");
        assert!(agrees(&offer, Some(&value("WebSocket"))) && agrees(&offer, Some(&value("foo/2"))));
        for chosen in ["h2c", "foo", "websocket, h2c", ""] {
            assert!(!agrees(&offer, Some(&value(chosen))), "{chosen:?}");
        }
        assert!(!agrees(&offer, None));
    }
}
