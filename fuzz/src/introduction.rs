//! What holds of headers of the PROXY protocol: those that are read, and those that are written.

mod rules;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use linkspan::proxy_protocol::{Ends, Header, MAX_BYTES, Subject, Version, encode, parse};
use proxy_header::{ParseConfig, ProxyHeader};

use super::cut::Cuts;
use rules::{Found, canonical};

const ANY_VERSION: ParseConfig =
    ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };

pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    read(cuts, bytes);
    written(cuts, bytes);
}

/// What bytes say is what the rules say, whoever reads them, and in whichever pieces.
fn read(cuts: Cuts, bytes: &[u8]) {
    let whole = parse(bytes);
    match (rules::header(bytes), &whole) {
        (Found::Header(ends, length), Ok(Some(header))) => {
            assert_eq!((header.ends, header.length), (ends, length));
            another_reads(bytes, *header);
        }
        (Found::Part, Ok(None)) => assert!(bytes.len() < MAX_BYTES, "this goes on for ever"),
        (Found::Wrong, Err(_)) => {}
        (expected, found) => panic!("{found:?} instead of {expected:?}"),
    }

    // Whoever reads takes what is not enough from the socket, and of the last piece only the header.
    let mut taken = 0;
    for size in cuts {
        let looked_at = bytes.len().min(taken + size);
        let seen = parse(&bytes[..looked_at]);
        if let Ok(Some(Header { length, .. })) = seen {
            assert!(taken < length && length <= looked_at, "{length} of {taken} to {looked_at}");
        }
        if seen != Ok(None) || looked_at == bytes.len() {
            return assert_eq!(seen, whole, "with {looked_at} of {}", bytes.len());
        }
        taken = looked_at;
    }
}

/// The crate `proxy-header` finds the same in what is a header.
fn another_reads(bytes: &[u8], header: Header) {
    let bytes = &bytes[..header.length];
    let theirs = ProxyHeader::parse(bytes, ANY_VERSION);
    // It minds what stands behind LOCAL and UNKNOWN.
    let Ok((theirs, length)) = theirs else {
        return assert_eq!(header.ends, None, "{theirs:?}");
    };
    let theirs = theirs
        .proxied_address()
        .map(|ends| Ends { source: plain(ends.source), destination: plain(ends.destination) });
    assert_eq!((theirs, length), (header.ends, header.length));
}

fn plain(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(end.ip()), end.port())
}

/// What upstreams are told of two ends they read as these ends, whatever follows.
fn written(cuts: Cuts, bytes: &[u8]) {
    let mut made_up = [0; 38];
    made_up.iter_mut().zip(bytes).for_each(|(room, byte)| *room = *byte);
    let [choice, scope, rest @ ..] = made_up;
    let end = |address: &[u8], port: &[u8], is_v4: bool| {
        let port = u16::from_be_bytes(port.try_into().unwrap());
        let octets: [u8; 16] = address.try_into().unwrap();
        let [a, b, c, d, ..] = octets;
        if is_v4 {
            return SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port);
        }
        SocketAddrV6::new(Ipv6Addr::from_octets(octets), port, a.into(), scope.into()).into()
    };
    let source = end(&rest[..16], &rest[32..34], choice & 1 == 1);
    let destination = end(&rest[16..32], &rest[34..], choice & 2 == 2);
    let ends = Ends { source: plain(source), destination: plain(destination) };
    for (subject, expected) in [
        (Subject::Relayed(Ends { source, destination }), Some(ends)),
        (Subject::Unknown, None),
        (Subject::Own, None),
    ] {
        for version in [Version::V1, Version::V2] {
            let mut header = encode(version, subject);
            let length = header.len();
            header.extend_from_slice(bytes);
            assert_eq!(parse(&header), Ok(Some(Header { ends: expected, length })), "{version:?}");
            assert!(is_of(&header[..length], expected), "{}", header.escape_ascii());
            read(cuts, &header);
        }
    }
}

/// Whether a header, where it says of which family its addresses are, says so of the smaller one that
/// has room for both.
fn is_of(header: &[u8], ends: Option<Ends>) -> bool {
    let Some(ends) = ends else { return true };
    let family = if ends.source.is_ipv4() && ends.destination.is_ipv4() { 1 } else { 2 };
    match header {
        [b'P', b'R', b'O', b'X', b'Y', b' ', b'T', b'C', b'P', digit, ..] => {
            *digit == [b'4', b'6'][family - 1]
        }
        _ => header[13] == [0x11, 0x21][family - 1],
    }
}
