//! Whether a request is one that can be relayed without being understood differently by whoever
//! gets it next, as far as that shows in its head once it is read (RFC 9112, 3.2; RFC 9110, 7.2).
//! Pure.

use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri, Version, request};

use crate::headers;
use crate::relay::error::Error;
use crate::wire::is_path;

/// Whom a client addressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Addressed {
    /// Empty if an HTTP/1.0 client named none.
    pub(super) authority: Box<str>,
    /// Scheme and authority of a target in absolute form.
    pub(super) target_origin: Option<Box<str>>,
    /// The Host field, where the target's authority took its place.
    pub(super) asked_host: Option<Box<str>>,
}

/// Checks a request's head and brings its target into origin form.
///
/// # Errors
///
/// [`Error::BadRequest`] or [`Error::Method`].
pub(super) fn vet(parts: &mut request::Parts) -> Result<Addressed, Error> {
    if !matches!(parts.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(Error::BadRequest("a version other than HTTP/1.0, HTTP/1.1 and HTTP/2"));
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Error::Method);
    }
    if parts.version == Version::HTTP_2 {
        plain(parts)?;
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        (None, _) if parts.version == Version::HTTP_10 => None,
        (None, _) => return Err(Error::BadRequest("there is no Host")),
        (Some(_), Some(_)) => return Err(Error::BadRequest("there are several Hosts")),
    };
    let (written, named) = match host {
        Some(host) if !host.is_empty() => {
            let text = std::str::from_utf8(host.as_bytes());
            (host.len(), host_in(text.unwrap_or_default(), "Host is not a host")?)
        }
        _ => (0, Box::default()),
    };
    if named.len() < written {
        address(parts, &named);
    }
    target(parts, named)
}

/// Brings a request of HTTP/2 into the form that most of HTTP/1 have (RFC 9113, 8.3.1): a path, and a
/// Host.
fn plain(parts: &mut request::Parts) -> Result<(), Error> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    if uri.scheme.is_some_and(|scheme| scheme != Scheme::HTTP && scheme != Scheme::HTTPS) {
        return Err(Error::BadRequest("its scheme is neither http nor https"));
    }
    if let Some(authority) = uri.authority {
        let differs = |host: &HeaderValue| {
            !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        };
        if parts.headers.get_all(HOST).iter().any(differs) {
            return Err(Error::BadRequest("its Host differs from its :authority"));
        }
        address(parts, authority.as_str());
    }
    let path = uri.path_and_query.filter(|path| is_path(path.as_str()) || path == "*");
    parts.uri = path.ok_or(Error::BadRequest("its :path is neither a path nor *"))?.into();
    Ok(())
}

/// The host that a text names, with or without a port.
fn host_in(text: &str, otherwise: &'static str) -> Result<Box<str>, Error> {
    headers::authority(text).map(Box::from).ok_or(Error::BadRequest(otherwise))
}

/// Writes the Host.
fn address(parts: &mut request::Parts, host: &str) {
    if let Ok(value) = HeaderValue::from_str(host) {
        parts.headers.insert(HOST, value);
    }
}

fn target(parts: &mut request::Parts, host: Box<str>) -> Result<Addressed, Error> {
    let uri = &parts.uri;
    if !well_escaped(uri.path()) {
        return Err(Error::BadRequest("its path has a % that begins no escape"));
    }
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path() == "*" && parts.method != Method::OPTIONS => {
            Err(Error::BadRequest("its target is none that is relayed"))
        }
        (None, None) => Ok(Addressed { authority: host, target_origin: None, asked_host: None }),
        // Absolute form: what it says goes before Host (RFC 9112, 3.2.2).
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            let authority = host_in(authority.as_str(), "its target names no host")?;
            let target_origin = Some(format!("{scheme}://{authority}").into());
            let path = uri.path_and_query().cloned();
            // The server as a whole is asked for without a path (RFC 9112, 3.2.4). The library shows a
            // slash there, and so cannot tell one that was sent: what must become `*` goes first.
            let whole = parts.method == Method::OPTIONS && path.as_ref().is_none_or(|p| p == "/");
            let rest = if whole { None } else { path };
            let none = if whole { "*" } else { "/" };
            parts.uri = Uri::from(rest.unwrap_or_else(|| PathAndQuery::from_static(none)));
            address(parts, &authority);
            Ok(Addressed { authority, target_origin, asked_host: Some(host) })
        }
        _ => Err(Error::BadRequest("its target is none that is relayed")),
    }
}

/// Whether two hexadecimal digits follow every `%`. Upstreams differ in what they make of others. The
/// query is not looked at: forms and browsers leave a `%` there as it is, and nobody routes by it.
fn well_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        digit() && digit()
    })
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
        let addressed = vet(&mut parts)?;
        let origin = addressed.target_origin.as_deref().unwrap_or_default();
        assert!(origin.is_empty() || origin == format!("http://{}", addressed.authority));
        assert_eq!(origin.is_empty(), uri.starts_with('/'));
        Ok((
            addressed.authority.to_string(),
            parts.uri.to_string(),
            parts.headers.get_all(HOST).iter().count(),
        ))
    }

    #[test]
    fn one_valid_host_is_wanted() {
        assert_eq!(vetted("/a?b", &["a.test:80"]).unwrap().0, "a.test:80");
        assert_eq!(vetted("/", &["[::1]:80"]).unwrap().0, "[::1]:80");
        for hosts in [&[][..], &["a", "a"], &["a@b"], &["a:b"], &["a:99999"], &["a:+80"], &["[zz]"]]
        {
            assert!(vetted("/", hosts).is_err(), "{hosts:?}");
        }
    }

    #[test]
    fn an_empty_port_is_left_out() {
        let expected = ("a.test".to_owned(), "/x".to_owned(), 1);
        assert_eq!(vetted("/x", &["a.test:"]).unwrap(), expected);
        assert_eq!(vetted("http://a.test:/x", &["b.test"]).unwrap(), expected);
    }

    #[test]
    fn absolute_form_goes_before_host() {
        let expected = ("b.test".to_owned(), "/p?q".to_owned(), 1);
        assert_eq!(vetted("http://b.test/p?q", &["a.test"]).unwrap(), expected);
        assert!(vetted("ftp://b.test/", &["a.test"]).is_err());
        for other in ["http://u@b.test/", "http://b.test:+80/", "http://[zz]/", "http://b.test:x/"]
        {
            let known = Request::builder().uri(other).body(()).is_ok();
            assert!(!known || vetted(other, &["a.test"]).is_err(), "{other}");
        }
    }

    #[test]
    fn escapes_in_a_path_are_escapes() {
        for path in ["/", "/%7euser", "/a%2Fb%2f", "/a?%", "/a?b=%zz", "http://a/%41"] {
            let vetted = vetted(path, &["a"]);
            assert!(vetted.is_ok(), "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/%4g", "/%%41", "/a%/b", "/a%4?1", "http://a/%"] {
            let refused = vetted(path, &["a"]).unwrap_err();
            assert!(matches!(refused, Error::BadRequest(_)), "{path}");
        }
    }
}
