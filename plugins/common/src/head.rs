//! The head of a request in HTTP/1, as the first bytes of a connection that is relayed as it is.
//!
//! Read strictly: what an upstream could read in another way is no head. Lines end with CRLF, no line is
//! folded, and names are followed by their colon.

/// The longest head. An upstream hardly takes more.
const HEAD_BYTES: usize = 64 << 10;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading<'b> {
    /// The beginning of a head, as far as can be seen.
    Incomplete,
    /// No head of HTTP/1.
    Malformed,
    /// A whole one.
    Whole(Head<'b>),
}

/// A head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// The method.
    pub method: &'b str,
    /// The target, which is not empty and all graphic ASCII.
    pub target: &'b str,
    /// Whether it is HTTP/1.0.
    pub is_old: bool,
    /// The values of its Host fields.
    pub hosts: Vec<&'b str>,
    /// How many bytes it has.
    pub length: usize,
}

/// Reads the first bytes of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading<'_> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    match end {
        Some(end) if end + 4 <= HEAD_BYTES => {
            let head = bytes.get(..end).and_then(|text| head(text, end + 4));
            head.map_or(Reading::Malformed, Reading::Whole)
        }
        None if bytes.len() < HEAD_BYTES && may_begin(bytes) => Reading::Incomplete,
        _ => Reading::Malformed,
    }
}

/// Whether these bytes may be the beginning of a head: of a method, if that is all.
fn may_begin(bytes: &[u8]) -> bool {
    let mut words = bytes.splitn(2, |byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let ended = words.next().is_some();
    method.iter().copied().all(is_token) && (!ended || !method.is_empty()) && method.len() < 64
}

fn head(text: &[u8], length: usize) -> Option<Head<'_>> {
    let text = str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return None,
    };
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    let is_method = !method.is_empty() && method.bytes().all(is_token);
    if words.next().is_some() || !is_target || !is_method {
        return None;
    }
    let mut hosts = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        let is_text = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
        if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_text) {
            return None;
        }
        if name.eq_ignore_ascii_case("host") {
            hosts.push(value);
        }
    }
    Some(Head { method, target, is_old, hosts, length })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl<'b> Head<'b> {
    /// The authority that it is addressed to: that of its target, else its only Host; empty for one of
    /// HTTP/1.0 without either. None if it contradicts itself.
    #[must_use]
    pub fn authority(&self) -> Option<&'b str> {
        let host = match self.hosts.as_slice() {
            [] if self.is_old => "",
            [only] => only,
            _ => return None,
        };
        let Some((_, rest)) = self.target.split_once("://").filter(|_| !self.is_path()) else {
            return Some(host);
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        (!authority.is_empty() && !authority.contains('@')).then_some(authority)
    }

    fn is_path(&self) -> bool {
        self.target.starts_with('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authority(text: &str) -> Option<&str> {
        match read(text.as_bytes()) {
            Reading::Whole(head) => head.authority(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_addressed_to_its_target_or_to_its_only_host() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nA: b\r\nhOST:  a.test:80\t\r\n\r\nrest", Some("a.test:80")),
            ("GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", Some("b.test")),
            ("GET /?u=http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", Some("a.test")),
            ("GET http://u@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", None),
            ("GET / HTTP/1.0\r\nA: b\r\n\r\n", Some("")),
            ("GET / HTTP/1.0\r\n\r\n", Some("")),
        ] {
            assert_eq!(authority(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_seen_as_soon_as_it_can_be() {
        for (text, expected) in [
            ("", Reading::Incomplete),
            ("GET", Reading::Incomplete),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", Reading::Incomplete),
            ("\x16\x03\x01", Reading::Malformed),
            (" GET", Reading::Malformed),
            ("GET / HTTP/2\r\n\r\n", Reading::Malformed),
            ("GET  / HTTP/1.1\r\n\r\n", Reading::Malformed),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Reading::Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Reading::Malformed),
            ("GET / HTTP/1.1\nHost: a\n\r\n\r\n", Reading::Malformed),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(read(&[b'a'; 64]), Reading::Malformed);
        let endless = [&b"GET /"[..], &vec![b'a'; HEAD_BYTES]].concat();
        assert_eq!(read(&endless), Reading::Malformed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, near in "[GET /HTP1.\r\nHost:a-]{0,60}") {
            let _ = read(&bytes);
            if let Reading::Whole(head) = read(near.as_bytes()) {
                let _ = head.authority();
            }
        }
    }
}
