//! Whether a request is one that can be relayed without being understood differently by whoever
//! gets it next (RFC 9112, 3.2 and 6.3; RFC 9110, 7.2). Pure.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri, Version, request};

use crate::relay::error::Error;

/// Checks a request's head and brings its target into origin form. Gives the authority that the
/// client addressed, which is empty if an HTTP/1.0 client named none.
///
/// # Errors
///
/// [`Error::BadRequest`] or [`Error::Method`].
pub(super) fn vet(parts: &mut request::Parts) -> Result<Box<str>, Error> {
    if !matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
        return Err(Error::BadRequest("version"));
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Error::Method);
    }
    let both = [TRANSFER_ENCODING, CONTENT_LENGTH].iter().all(|n| parts.headers.contains_key(n));
    if both {
        return Err(Error::BadRequest("Content-Length with Transfer-Encoding"));
    }
    if parts.version == Version::HTTP_10 && parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Error::BadRequest("Transfer-Encoding in HTTP/1.0"));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        (None, _) if parts.version == Version::HTTP_10 => None,
        (None, _) => return Err(Error::BadRequest("no Host")),
        (Some(_), Some(_)) => return Err(Error::BadRequest("several Hosts")),
    };
    let host = host.map(|host| std::str::from_utf8(host.as_bytes())).transpose();
    let host = host.map_err(|_invalid| Error::BadRequest("Host"))?.unwrap_or_default();
    if !host.is_empty() {
        valid(host)?;
    }
    let host: Box<str> = host.into();
    target(parts, host)
}

/// Whether a text names a host, with or without a port.
fn valid(host: &str) -> Result<(), Error> {
    let plain = host.parse::<Authority>().ok().filter(|_| !host.contains('@'));
    let port = |authority: &Authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        port.is_empty() || authority.port_u16().is_some()
    };
    match plain {
        Some(authority) if !authority.host().is_empty() && port(&authority) => Ok(()),
        _ => Err(Error::BadRequest("Host")),
    }
}

fn target(parts: &mut request::Parts, host: Box<str>) -> Result<Box<str>, Error> {
    let uri = &parts.uri;
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path() == "*" && parts.method != Method::OPTIONS => {
            Err(Error::BadRequest("target"))
        }
        (None, None) => Ok(host),
        // Absolute form: what it says goes before Host (RFC 9112, 3.2.2).
        (Some("http" | "https"), Some(authority)) => {
            valid(authority.as_str())?;
            let authority: Box<str> = authority.as_str().into();
            let path = uri.path_and_query().cloned();
            parts.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
            if let Ok(value) = authority.parse() {
                parts.headers.insert(HOST, value);
            }
            Ok(authority)
        }
        _ => Err(Error::BadRequest("target")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn vetted(uri: &str, hosts: &[&'static str]) -> Result<(String, String, usize), Error> {
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_static(host));
        }
        let mut parts = request.into_parts().0;
        let authority = vet(&mut parts)?;
        Ok((
            authority.to_string(),
            parts.uri.to_string(),
            parts.headers.get_all(HOST).iter().count(),
        ))
    }

    #[test]
    fn one_valid_host_is_wanted() {
        assert_eq!(vetted("/a?b", &["a.test:80"]).unwrap().0, "a.test:80");
        assert_eq!(vetted("/", &["[::1]:80"]).unwrap().0, "[::1]:80");
        for hosts in
            [&[][..], &["a", "a"], &["a@b"], &["a b"], &["a:b"], &["a:99999"], &["a/b"], &["a:"]]
        {
            assert!(vetted("/", hosts).is_err(), "{hosts:?}");
        }
    }

    #[test]
    fn absolute_form_goes_before_host() {
        let expected = ("b.test".to_owned(), "/p?q".to_owned(), 1);
        assert_eq!(vetted("http://b.test/p?q", &["a.test"]).unwrap(), expected);
        assert!(vetted("ftp://b.test/", &["a.test"]).is_err());
        assert!(vetted("http://u@b.test/", &["a.test"]).is_err());
    }

    #[test]
    fn framing_that_can_be_read_two_ways_is_refused() {
        let mut request = Request::builder().uri("/").header(HOST, "a").body(()).unwrap();
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("1"));
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        assert!(vet(&mut request.into_parts().0).is_err());
    }
}
