//! The PROXY protocol, versions 1 and 2, as HAProxy specifies it: what a proxy says of a connection
//! before the first byte of it. Pure functions over bytes.
//!
//! Whoever reads a header believes it, so nothing in one is guessed. A line of version 1 is what its
//! grammar says: single blanks, no sign and no leading zero before a port, addresses of the family that
//! is named, 107 bytes. (The crates that read it take more than that, and leave the bounds to others.)
//! A block of version 2 has at most [`MAX_BYTES`]; what follows its addresses is skipped unread, a
//! checksum too.
//!
//! A header that is about no address conveys none: LOCAL and UNKNOWN, AF_UNSPEC, and Unix sockets.
//! Datagrams are refused. An IPv4 address that is written as an IPv6 one is that IPv4 address.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

/// The longest header that is read, of version 2 with all that follows its addresses. nginx's.
pub const MAX_BYTES: usize = 4096;

/// The longest line of version 1, its end included.
const LINE_BYTES: usize = 107;

const WORD: &[u8] = b"PROXY ";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What comes before the addresses of version 2: the signature, command, family and length.
const PREFIX_BYTES: usize = 16;

/// LOCAL, of version 2.
const LOCAL: u8 = 0x20;
/// PROXY, of version 2.
const PROXY: u8 = 0x21;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// As a line of text.
    V1,
    /// In binary.
    V2,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Who has opened it.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// What a header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The connection of somebody else.
    Relayed(Ends),
    /// That of somebody who has no address.
    Unknown,
    /// The sender's own: it checks whether somebody is there.
    Own,
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it conveys.
    pub ends: Option<Ends>,
    /// How many bytes it takes.
    pub length: usize,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They begin with something else.
    #[error("there is no PROXY header")]
    Absent,
    /// There is no end to it.
    #[error("the PROXY header is longer than {0} bytes")]
    TooLong(usize),
    /// A line that is not of the form that version 1 has.
    #[error("the PROXY header is malformed: {0}")]
    Line(&'static str),
    /// A number that means nothing in version 2, and what it should have been.
    #[error("the PROXY header has {0:#04x} for its {1}")]
    Unknown(u8, &'static str),
    /// It is about UDP.
    #[error("the PROXY header is about datagrams")]
    Datagram,
    /// Addresses of this family take more room than there is.
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
}

/// The header at the beginning of these bytes. None as long as all of them belong to one that is not
/// there as a whole.
///
/// # Errors
///
/// As soon as it is clear that there will be none.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, known)| byte == known);
    if begins(WORD) {
        line(bytes)
    } else if begins(SIGNATURE) {
        block(bytes)
    } else {
        Err(Malformed::Absent)
    }
}

/// A header.
#[must_use]
pub fn encode(version: Version, subject: Subject) -> Vec<u8> {
    match version {
        Version::V1 => encode_line(subject),
        Version::V2 => encode_block(subject),
    }
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(end) = bytes.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') else {
        let endless = bytes.len() >= LINE_BYTES;
        return if endless { Err(Malformed::TooLong(LINE_BYTES)) } else { Ok(None) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(Malformed::Line("its line ends without a CR"))?;
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let ends = match words.next() {
        Some(b"TCP4") => Some(ends::<Ipv4Addr>(&mut words)?),
        Some(b"TCP6") => Some(ends::<Ipv6Addr>(&mut words)?),
        // Whatever else it says is to be ignored.
        Some(b"UNKNOWN") => None,
        _ => return Err(Malformed::Line("its protocol is not TCP4, TCP6 or UNKNOWN")),
    };
    if ends.is_some() && words.next().is_some() {
        return Err(Malformed::Line("it goes on behind its ports"));
    }
    Ok(Some(Header { ends, length: end + 1 }))
}

/// Two addresses, then two ports.
fn ends<'b, A: FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'b [u8]>,
) -> Result<Ends, Malformed> {
    let mut address = || {
        let text = str::from_utf8(words.next()?).ok()?;
        Some(text.parse::<A>().ok()?.into())
    };
    let missing = Malformed::Line("it has no two addresses of its family");
    let (source, destination) = (address().ok_or(missing)?, address().ok_or(missing)?);
    let mut port = || port(words.next()?);
    let missing = Malformed::Line("it has no two ports");
    let (from, to) = (port().ok_or(missing)?, port().ok_or(missing)?);
    Ok(Ends { source: plain(source, from), destination: plain(destination, to) })
}

fn port(digits: &[u8]) -> Option<u16> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let is_padded = digits.len() > 1 && digits.starts_with(b"0");
    if !is_number || is_padded {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn plain(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Version 2.
fn block(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some([command, family, high, low]) = bytes.get(SIGNATURE.len()..PREFIX_BYTES) else {
        return Ok(None);
    };
    let length = PREFIX_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    let least = match (*command, *family) {
        (LOCAL, _) | (PROXY, 0x00) => 0,
        (PROXY, 0x11) => 12,
        (PROXY, 0x21) => 36,
        (PROXY, 0x31) => 216,
        (PROXY, 0x12 | 0x22 | 0x32) => return Err(Malformed::Datagram),
        (PROXY, family) => return Err(Malformed::Unknown(family, "family and protocol")),
        (command, _) => return Err(Malformed::Unknown(command, "version and command")),
    };
    if length < PREFIX_BYTES + least {
        return Err(Malformed::TooShort);
    }
    if length > MAX_BYTES {
        return Err(Malformed::TooLong(MAX_BYTES));
    }
    let Some(block) = bytes.get(PREFIX_BYTES..length) else { return Ok(None) };
    let ends = match least {
        12 => binary::<4>(block),
        36 => binary::<16>(block),
        _ => None,
    };
    Ok(Some(Header { ends, length }))
}

/// Two addresses, then two ports.
fn binary<const BYTES: usize>(block: &[u8]) -> Option<Ends>
where
    [u8; BYTES]: Into<IpAddr>,
{
    let (source, rest) = block.split_first_chunk::<BYTES>()?;
    let (destination, rest) = rest.split_first_chunk::<BYTES>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let to = rest.first_chunk::<2>()?;
    Some(Ends {
        source: plain((*source).into(), u16::from_be_bytes(*from)),
        destination: plain((*destination).into(), u16::from_be_bytes(*to)),
    })
}

fn encode_line(subject: Subject) -> Vec<u8> {
    let Subject::Relayed(ends) = subject else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let (family, source, destination) = match of_one_family(ends) {
        OneFamily::V4(source, destination) => ("TCP4", source.into(), destination.into()),
        OneFamily::V6(source, destination) => {
            ("TCP6", IpAddr::from(source), IpAddr::from(destination))
        }
    };
    let (from, to) = (ends.source.port(), ends.destination.port());
    format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
}

fn encode_block(subject: Subject) -> Vec<u8> {
    let (command, family, addresses) = match subject {
        Subject::Own => (LOCAL, 0x00, Vec::new()),
        Subject::Unknown => (PROXY, 0x00, Vec::new()),
        Subject::Relayed(ends) => {
            let (family, mut addresses) = match of_one_family(ends) {
                OneFamily::V4(source, destination) => {
                    (0x11, [source.octets(), destination.octets()].concat())
                }
                OneFamily::V6(source, destination) => {
                    (0x21, [source.octets(), destination.octets()].concat())
                }
            };
            addresses.extend(ends.source.port().to_be_bytes());
            addresses.extend(ends.destination.port().to_be_bytes());
            (PROXY, family, addresses)
        }
    };
    let length = u16::try_from(addresses.len()).unwrap_or_default();
    let mut header = [SIGNATURE, &[command, family], &length.to_be_bytes()].concat();
    header.extend(addresses);
    header
}

enum OneFamily {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// A header has room for one family: where one end is IPv6, the other is written so.
fn of_one_family(ends: Ends) -> OneFamily {
    let mapped = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    match (ends.source.ip().to_canonical(), ends.destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => OneFamily::V4(source, destination),
        (source, destination) => OneFamily::V6(mapped(source), mapped(destination)),
    }
}
