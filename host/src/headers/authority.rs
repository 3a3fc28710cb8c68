//! Whom a Host, a target or a plugin names (RFC 9110, 4.2.3 and 7.2; RFC 3986, 3.2.2 and 3.2.3).

use std::net::Ipv6Addr;

use http::uri::Authority;

/// What a text names, if that is a host with or without a port; a colon without a port is left out.
///
/// - Behind the colon are digits that make a port, or nothing. Nothing means the same as no colon,
///   but not everyone knows: so nobody behind Linkspan gets to see it.
/// - Within brackets is an IPv6 address, without a zone, which would be one of the client's own
///   interfaces. Nobody has ever defined an address of the form that RFC 3986 keeps for later
///   versions (`[v7.…]`), so nobody can know what one names.
/// - There is no user information.
#[must_use]
pub fn authority(text: &str) -> Option<&str> {
    let (host, rest) = match text.split_once(']') {
        Some((address, rest)) => {
            address.strip_prefix('[')?.parse::<Ipv6Addr>().ok()?;
            text.split_at_checked(text.len() - rest.len())?
        }
        None => {
            let (host, rest) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            is_name(host).then_some((host, rest))?
        }
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some(text),
        Some("") => Some(host),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse::<u16>().is_ok().then_some(text)
        }
        _ => None,
    }
}

/// Whether it is a name or an IPv4 address. Most have nothing but letters, digits, dots and hyphens, and
/// are not taken apart.
fn is_name(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let parsed = || host.parse::<Authority>().is_ok_and(|name| name.host() == host);
    !host.is_empty() && (host.bytes().all(plain) || !host.starts_with('[') && parsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port_that_is_digits_or_missing() {
        for whole in
            ["a", "A.test.", "a:0", "a:80", "a:00080", "a:65535", "192.0.2.1", "a_b", "a,b"]
        {
            assert_eq!(authority(whole), Some(whole));
        }
        assert_eq!(authority("a:"), Some("a"));
        for wrong in [
            "",
            ":",
            ":80",
            "a:+80",
            "a:-1",
            "a: 80",
            "a:65536",
            "a:b",
            "a:80:",
            "a::",
            "a:8\u{b2}",
        ] {
            assert_eq!(authority(wrong), None, "{wrong:?}");
        }
        for wrong in ["a@b", "a/b", "a b", "a?b", "a#b", "a\\b", "<a>", "a:80@b", "a:@b", "\u{e9}"]
        {
            assert_eq!(authority(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn brackets_are_around_an_ipv6_address_alone() {
        for whole in ["[::1]", "[2001:DB8::1]:80", "[::ffff:192.0.2.1]"] {
            assert_eq!(authority(whole), Some(whole));
        }
        assert_eq!(authority("[::1]:"), Some("[::1]"));
        for wrong in [
            "[]",
            "[zz]",
            "a[b]",
            "[::1",
            "::1]",
            "::1",
            "a]",
            "[a",
            "[::1]x",
            "[::1]:+80",
            "[::1]80",
            "[192.0.2.1]",
            "[v1.a]",
            "[::1%25eth0]",
            "[::1%eth0]",
            "[::1][::1]",
            "[[::1]]",
            "a[::1]",
        ] {
            assert_eq!(authority(wrong), None, "{wrong:?}");
        }
    }
}
