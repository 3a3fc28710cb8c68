//! Requests of SOCKS4: version, command, port, address, user, and of SOCKS4a the name of a host.

use std::net::Ipv4Addr;

/// The version, and the command that asks for a connection.
const VERSION: u8 = 4;
/// See [`VERSION`].
const CONNECT: u8 = 1;

/// The longest user, and the longest name.
const LONGEST: usize = 255;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The beginning of a request, as far as can be seen.
    Incomplete,
    /// None that can be served.
    Rejected,
    /// A request of so many bytes for a connection to that address.
    Address { address: String, length: usize },
}

/// Reads the first bytes of a connection.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    match *bytes {
        [version, ..] if version != VERSION => return Reading::Rejected,
        [_, command, ..] if command != CONNECT => return Reading::Rejected,
        _ => {}
    }
    let Some((&[_, _, high, low, a, b, c, d], rest)) = bytes.split_first_chunk() else {
        return Reading::Incomplete;
    };
    let (port, ip) = (u16::from_be_bytes([high, low]), Ipv4Addr::new(a, b, c, d));
    let is_named = ip.octets().starts_with(&[0, 0, 0]) && !ip.is_unspecified();
    if port == 0 || ip.is_unspecified() {
        return Reading::Rejected;
    }
    let rest = match text(rest) {
        Ok(Some((_user, rest))) => rest,
        Ok(None) => return Reading::Incomplete,
        Err(TooLong) => return Reading::Rejected,
    };
    let length = bytes.len() - rest.len();
    if !is_named {
        return Reading::Address { address: format!("{ip}:{port}"), length };
    }
    match text(rest) {
        Ok(Some((name, after))) => match host(name) {
            Some(name) => {
                let length = bytes.len() - after.len();
                Reading::Address { address: format!("{name}:{port}"), length }
            }
            None => Reading::Rejected,
        },
        Ok(None) => Reading::Incomplete,
        Err(TooLong) => Reading::Rejected,
    }
}

struct TooLong;

/// A text, and what follows its end.
type Split<'b> = (&'b [u8], &'b [u8]);

/// A text up to its zero, and what follows; none if that has not come.
fn text(bytes: &[u8]) -> Result<Option<Split<'_>>, TooLong> {
    match bytes.iter().take(LONGEST + 1).position(|byte| *byte == 0) {
        Some(end) => {
            let (text, rest) = bytes.split_at(end);
            Ok(Some((text, rest.get(1..).unwrap_or_default())))
        }
        None if bytes.len() > LONGEST => Err(TooLong),
        None => Ok(None),
    }
}

/// The name of a host. What exactly, the proxy judges.
fn host(name: &[u8]) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    str::from_utf8(name).ok().filter(|_| !name.is_empty() && name.iter().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(address: &str, length: usize) -> Reading {
        Reading::Address { address: address.to_owned(), length }
    }

    #[test]
    fn a_request_is_read_once_all_of_it_is_there() {
        let plain = b"\x04\x01\x00\x50\x0a\x00\x00\x01user\0";
        let named = b"\x04\x01\x01\xbb\x00\x00\x00\x07\0a.test\0";
        for (request, expected) in
            [(&plain[..], address("10.0.0.1:80", 13)), (named, address("a.test:443", 16))]
        {
            for cut in 0..request.len() {
                assert_eq!(read(&request[..cut]), Reading::Incomplete, "{cut}");
            }
            assert_eq!(read(request), expected);
            assert_eq!(read(&[request, b"\0more"].concat()), expected);
        }
    }

    #[test]
    fn what_cannot_be_served_is_rejected_as_soon_as_that_shows() {
        let long = [&b"\x04\x01\x00\x50\x0a\x00\x00\x01"[..], &[b'u'; 256]].concat();
        for bytes in [
            &b"\x05"[..],
            b"GET / HTTP/1.1",
            b"\x04\x02",
            b"\x04\x01\x00\x00\x0a\x00\x00\x01",
            b"\x04\x01\x00\x50\x00\x00\x00\x00",
            b"\x04\x01\x00\x50\x00\x00\x00\x01\0a b\0",
            b"\x04\x01\x00\x50\x00\x00\x00\x01\0\0",
            &long,
        ] {
            assert_eq!(read(bytes), Reading::Rejected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, port: u16, rest: Vec<u8>) {
            let _ = read(&bytes);
            let [high, low] = port.to_be_bytes();
            if let Reading::Address { length, .. } =
                read(&[&[4, 1, high, low, 0, 0, 0, 1][..], &rest].concat())
            {
                prop_assert!(length <= rest.len() + 8);
            }
        }
    }
}
