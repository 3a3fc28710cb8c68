//! HTTP/2 upstreams that write their frames by hand, correct or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Kinds of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection to a [`server`].
#[derive(Debug)]
pub(crate) struct Raw {
    /// The connections that came before it.
    pub(crate) number: usize,
    stream: TcpStream,
}

/// Runs a script for each connection, each in a thread, after the preface has been read and an empty
/// SETTINGS sent. Whatever is not closed by the end of the script is closed then.
pub(crate) fn server(script: impl Fn(&mut Raw) + Send + Sync + 'static) -> SocketAddr {
    bare(move |raw| {
        if raw.preface() {
            raw.frame(SETTINGS, 0, 0, &[]);
            script(raw);
        }
    })
}

/// The same without a word beforehand.
pub(crate) fn bare(script: impl Fn(&mut Raw) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (script, Ok(stream)) = (Arc::clone(&script), stream) else { return };
            thread::spawn(move || script(&mut Raw { number, stream }));
        }
    });
    address
}

impl Raw {
    /// Reads the client's preface; false if it does not come.
    pub(crate) fn preface(&mut self) -> bool {
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface).is_ok() && preface.starts_with(b"PRI * HTTP/2.0")
    }

    /// Reads a PROXY header of text; false if it is none.
    pub(crate) fn proxy_header(&mut self) -> bool {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() > 107 || self.stream.read_exact(&mut byte).is_err() {
                return false;
            }
            line.extend_from_slice(&byte);
        }
        line.starts_with(b"PROXY TCP4 ")
    }

    /// Writes bytes; false if nobody takes them any more.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// Reads a frame; none at the end.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(id), payload })
    }

    /// Reads until a request has begun, whose stream it gives; acknowledges SETTINGS on the way.
    pub(crate) fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.read()?;
            match (frame.kind, frame.flags) {
                (SETTINGS, 0) => {
                    self.frame(SETTINGS, 1, 0, &[]);
                }
                (HEADERS, _) => return Some(frame.stream),
                _ => {}
            }
        }
    }

    /// Answers with 200, and a body.
    pub(crate) fn answer(&mut self, stream: u32, body: &[u8]) -> bool {
        self.frame(HEADERS, END_HEADERS, stream, &[OK])
            && self.frame(DATA, END_STREAM, stream, body)
    }

    /// Reads on in a thread, so that whoever answers is not held up.
    pub(crate) fn ignore_what_comes(&self) {
        let mut stream = self.stream.try_clone().unwrap();
        thread::spawn(move || while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {});
    }

    /// Reads on until the other side closes, and gives the frames.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.read()).collect()
    }
}

/// `:status: 200`, in HPACK.
pub(crate) const OK: u8 = 0x88;

/// A field without indexing, in HPACK.
pub(crate) fn literal(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    length(&mut bytes, name.len());
    bytes.extend_from_slice(name.as_bytes());
    length(&mut bytes, value.len());
    bytes.extend_from_slice(value);
    bytes
}

fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// A block of `:status: 200` and these fields.
pub(crate) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|(name, value)| literal(name, value));
    [OK].into_iter().chain(fields).collect()
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
