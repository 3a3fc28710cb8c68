//! URLs as far as they have to be told apart: whose they are, and their paths. Over bytes, as header
//! values are.

/// The scheme of a URL that can be an upstream's or a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is named.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host, in lower case, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Authority {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; nothing else, and no user.
    pub(crate) fn parse(text: &[u8], scheme: Scheme) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => match port {
                "" => (host, scheme.port()),
                _ if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()?),
                _ => return None,
            },
            _ => (text, scheme.port()),
        };
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let valid = match inside {
            Some(v6) => v6.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            None => {
                host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
            }
        };
        let host = host.to_ascii_lowercase();
        (valid && !inside.unwrap_or(&host).is_empty()).then_some(Self { host, port })
    }
}

/// A URL, or a reference to one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Whose it is; none of a path alone.
    pub(crate) base: Option<(Option<Scheme>, &'a [u8])>,
    /// It starts with a slash, or is empty behind an authority.
    pub(crate) path: &'a [u8],
    /// A query and a fragment, with what introduces them.
    pub(crate) rest: &'a [u8],
}

impl<'a> Reference<'a> {
    /// Reads `http://host/path`, `//host/path` and `/path`. None for all that stays what it is
    /// wherever it stands: relative to the path of the request, or of other schemes.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (scheme, behind) = match text.split_first() {
            Some((b'/', _)) => (None, text),
            _ => {
                let colon = text.iter().position(|byte| *byte == b':')?;
                let (scheme, behind) = text.split_at_checked(colon)?;
                (Some(Scheme::parse(scheme)?), behind.strip_prefix(b":")?)
            }
        };
        let Some(behind) = behind.strip_prefix(b"//") else {
            // `http:path` is taken in several ways, and by nobody as a path alone.
            let (path, rest) = split_path(behind);
            return scheme.is_none().then_some(Self { base: None, path, rest });
        };
        // Browsers take a backslash for a slash.
        let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'\\');
        let end = behind.iter().position(ends).unwrap_or(behind.len());
        let (authority, tail) = behind.split_at_checked(end)?;
        let (path, rest) = split_path(tail);
        Some(Self { base: Some((scheme, authority)), path, rest })
    }
}

/// Splits off a query and fragment.
fn split_path(tail: &[u8]) -> (&[u8], &[u8]) {
    let end = tail.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(tail.len());
    tail.split_at_checked(end).unwrap_or((tail, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart() {
        let parse = |text: &'static str| {
            Reference::parse(text.as_bytes()).map(|reference| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let base = reference.base.map_or_else(String::new, |(scheme, authority)| {
                    format!("{}//{}", scheme.map_or("", Scheme::name), text(authority))
                });
                [base, text(reference.path), text(reference.rest)].join(" ")
            })
        };
        assert_eq!(parse("HTTP://a:1/b/c?d#e").unwrap(), "http//a:1 /b/c ?d#e");
        assert_eq!(parse("https://a").unwrap(), "https//a  ");
        assert_eq!(parse("http://a?b").unwrap(), "http//a  ?b");
        assert_eq!(parse("http://a\\b").unwrap(), "http//a \\b ");
        assert_eq!(parse("//a/b").unwrap(), "//a /b ");
        assert_eq!(parse("/b?http://a/").unwrap(), " /b ?http://a/");
        assert_eq!(parse("/").unwrap(), " / ");
        for other in
            ["", "b", "b/c", "../b", "?b", "#b", "ftp://a/", "mailto:a@b", "http:/a", "http:a"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn authorities_have_a_host_in_lower_case_and_a_port() {
        let parse = |text: &str, scheme| {
            Authority::parse(text.as_bytes(), scheme).map(|it| format!("{} {}", it.host, it.port))
        };
        assert_eq!(parse("A.Test", Scheme::Http).unwrap(), "a.test 80");
        assert_eq!(parse("a.test:80", Scheme::Http).unwrap(), "a.test 80");
        assert_eq!(parse("a.test:", Scheme::Https).unwrap(), "a.test 443");
        assert_eq!(parse("[::1]:8080", Scheme::Http).unwrap(), "[::1] 8080");
        assert_eq!(parse("[::1]", Scheme::Https).unwrap(), "[::1] 443");
        for bad in ["", ":80", "a:b", "a:99999", "u@a", "a b", "[]", "[::1", "a,b", "a:+1"] {
            assert_eq!(parse(bad, Scheme::Http), None, "{bad}");
        }
    }
}
