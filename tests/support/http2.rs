//! A client of HTTP/2, in frames: what it is told to send it sends, whatever that is.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that looks beyond what there is has nothing better to do than to fail"
)]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// Fields as they are, without any compression.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// The same of one field of any bytes.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

fn length(mut length: usize) -> Vec<u8> {
    if length < 127 {
        return vec![u8::try_from(length).unwrap()];
    }
    length -= 127;
    let mut bytes = vec![127];
    while length >= 128 {
        bytes.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes
}

/// What makes a request, and further fields.
pub(crate) fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.test")];
    [fields(&pseudo), fields(more)].concat()
}

/// A whole request without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, head("GET", path, &[]))
}

/// What a stream got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The statuses of its heads, interim ones first.
    pub(crate) statuses: Vec<u16>,
    pub(crate) body: Vec<u8>,
    /// Whether it came to its end.
    pub(crate) whole: bool,
    /// The code with which it was reset.
    pub(crate) reset: Option<u32>,
    /// Heads and trailers as they came.
    pub(crate) heads: Vec<Vec<u8>>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    stream: TcpStream,
    buffer: Vec<u8>,
    pub(crate) answers: HashMap<u32, Answer>,
    /// The codes of GOAWAY.
    pub(crate) goaways: Vec<u32>,
    /// How often SETTINGS and PING were acknowledged.
    pub(crate) acks: usize,
    /// Whether windows are kept open.
    pub(crate) takes: bool,
}

impl Http2 {
    /// A connection that has begun in order.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with(address, &[])
    }

    /// The same with these settings beside those that make answers readable.
    #[track_caller]
    pub(crate) fn with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::raw(address);
        // Without a table no field is named by its place there.
        let settings = [&[(1, 0)], settings].concat();
        let settings = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        client.send(PREFACE);
        client.send(frame(SETTINGS, 0, 0, settings.collect::<Vec<u8>>()));
        client
    }

    /// A connection over which nothing was sent.
    #[track_caller]
    pub(crate) fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            answers: HashMap::new(),
            goaways: Vec::new(),
            acks: 0,
            takes: true,
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes, unless the other side has had enough: false then.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Whether there is more.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend(&bytes[..read]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing comes: {error}; so far {self:?}"),
        }
    }

    /// The next frame; none at the end of the connection.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, rest @ ..] = &self.buffer[..]
                && let Some((stream, _)) = rest.split_first_chunk::<4>()
            {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if self.buffer.len() >= 9 + length {
                    let (kind, flags) = (*kind, *flags);
                    let stream = u32::from_be_bytes(*stream);
                    let payload = self.buffer[9..9 + length].to_vec();
                    self.buffer.drain(..9 + length);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Takes the next frame as a client does; false at the end of the connection.
    #[track_caller]
    pub(crate) fn step(&mut self) -> bool {
        let Some(frame) = self.frame() else { return false };
        let answer = self.answers.entry(frame.stream).or_default();
        let ends = frame.flags & END_STREAM != 0;
        match frame.kind {
            DATA => {
                answer.body.extend(&frame.payload);
                answer.whole |= ends;
                let taken = u32::try_from(frame.payload.len()).unwrap();
                if self.takes && taken > 0 {
                    let more = taken.to_be_bytes();
                    self.try_send(self::frame(WINDOW_UPDATE, 0, 0, more));
                    if !ends {
                        self.try_send(self::frame(WINDOW_UPDATE, 0, frame.stream, more));
                    }
                }
            }
            HEADERS => {
                answer.statuses.extend(status(&frame.payload));
                answer.heads.push(frame.payload);
                answer.whole |= ends;
            }
            CONTINUATION => answer.heads.last_mut().unwrap().extend(&frame.payload),
            RST_STREAM => answer.reset = Some(frame.code()),
            GOAWAY => self.goaways.push(frame.code()),
            SETTINGS | PING if frame.flags & ACK != 0 => self.acks += 1,
            kind @ (SETTINGS | PING) => {
                let payload = if kind == PING { frame.payload } else { Vec::new() };
                self.try_send(self::frame(kind, ACK, 0, payload));
            }
            _ => {}
        }
        true
    }

    /// What a stream gets, to its end or that of the connection.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.until(|client| {
            client.answers.get(&stream).is_some_and(|answer| answer.whole || answer.reset.is_some())
        });
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Takes frames until something holds or the connection has ended: whether it holds.
    #[track_caller]
    pub(crate) fn until(&mut self, holds: impl Fn(&Self) -> bool) -> bool {
        while !holds(self) {
            if !self.step() {
                return holds(self);
            }
        }
        true
    }

    /// Takes all that comes until the connection has ended.
    #[track_caller]
    pub(crate) fn listen_to_end(&mut self) {
        while self.step() {}
    }

    /// What a request gets.
    #[track_caller]
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.send(get(stream, path));
        self.answer(stream)
    }
}

/// The status in a head, which is its first field; none of trailers.
fn status(head: &[u8]) -> Option<u16> {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // The table's size may come before it.
    let head = head.strip_prefix(&[0x20]).unwrap_or(head);
    match head {
        [place @ 0x88..=0x8e, ..] => Some(KNOWN[usize::from(place - 0x88)]),
        [0x08 | 0x18 | 0x48, length, rest @ ..] => {
            let text = &rest[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                return std::str::from_utf8(text).unwrap().parse().ok();
            }
            digits(text).parse().ok()
        }
        _ => None,
    }
}

/// Digits that are compressed (RFC 7541, appendix B).
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let mut text = String::new();
    let mut rest = &bits[..];
    while rest.len() >= 5 {
        let short = number(&rest[..5]);
        if short <= 2 {
            text.push(char::from(b'0' + short));
            rest = &rest[5..];
        } else if rest.len() >= 6 && (25..=31).contains(&number(&rest[..6])) {
            text.push(char::from(b'3' + number(&rest[..6]) - 25));
            rest = &rest[6..];
        } else {
            break;
        }
    }
    text
}
