//! The way that a request has taken, asked for once a response says something that may have to be
//! turned back.

use crate::path::Prefix;
use crate::url::{Authority, Reference, Scheme};
use std::cell::OnceCell;

/// What the host tells of the running exchange.
pub(crate) trait Told {
    /// How the client reached the listener.
    fn scheme(&self) -> String;
    /// The authority that the client addressed; empty if it named none.
    fn authority(&self) -> String;
    /// A field of the request as it went to the upstream.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// The path as the client sent it, and as the upstream got it.
    fn paths(&self) -> (String, String);
    /// The Host that the upstream got.
    fn sent_host(&self) -> String;
    /// The endpoint that answered, as `host:port`.
    fn endpoint(&self) -> String;
    /// Whether an endpoint of the cluster is called so, as `host:port` or `host`.
    fn is_endpoint(&self, authority: &str) -> bool;
}

/// The way of one request.
pub(crate) struct Way<T> {
    told: T,
    front: OnceCell<Front>,
    sent_host: OnceCell<String>,
    prefix: OnceCell<Option<Prefix>>,
}

/// What the client addressed.
pub(crate) struct Front {
    scheme: Scheme,
    /// As it was sent; empty if the client named none.
    authority: String,
    host: String,
}

impl<T: Told> Way<T> {
    pub(crate) fn new(told: T) -> Self {
        Self { told, front: OnceCell::new(), sent_host: OnceCell::new(), prefix: OnceCell::new() }
    }

    /// What the client addressed. Where proxies stand in front, that is what they say of it: the
    /// host sees to it that nobody else's word is in these fields.
    pub(crate) fn front(&self) -> &Front {
        self.front.get_or_init(|| {
            let said = |name| {
                let value = self.told.header(name)?;
                let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
                Some(first.trim_ascii().to_vec())
            };
            let told = || Scheme::parse(self.told.scheme().as_bytes());
            let scheme = said("x-forwarded-proto").and_then(|proto| Scheme::parse(&proto));
            let scheme = scheme.or_else(told).unwrap_or(Scheme::Http);
            let forwarded = said("x-forwarded-host").and_then(|host| String::from_utf8(host).ok());
            let known = |text: String| {
                let host = Authority::parse(text.as_bytes(), scheme)?.host;
                Some(Front { scheme, authority: text, host })
            };
            let none = || Front { scheme, authority: String::new(), host: String::new() };
            forwarded.and_then(known).or_else(|| known(self.told.authority())).unwrap_or_else(none)
        })
    }

    fn sent_host(&self) -> &str {
        self.sent_host.get_or_init(|| self.told.sent_host())
    }

    /// A path as the client knows it; `None` if the way has not changed it, or if the upstream was
    /// told what its clients see of it and has written that.
    pub(crate) fn back(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.prefix().filter(|prefix| !prefix.is_applied(path))?.apply(path)
    }

    /// What changes a path back.
    fn prefix(&self) -> Option<&Prefix> {
        let prefix = || {
            let (client, upstream) = self.told.paths();
            Prefix::undoing(&client, &upstream)
        };
        self.prefix.get_or_init(prefix).as_ref()
    }

    /// Whether a reference is to the upstream: to the Host that it was sent, there also with the port
    /// that it listens on, or to an endpoint of its cluster, or names nobody. Upstreams are spoken to
    /// over HTTP, and may know better how their clients speak to them.
    pub(crate) fn is_own(&self, reference: &Reference<'_>) -> bool {
        let Some((scheme, authority)) = reference.base else { return true };
        let front = self.front().scheme;
        let is = |scheme| {
            let Some(named) = Authority::parse(authority, scheme) else { return false };
            let sent = Authority::parse(self.sent_host().as_bytes(), scheme);
            if (scheme == front || scheme == Scheme::Http) && sent.as_ref() == Some(&named) {
                return true;
            }
            let with_own_port = || {
                let endpoint = self.told.endpoint();
                // What follows is for telling endpoints of one address apart.
                let address = endpoint.split('#').next().unwrap_or_default();
                let own = Authority::parse(address.as_bytes(), scheme);
                own.is_some_and(|own| own.port == named.port)
            };
            scheme == Scheme::Http
                && (sent.is_some_and(|sent| sent.host == named.host) && with_own_port()
                    || self.told.is_endpoint(&format!("{}:{}", named.host, named.port)))
        };
        match scheme {
            Some(scheme) => is(scheme),
            None => is(front) || front != Scheme::Http && is(Scheme::Http),
        }
    }

    /// Whether a host, in lower case, is the upstream's, and not the client's name for it.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        let sent = Authority::parse(self.sent_host().as_bytes(), Scheme::Http);
        host != self.front().host
            && (sent.is_some_and(|sent| sent.host == host) || self.told.is_endpoint(host))
    }

    /// A reference to a path at the client's side, in the form that the upstream's had.
    pub(crate) fn url(&self, like: &Reference<'_>, path: &[u8]) -> Vec<u8> {
        let Front { scheme, authority, .. } = self.front();
        let base = match like.base {
            Some((Some(_), _)) if !authority.is_empty() => {
                format!("{}://{authority}", scheme.name())
            }
            Some((None, _)) if !authority.is_empty() => format!("//{authority}"),
            _ => String::new(),
        };
        join(&base, path, like.rest)
    }
}

impl Front {
    /// The host alone, in lower case; empty if the client named none.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Puts a URL together. A path alone must not begin like the name of another host.
pub(crate) fn join(base: &str, path: &[u8], rest: &[u8]) -> Vec<u8> {
    let slashes = path.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let path = match path.get(slashes..) {
        Some(behind) if base.is_empty() && slashes > 0 => [b"/", behind].concat(),
        _ => path.to_vec(),
    };
    [base.as_bytes(), &path, rest].concat()
}
