//! What the store may hold: `scheme://host:port`, and perhaps a slash behind it.
//!
//! Traffic Server took nearly anything, and ignored what follows the port. Here that is malformed,
//! so that a slip is noticed and not half followed.

use std::net::Ipv6Addr;

/// The longest name of a host.
const LONGEST: usize = 253;

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its address, as `scheme://host:port`.
    pub(crate) address: String,
    /// Its host alone; an IPv6 address in brackets.
    pub(crate) host: String,
}

/// Why a value is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}, expected one such as http://10.0.0.7:8080/", self.0)
    }
}

/// Reads a value.
pub(crate) fn parse(value: &[u8]) -> Result<Origin, Malformed> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
    let text = text.ok_or(Malformed("it is not ASCII"))?;
    let (scheme, rest) = text.split_once("://").ok_or(Malformed("it has no scheme"))?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(Malformed("its scheme is neither http nor https"));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(Malformed("something follows the port"));
    }
    let (host, port) = authority.rsplit_once(':').ok_or(Malformed("it has no port"))?;
    if port.ends_with(']') {
        return Err(Malformed("it has no port"));
    }
    if !is_host(host) {
        return Err(Malformed("its host is neither a name nor an address"));
    }
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number @ 1..) if digits => {
            Ok(Origin { address: format!("{scheme}://{host}:{number}"), host: host.to_owned() })
        }
        _ => Err(Malformed("its port is none")),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return matches!(address, Some(Ok(_)));
    }
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |label: &str| !label.is_empty() && label.bytes().all(in_name);
    host.len() <= LONGEST && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_has_scheme_host_and_port() {
        for (value, address, host) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001", "127.0.0.1"),
            ("http://127.0.0.1:9001/", "http://127.0.0.1:9001", "127.0.0.1"),
            ("HTTP://Files.internal:80/", "http://Files.internal:80", "Files.internal"),
            ("http://[::1]:9001/", "http://[::1]:9001", "[::1]"),
            ("http://a_b-c:65535", "http://a_b-c:65535", "a_b-c"),
            ("http://a:080", "http://a:80", "a"),
            ("https://a.test:443/", "https://a.test:443", "a.test"),
        ] {
            let expected = Origin { address: address.to_owned(), host: host.to_owned() };
            assert_eq!(parse(value.as_bytes()), Ok(expected), "{value}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in [
            "",
            "garbage",
            "127.0.0.1:80",
            "http://127.0.0.1",
            "http://127.0.0.1/",
            "http://[::1]",
            "http://[::1]/",
            "http://127.0.0.1:9001/zzz",
            "http://127.0.0.1:9001//",
            "http://127.0.0.1:9001?x",
            "http://127.0.0.1:9001/?x",
            "http://h/x:80",
            "http://:80",
            "http://h:",
            "http://h:0",
            "http://h:-1",
            "http://h:+80",
            "http://h: 80",
            "http://h:65536",
            "http://h:000080",
            "http://h:80 ",
            "http://h:80\r\n",
            " http://h:80",
            "http://u@h:80",
            "http://h..x:80",
            "http://::1:80",
            "http://[::1:80",
            "http://[fe80::1%eth0]:80",
            "http://b\u{fc}cher.test:80",
            "ftp://h:80",
            "ws://h:80",
            "unix://h:80",
            "://h:80",
        ] {
            assert!(parse(value.as_bytes()).is_err(), "{value:?}");
        }
        assert!(parse(b"http://h:80\xff").is_err());
        assert!(parse(format!("http://{}:80", "h".repeat(254)).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_the_same_again(
            value in "\\PC{0,20}|https?://[a-f0-9:.\\[\\]]{0,12}:[0-9]{0,6}/?",
        ) {
            if let Ok(origin) = parse(value.as_bytes()) {
                prop_assert_eq!(parse(origin.address.as_bytes()), Ok(origin.clone()));
                prop_assert!(origin.address.contains(&origin.host));
            }
        }
    }
}
