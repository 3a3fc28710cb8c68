//! The PROXY protocol once more, as its specification and the notes of `linkspan::proxy_protocol` have
//! it: all bytes at once, piece by piece, and numbers as numbers.

use std::net::{IpAddr, SocketAddr};

use linkspan::proxy_protocol::{Ends, MAX_BYTES};

/// What bytes begin with.
#[derive(Debug)]
pub(super) enum Found {
    /// A header that conveys so much, and its length.
    Header(Option<Ends>, usize),
    /// What may become one.
    Part,
    /// None.
    Wrong,
}

pub(super) fn header(bytes: &[u8]) -> Found {
    const SIGNATURE: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";
    if let Some(rest) = bytes.strip_prefix(b"PROXY ") {
        return line(rest);
    }
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        return block(rest);
    }
    let begun = b"PROXY ".starts_with(bytes) || SIGNATURE.starts_with(bytes);
    if begun { Found::Part } else { Found::Wrong }
}

/// What follows the first word.
fn line(rest: &[u8]) -> Found {
    // The longest line of all has 107 bytes, six of which are that word.
    let most = &rest[..rest.len().min(107 - 6)];
    let mut pieces = most.splitn(2, |byte| *byte == b'\n');
    let (Some(line), Some(_)) = (pieces.next(), pieces.next()) else {
        return if rest.len() < 107 - 6 { Found::Part } else { Found::Wrong };
    };
    let length = 6 + line.len() + 1;
    let Some(line) = line.strip_suffix(b"\r") else { return Found::Wrong };
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Found::Header(None, length);
    }
    let Ok(line) = str::from_utf8(line) else { return Found::Wrong };
    let words: Vec<_> = line.split(' ').collect();
    let [family, source, destination, from, to] = words[..] else { return Found::Wrong };
    let end = |address: &str, port: &str| {
        let address: IpAddr = address.parse().ok()?;
        let number: u16 = port.parse().ok()?;
        let right = family == if address.is_ipv4() { "TCP4" } else { "TCP6" };
        let right = right && number.to_string() == port;
        right.then(|| SocketAddr::new(canonical(address), number))
    };
    match (end(source, from), end(destination, to)) {
        (Some(source), Some(destination)) => {
            Found::Header(Some(Ends { source, destination }), length)
        }
        _ => Found::Wrong,
    }
}

/// What follows the signature.
fn block(rest: &[u8]) -> Found {
    let [command, family, high, low, block @ ..] = rest else { return Found::Part };
    let announced = usize::from(*high) * 256 + usize::from(*low);
    let (version, command) = (command / 16, command % 16);
    let addresses = match (command, family / 16, family % 16) {
        // Sent by the proxy itself: whatever else there is, is ignored.
        (0, _, _) | (1, 0, 0) => 0,
        (1, 1, 1) => 2 * 4 + 4,
        (1, 2, 1) => 2 * 16 + 4,
        (1, 3, 1) => 2 * 108,
        _ => return Found::Wrong,
    };
    if version != 2 || announced < addresses || 16 + announced > MAX_BYTES {
        return Found::Wrong;
    }
    if block.len() < announced {
        return Found::Part;
    }
    let ends = match addresses {
        12 => Some(ends(block, |bytes| <[u8; 4]>::try_from(bytes).unwrap().into(), 4)),
        36 => Some(ends(block, |bytes| <[u8; 16]>::try_from(bytes).unwrap().into(), 16)),
        _ => None,
    };
    Found::Header(ends, 16 + announced)
}

/// Two addresses of so many bytes, then two ports.
fn ends(block: &[u8], address: impl Fn(&[u8]) -> IpAddr, size: usize) -> Ends {
    let end = |number: usize| {
        let ip = canonical(address(&block[number * size..][..size]));
        let port = &block[2 * size + 2 * number..][..2];
        SocketAddr::new(ip, u16::from(port[0]) * 256 + u16::from(port[1]))
    };
    Ends { source: end(0), destination: end(1) }
}

/// An address of IPv4 as one, however it is written.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => [a, b, c, d].into(),
        _ => address,
    }
}
