//! Names of hosts: as they are configured, and as requests bring them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest name that DNS has, and the longest part of one.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// The name itself.
    Exact(String),
    /// Whatever ends in that, which begins with a dot.
    Ending(String),
}

impl Pattern {
    /// Reads a name or a wildcard.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty, expected the name of a host".to_owned());
        }
        if text == "*" {
            return Err("this is any host, expected the key `default` beside `hosts`".to_owned());
        }
        if !text.is_ascii() {
            return Err("it is not ASCII, expected the form that clients send, \
                        as in `xn--bcher-kva.example`"
                .to_owned());
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with('[') {
            return match ipv6(&lower) {
                Some(literal) => Ok(Self::Exact(literal)),
                None if lower.contains("]:") => Err(PORT.to_owned()),
                None => Err(format!("`{text}` is no IPv6 address in brackets")),
            };
        }
        if lower.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("an IPv6 address stands in brackets, expected `[{lower}]`"));
        }
        if lower.contains(':') {
            return Err(PORT.to_owned());
        }
        if let Some(name) = lower.strip_prefix('.') {
            return Err(format!(
                "a name begins with no dot, expected `{name}`, `*.{name}` or both"
            ));
        }
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        match name.strip_prefix("*.") {
            None => valid(name).map(|()| Self::Exact(name.to_owned())),
            Some(rest) if rest.parse::<Ipv4Addr>().is_ok() => {
                Err(format!("`{rest}` is an address, and nothing ends in one"))
            }
            Some(rest) => valid(rest).map(|()| Self::Ending(format!(".{rest}"))),
        }
    }
}

const PORT: &str = "a port is no part of it, expected the name of a host";

fn valid(name: &str) -> Result<(), String> {
    if name.contains('*') {
        return Err("a wildcard is the whole first part of a name, expected `*.name`".to_owned());
    }
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label =
        |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(in_label);
    if name.len() <= LONGEST && name.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("`{name}` is no name of a host"))
    }
}

/// The usual form of an IPv6 address in brackets.
fn ipv6(text: &str) -> Option<String> {
    let address = text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
    Some(format!("[{address}]"))
}

/// The host of an authority, as patterns are compared with it. Nothing if it is longer than any
/// name. Allocates only for an IPv6 address.
pub(crate) fn of_authority(mut authority: String) -> Option<String> {
    let (host, _) = crate::authority::split(&authority);
    let length = host.strip_suffix('.').unwrap_or(host).len();
    if length > LONGEST {
        return None;
    }
    authority.truncate(length);
    authority.make_ascii_lowercase();
    if authority.starts_with('[') { ipv6(&authority) } else { Some(authority) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_whatever_their_case() {
        let exact = |text| match Pattern::parse(text) {
            Ok(Pattern::Exact(name)) => name,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(exact("A.Example"), "a.example");
        assert_eq!(exact("a.example."), "a.example");
        assert_eq!(exact("localhost"), "localhost");
        assert_eq!(exact("_a-b.example"), "_a-b.example");
        assert_eq!(exact("127.0.0.1"), "127.0.0.1");
        assert_eq!(exact("[0:0::1]"), "[::1]");
        assert_eq!(exact("[2001:DB8::7]"), "[2001:db8::7]");
        assert_eq!(Pattern::parse("*.B.example."), Ok(Pattern::Ending(".b.example".to_owned())));
        assert_eq!(Pattern::parse("*.com"), Ok(Pattern::Ending(".com".to_owned())));
    }

    #[test]
    fn what_is_no_name_is_told_what_to_be() {
        for (text, part) in [
            ("", "it is empty"),
            ("*", "expected the key `default`"),
            ("bücher.example", "expected the form that clients send"),
            ("a.example:80", "a port is no part of it"),
            ("[::1]:80", "a port is no part of it"),
            ("[::g]", "is no IPv6 address in brackets"),
            ("::1", "expected `[::1]`"),
            (".a.example", "expected `a.example`, `*.a.example` or both"),
            ("a.*", "a wildcard is the whole first part"),
            ("*a.example", "a wildcard is the whole first part"),
            ("*.*.example", "a wildcard is the whole first part"),
            ("*.127.0.0.1", "nothing ends in one"),
            ("a..example", "is no name of a host"),
            ("a b", "is no name of a host"),
            ("http//a", "is no name of a host"),
            ("*.", "a wildcard is the whole first part"),
            (".", "a name begins with no dot"),
            (&"a".repeat(64), "is no name of a host"),
            (&"a.".repeat(200), "is no name of a host"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn case_ports_and_dots_of_a_request_do_not_count() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("A.EXAMPLE:8080", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]", "[::1]"),
            ("[0:0:0::1]:80", "[::1]"),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(of_authority(authority.to_owned()).as_deref(), Some(host), "{authority}");
        }
        assert_eq!(of_authority("[zone]".to_owned()), None);
        assert_eq!(of_authority("a".repeat(254)), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_is_read_the_same_again(text in "\\PC{0,12}|[\\[\\]:.*a-f1]{0,12}") {
            if let Ok(Pattern::Exact(name)) = Pattern::parse(&text) {
                prop_assert_eq!(of_authority(name.clone()), Some(name.clone()));
                prop_assert_eq!(Pattern::parse(&name), Ok(Pattern::Exact(name)));
            }
            let _ = of_authority(text);
        }
    }
}
