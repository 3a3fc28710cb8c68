//! Headers as the specification has them, and as it has them not. What is read is also read by the
//! crate `proxy-header`, and to the same end.

use proptest::prelude::*;
use proxy_header::{ParseConfig, ProxyHeader};

use super::*;

const CONFIG: ParseConfig = ParseConfig { include_tlvs: true, allow_v1: true, allow_v2: true };

fn ends_of(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// The ends in a header that is there as a whole, and nothing is left of.
fn read(bytes: &[u8]) -> Option<Ends> {
    let header = parse(bytes).unwrap().unwrap();
    assert_eq!(header.length, bytes.len());
    header.ends
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

#[test]
fn lines_are_read() {
    for (line, ends) in [
        ("TCP4 192.0.2.7 10.0.0.1 40112 80", ends_of("192.0.2.7:40112", "10.0.0.1:80")),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            ends_of("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("TCP6 2001:db8::7 ::1 0 1", ends_of("[2001:db8::7]:0", "[::1]:1")),
        ("TCP6 ::ffff:192.0.2.7 ::1 1 2", ends_of("192.0.2.7:1", "[::1]:2")),
        (
            "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            ends_of(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        ("UNKNOWN", None),
        ("UNKNOWN ffff::1 \u{ff}\r 1 2", None),
    ] {
        assert_eq!(read(format!("PROXY {line}\r\n").as_bytes()), ends, "{line}");
    }
}

#[test]
fn lines_that_are_not_quite_right_are_refused() {
    for line in [
        "TCP4 192.0.2.7 10.0.0.1 40112 80\n",
        "TCP4  192.0.2.7 10.0.0.1 40112 80\r\n",
        "TCP4 192.0.2.7 10.0.0.1 40112 80 \r\n",
        "TCP4 192.0.2.7 10.0.0.1 40112 80 90\r\n",
        "TCP4 192.0.2.7 10.0.0.1 40112\r\n",
        "TCP4 192.0.2.7 10.0.0.1 +40112 80\r\n",
        "TCP4 192.0.2.7 10.0.0.1 40112 080\r\n",
        "TCP4 192.0.2.7 10.0.0.1 65536 80\r\n",
        "TCP4 192.0.2.7 10.0.0.1 -1 80\r\n",
        "TCP4 192.0.2.7 10.0.0.1  80\r\n",
        "TCP4 192.0.2.007 10.0.0.1 1 80\r\n",
        "TCP4 192.0.2 10.0.0.1 1 80\r\n",
        "TCP4 ::1 ::1 1 80\r\n",
        "TCP6 192.0.2.7 10.0.0.1 1 80\r\n",
        "TCP6 fe80::1%eth0 ::1 1 80\r\n",
        "TCP6 [::1] ::1 1 80\r\n",
        "tcp4 192.0.2.7 10.0.0.1 1 80\r\n",
        "TCP4\t192.0.2.7 10.0.0.1 1 80\r\n",
        "TCP4 192.0.2.7 10.0.0.1 1 80\r\r\n",
        "UDP4 192.0.2.7 10.0.0.1 1 80\r\n",
        "UNKNOWNS\r\n",
        "\r\n",
        " \r\n",
    ] {
        let refused = parse(format!("PROXY {line}").as_bytes());
        assert!(matches!(refused, Err(Malformed::Line(_))), "{line:?}: {refused:?}");
    }
}

#[test]
fn blocks_are_read() {
    let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0xb0, 0, 80];
    let ends = ends_of("192.0.2.7:40112", "10.0.0.1:80");
    assert_eq!(read(&v2(0x21, 0x11, &v4)), ends);
    let with_more = [&v4[..], &[4, 0, 1, 0, 0xee, 0xff, 0xff]].concat();
    assert_eq!(
        read(&v2(0x21, 0x11, &with_more)),
        ends,
        "what follows is skipped, well-formed or not"
    );
    let v6 = [[0; 15].as_slice(), &[1], &[0; 10], &[0xff, 0xff, 10, 0, 0, 1], &[0, 1, 0, 2]];
    assert_eq!(read(&v2(0x21, 0x21, &v6.concat())), ends_of("[::1]:1", "10.0.0.1:2"));
    assert_eq!(read(&v2(0x21, 0x31, &[b'/'; 216])), None, "Unix sockets");
    assert_eq!(read(&v2(0x21, 0x00, b"anything")), None, "unspecified");
    for (family, block) in
        [(0x00, &b""[..]), (0x11, &v4), (0x11, b"short"), (0x22, b""), (0xff, b"?")]
    {
        assert_eq!(read(&v2(0x20, family, block)), None, "LOCAL, whatever else it says");
    }
}

#[test]
fn blocks_that_are_not_quite_right_are_refused() {
    let wrong = |command, family, bytes| parse(&v2(command, family, &vec![0; bytes])).unwrap_err();
    for family in [0x12, 0x22, 0x32] {
        assert_eq!(wrong(0x21, family, 216), Malformed::Datagram);
    }
    for (family, bytes) in [(0x11, 11), (0x21, 35), (0x31, 215)] {
        assert_eq!(wrong(0x21, family, bytes), Malformed::TooShort);
    }
    for family in [0x01, 0x10, 0x13, 0x20, 0x30, 0x41, 0xff] {
        assert!(matches!(wrong(0x21, family, 216), Malformed::Unknown(_, "family and protocol")));
    }
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff] {
        assert!(matches!(wrong(command, 0x11, 12), Malformed::Unknown(_, "version and command")));
    }
}

#[test]
fn a_header_that_does_not_end_is_given_up_at_its_bound() {
    let line = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    assert_eq!(parse(&line[..LINE_BYTES - 1]), Ok(None));
    assert_eq!(parse(&line[..LINE_BYTES]), Err(Malformed::TooLong(LINE_BYTES)));
    let longest = [b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat();
    assert_eq!((longest.len(), read(&longest)), (LINE_BYTES, None));

    let most = MAX_BYTES - PREFIX_BYTES;
    assert_eq!(read(&v2(0x20, 0x00, &vec![0; most])), None);
    // Its length is believed before what it announces has come.
    let more = v2(0x20, 0x00, &vec![0; most + 1]);
    assert_eq!(parse(&more[..PREFIX_BYTES - 1]), Ok(None));
    assert_eq!(parse(&more[..PREFIX_BYTES]), Err(Malformed::TooLong(MAX_BYTES)));
}

#[test]
fn what_begins_differently_is_none_from_its_first_byte_on() {
    for bytes in ["G", "GET / HTTP/1.1\r\n", "PROXX", "PROXY\t", "POST", "\r\nGET", "\n", "\0"] {
        assert_eq!(parse(bytes.as_bytes()), Err(Malformed::Absent), "{bytes:?}");
    }
    for bytes in ["", "P", "PROXY", "\r\n", "\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(parse(bytes.as_bytes()), Ok(None), "{bytes:?}");
    }
}

#[test]
fn what_is_about_no_address_is_written_so() {
    let v1 = |subject| String::from_utf8(encode(Version::V1, subject)).unwrap();
    assert_eq!(v1(Subject::Own), "PROXY UNKNOWN\r\n");
    assert_eq!(v1(Subject::Unknown), "PROXY UNKNOWN\r\n");
    assert_eq!(encode(Version::V2, Subject::Own), v2(0x20, 0x00, b""));
    assert_eq!(encode(Version::V2, Subject::Unknown), v2(0x21, 0x00, b""));
}

#[test]
fn ends_of_two_families_are_both_written_as_ipv6() {
    let ends = ends_of("192.0.2.7:1", "[::1]:2").unwrap();
    let line = encode(Version::V1, Subject::Relayed(ends));
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n");
    assert_eq!(read(&encode(Version::V2, Subject::Relayed(ends))), Some(ends));
    let mapped = ends_of("[::ffff:192.0.2.7]:1", "[::ffff:10.0.0.1]:2").unwrap();
    let line = encode(Version::V1, Subject::Relayed(mapped));
    assert_eq!(line, b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n");
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

/// A header of which a byte may be another.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let change = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    let ends = (any::<SocketAddr>(), any::<SocketAddr>());
    (versions(), ends, change, any::<[u8; 3]>()).prop_map(|(version, ends, change, tail)| {
        let ends = Ends { source: ends.0, destination: ends.1 };
        let mut bytes = encode(version, Subject::Relayed(ends));
        bytes.extend(tail);
        if let Some((place, byte)) = change {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes
    })
}

/// What may be a header, or might have become one.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN|UDP4)( [0-9a-f:.]{2,12}){0,3}( \\+?[0-9]{1,6}){0,3} ?\r?\n?.{0,9}";
    let family = prop_oneof![Just(0x11_u8), Just(0x21), Just(0x31), any::<u8>()];
    let command = prop_oneof![Just(0x21_u8), Just(0x20), any::<u8>()];
    let block = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        nearly(),
        line.prop_map(String::into_bytes),
        (command, family, block, 0..40_usize).prop_map(|(command, family, block, cut)| {
            let mut bytes = v2(command, family, &block);
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes
        }),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_us_and_by_another(
        version in versions(), source: SocketAddr, destination: SocketAddr, tail: Vec<u8>,
    ) {
        let plain = |address: SocketAddr| plain(address.ip(), address.port());
        let ends = Ends { source: plain(source), destination: plain(destination) };
        let mut bytes = encode(version, Subject::Relayed(Ends { source, destination }));
        let length = bytes.len();
        for cut in 0..length {
            prop_assert_eq!(parse(&bytes[..cut]), Ok(None));
        }
        bytes.extend(tail);
        prop_assert_eq!(parse(&bytes), Ok(Some(Header { ends: Some(ends), length })));
        let (theirs, taken) = ProxyHeader::parse(&bytes, CONFIG).unwrap();
        let theirs = theirs.proxied_address().unwrap();
        prop_assert_eq!((plain(theirs.source), plain(theirs.destination), taken),
            (ends.source, ends.destination, length));
    }

    #[test]
    fn what_is_read_another_reads_in_the_same_way(bytes in almost()) {
        let Ok(Some(header)) = parse(&bytes) else { return Ok(()) };
        prop_assert!(header.length <= bytes.len());
        prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
        // It does not ignore what LOCAL has for a family.
        if bytes.get(SIGNATURE.len()) == Some(&LOCAL) {
            return Ok(());
        }
        let (theirs, taken) = ProxyHeader::parse(&bytes, CONFIG).unwrap();
        let theirs = theirs.proxied_address().map(|ends| Ends {
            source: plain(ends.source.ip(), ends.source.port()),
            destination: plain(ends.destination.ip(), ends.destination.port()),
        });
        prop_assert_eq!((theirs, taken), (header.ends, header.length));
    }

    #[test]
    fn a_beginning_never_says_more_than_the_whole(bytes in almost()) {
        let whole = parse(&bytes);
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Ok(None) => {}
                decided => prop_assert_eq!(decided, whole),
            }
        }
    }
}
