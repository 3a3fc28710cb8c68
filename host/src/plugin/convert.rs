//! `http` types to WIT records and back, with the checks that the contract promises; nothing else.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{COOKIE, HeaderName, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};

use crate::headers::{given_host, given_name, given_path, given_value};
use crate::plugin::bindings::types::Field;
use crate::plugin::bindings::{edits, router, types};
use crate::plugin::error::Failure;

/// The most changes that one call may ask for, and the most fields of an answer: far below what a
/// header map can take.
const MOST: usize = 1000;

/// The largest body of an answer.
const BODY_BYTES: usize = 1 << 20;

/// A change to a head, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replaces all fields of that name.
    Set(HeaderName, HeaderValue),
    /// Adds a field.
    Append(HeaderName, HeaderValue),
    /// Removes all fields of that name.
    Remove(HeaderName),
    /// Replaces the path, and the query if it has one.
    Path(PathAndQuery),
    /// Replaces Host.
    Authority(HeaderValue),
    /// Replaces the status.
    Status(StatusCode),
    /// Has the body passed through the plugin.
    TransformBody,
}

impl Edit {
    /// What it is about, for a log: not the value, which can be a secret.
    #[must_use]
    pub fn about(&self) -> String {
        match self {
            Self::Set(header, _) => format!("set {header}"),
            Self::Append(header, _) => format!("append {header}"),
            Self::Remove(header) => format!("remove {header}"),
            Self::Path(_) => "path".to_owned(),
            Self::Authority(_) => "authority".to_owned(),
            Self::Status(status) => format!("status {}", status.as_u16()),
            Self::TransformBody => "transform body".to_owned(),
        }
    }
}

/// Where a router sends a request, checked.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Not this router's to decide.
    Next,
    /// To an upstream.
    Forward {
        /// Which.
        upstream: Upstream,
        /// A new Host.
        host: Option<HeaderValue>,
        /// A new path.
        path: Option<PathAndQuery>,
    },
    /// Answered by the plugin, or with a redirection.
    Respond(Box<http::Response<Bytes>>),
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Next, Self::Next) => true,
            (
                Self::Forward { upstream, host, path },
                Self::Forward { upstream: other, host: other_host, path: other_path },
            ) => (upstream, host, path) == (other, other_host, other_path),
            (Self::Respond(one), Self::Respond(other)) => {
                one.status() == other.status()
                    && one.headers() == other.headers()
                    && one.body() == other.body()
            }
            _ => false,
        }
    }
}

/// An upstream that a router names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// By its name; not known to exist.
    Cluster(String),
    /// As `scheme://host:port`; not known to be granted.
    Address(String),
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(formatter, "cluster {name}"),
            Self::Address(address) => formatter.write_str(address),
        }
    }
}

/// Percent-decodes once; escapes that are none stay.
pub(super) fn decoded(path: &str) -> Cow<'_, [u8]> {
    let bytes = path.as_bytes();
    let Some(first) = bytes.iter().position(|b| *b == b'%') else {
        return Cow::Borrowed(bytes);
    };
    let (head, mut rest) = bytes.split_at(first);
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(head);
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, after @ ..] if *byte == b'%' => {
                hex(*high).zip(hex(*low)).map(|d| (d, after))
            }
            _ => None,
        };
        (rest, _) = match escaped {
            Some(((high, low), after)) => (after, out.push(high << 4 | low)),
            None => (tail, out.push(*byte)),
        };
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The value of the first cookie of that name.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|v| v.as_bytes().split(|b| *b == b';'));
    pairs
        .filter_map(|pair| {
            let at = pair.iter().position(|b| *b == b'=')?;
            let (key, value) = pair.split_at(at);
            (key.trim_ascii() == name.as_bytes()).then(|| value.get(1..).map(<[u8]>::trim_ascii))?
        })
        .next()
}

/// An address as it is written. Most are of four numbers, which need no machinery of formats.
pub(super) fn address(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, number) in address.octets().into_iter().enumerate() {
        let digit = |digit: u8| char::from(b'0' + digit % 10);
        text.extend((place > 0).then_some('.'));
        text.extend((number >= 100).then(|| digit(number / 100)));
        text.extend((number >= 10).then(|| digit(number / 10)));
        text.push(digit(number));
    }
    text
}

/// The first value of a name.
pub(super) fn value(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

/// All values of a name.
pub(super) fn values(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// All fields.
pub(super) fn fields(headers: &HeaderMap) -> Vec<Field> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| Field {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    headers.iter().map(field).collect()
}

fn contract(text: impl Into<String>) -> Failure {
    Failure::Contract(text.into())
}

fn name(text: &str) -> Result<HeaderName, Failure> {
    given_name(text).map_err(|fault| contract(format!("the field name {text:?}: {fault}")))
}

fn field(field: Field) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = name(&field.name)?;
    let value = header_value(field.value, &name)?;
    Ok((name, value))
}

fn header_value(value: Vec<u8>, name: &HeaderName) -> Result<HeaderValue, Failure> {
    given_value(value).map_err(|fault| contract(format!("the value of {name}: {fault}")))
}

fn authority(text: &str) -> Result<HeaderValue, Failure> {
    given_host(text).map_err(|fault| contract(format!("{text:?}: {fault}")))
}

fn path(text: &str) -> Result<PathAndQuery, Failure> {
    given_path(text, None).map_err(|fault| contract(format!("{text:?}: {fault}")))
}

fn status(status: u16) -> Result<StatusCode, Failure> {
    let known = StatusCode::from_u16(status).ok().filter(|_| (200..=599).contains(&status));
    known.ok_or_else(|| contract(format!("{status} is no status from 200 to 599")))
}

/// Checks a router's decision.
pub(super) fn decision(decision: router::Decision) -> Result<Decision, Failure> {
    Ok(match decision {
        router::Decision::Next => Decision::Next,
        router::Decision::Forward(target) => Decision::Forward {
            upstream: match target.upstream {
                router::Upstream::Cluster(name) => Upstream::Cluster(name),
                router::Upstream::Address(address) => Upstream::Address(address),
            },
            host: target.host.as_deref().map(authority).transpose()?,
            path: target.path.as_deref().map(path).transpose()?,
        },
        router::Decision::Respond(response) => Decision::Respond(Box::new(answer(response)?)),
        router::Decision::Redirect(redirection) => {
            if ![301, 302, 303, 307, 308].contains(&redirection.status) {
                return Err(contract(format!("{} is no redirection", redirection.status)));
            }
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = status(redirection.status)?;
            let location = header_value(redirection.location.into_bytes(), &LOCATION)?;
            response.headers_mut().insert(LOCATION, location);
            Decision::Respond(Box::new(response))
        }
    })
}

fn answer(answer: types::Response) -> Result<http::Response<Bytes>, Failure> {
    if answer.body.len() > BODY_BYTES || answer.headers.len() > MOST {
        return Err(contract("the answer is larger than it may be"));
    }
    let mut response = http::Response::new(Bytes::from(answer.body));
    *response.status_mut() = status(answer.status)?;
    for given in answer.headers {
        let (name, value) = field(given)?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Checks the changes to a request's head.
pub(super) fn request_edits(edits: Vec<edits::Edit>) -> Result<Vec<Edit>, Failure> {
    checked(edits, |edit| match edit {
        edits::Edit::Path(text) => Ok(Edit::Path(path(&text)?)),
        edits::Edit::Authority(text) => Ok(Edit::Authority(authority(&text)?)),
        edits::Edit::Set(field) if field.name.eq_ignore_ascii_case("host") => {
            let text = String::from_utf8(field.value).map_err(|_e| contract("Host is no text"))?;
            Ok(Edit::Authority(authority(&text)?))
        }
        edits::Edit::Append(field) if field.name.eq_ignore_ascii_case("host") => {
            Err(contract("a request has one Host"))
        }
        edits::Edit::Remove(name) if name.eq_ignore_ascii_case("host") => {
            Err(contract("a request has one Host"))
        }
        edits::Edit::Status(_) => Err(contract("a request has no status")),
        edits::Edit::TransformBody => Err(contract("bodies of requests cannot be transformed yet")),
        other => header_edit(other),
    })
}

/// Checks the changes to a response's head, of a plugin that `transforms` bodies or does not.
pub(super) fn response_edits(
    edits: Vec<edits::Edit>,
    transforms: bool,
) -> Result<Vec<Edit>, Failure> {
    checked(edits, |edit| match edit {
        edits::Edit::Status(code @ (204 | 304)) => Err(contract(format!("{code} has no body"))),
        edits::Edit::Status(code) => Ok(Edit::Status(status(code)?)),
        edits::Edit::Path(_) | edits::Edit::Authority(_) => {
            Err(contract("a response has neither path nor Host"))
        }
        edits::Edit::TransformBody if transforms => Ok(Edit::TransformBody),
        edits::Edit::TransformBody => {
            Err(contract("asks to transform a body, and exports no `body` to do it with"))
        }
        other => header_edit(other),
    })
}

fn checked(
    edits: Vec<edits::Edit>,
    check: impl FnMut(edits::Edit) -> Result<Edit, Failure>,
) -> Result<Vec<Edit>, Failure> {
    if edits.len() > MOST {
        return Err(contract(format!("{} changes are more than {MOST}", edits.len())));
    }
    edits.into_iter().map(check).collect()
}

fn header_edit(edit: edits::Edit) -> Result<Edit, Failure> {
    match edit {
        edits::Edit::Set(given) => field(given).map(|(name, value)| Edit::Set(name, value)),
        edits::Edit::Append(given) => field(given).map(|(name, value)| Edit::Append(name, value)),
        edits::Edit::Remove(text) => name(&text).map(Edit::Remove),
        edits::Edit::TransformBody
        | edits::Edit::Path(_)
        | edits::Edit::Authority(_)
        | edits::Edit::Status(_) => Err(contract("the change does not fit the phase")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_elsewhere() {
        for number in 0..=u8::MAX {
            let ip = IpAddr::from([number, 0, 255 - number, number / 2]);
            assert_eq!(address(ip), ip.to_string());
        }
        assert_eq!(address(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])), "::1");
    }
}
