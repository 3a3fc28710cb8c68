//! The frames of HTTP/2 that a client sends (RFC 9113, 4.1), while they pass.
//!
//! The library behind this refuses what is no HTTP/2. What it does not say is whether a head has begun
//! that has not ended, how many frames do nothing, how many requests are taken back, and that trailers
//! hold a field that only a head may (8.1).

use super::names::Names;

/// What a client sends first (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What is told of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It does nothing for a request.
    Idle,
    /// A request is taken back.
    Reset,
    /// Trailers hold a pseudo field, or a head changes the size of its table for nothing.
    Malformed,
}

/// What has come of a connection's frames.
#[derive(Debug)]
pub struct Frames {
    /// What is to come of the preface.
    preface: usize,
    head: [u8; HEAD_BYTES],
    /// What has come of that.
    begun: usize,
    /// What is to come of the payload.
    left: usize,
    /// What is to come before the fields, and what stands after them.
    before: usize,
    padding: usize,
    /// The payload begins with how much of that there is.
    padded: bool,
    /// Fields have begun and not ended.
    open: bool,
    /// They are trailers.
    trailers: bool,
    /// The last stream that was opened.
    latest: u32,
    names: Names,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            preface: PREFACE.len(),
            head: [0; HEAD_BYTES],
            begun: 0,
            left: 0,
            before: 0,
            padding: 0,
            padded: false,
            open: false,
            trailers: false,
            latest: 0,
            names: Names::default(),
        }
    }
}

impl Frames {
    /// Whether a part of a head has come, of the preface or of a frame of which nothing more is known.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        let preface = (1..PREFACE.len()).contains(&self.preface);
        preface || self.begun > 0 || self.open || self.left > 0 && self.has_fields()
    }

    /// Looks at bytes that follow those before. `told` says whether more is to be looked at.
    pub fn pass(&mut self, mut bytes: &[u8], mut told: impl FnMut(Told) -> bool) {
        let preface = bytes.split_off(..self.preface.min(bytes.len()));
        self.preface -= preface.map_or(0, <[u8]>::len);
        while !bytes.is_empty() {
            let goes_on = if self.left > 0 {
                let part = bytes.split_off(..self.left.min(bytes.len())).unwrap_or_default();
                self.payload(part, &mut told)
            } else {
                self.begin(&mut bytes, &mut told)
            };
            if !goes_on {
                return;
            }
        }
    }

    fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.head;
        kind
    }

    fn flag(&self, flag: u8) -> bool {
        let [_, _, _, _, flags, ..] = self.head;
        flags & flag != 0
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.head;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    fn has_fields(&self) -> bool {
        matches!(self.kind(), HEADERS | CONTINUATION)
    }

    /// Takes what there is of a frame's own head.
    fn begin(&mut self, bytes: &mut &[u8], told: &mut impl FnMut(Told) -> bool) -> bool {
        let room = self.head.get_mut(self.begun..).unwrap_or_default();
        let most = room.len().min(bytes.len());
        let part = bytes.split_off(..most).unwrap_or_default();
        room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        self.begun += most;
        if self.begun < HEAD_BYTES {
            return true;
        }
        self.begun = 0;
        let [a, b, c, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        let goes_on = match self.kind() {
            HEADERS => {
                self.fields();
                true
            }
            CONTINUATION => {
                (self.before, self.padding, self.padded) = (0, 0, false);
                self.left > 0 || told(Told::Idle)
            }
            RST_STREAM => told(Told::Reset),
            DATA => self.left > 0 || self.flag(END_STREAM) || told(Told::Idle),
            _ => told(Told::Idle),
        };
        goes_on && (self.left > 0 || self.end(told))
    }

    /// A head, or trailers, of a stream begins.
    fn fields(&mut self) {
        let stream = self.stream();
        self.open = true;
        self.trailers = stream <= self.latest;
        self.latest = self.latest.max(stream);
        self.names.begin();
        self.padded = self.flag(PADDED);
        self.padding = 0;
        self.before = usize::from(self.padded) + if self.flag(PRIORITY) { 5 } else { 0 };
    }

    /// Looks at a part of a payload.
    fn payload(&mut self, mut part: &[u8], told: &mut impl FnMut(Told) -> bool) -> bool {
        let length = part.len();
        if self.has_fields() {
            if self.padded
                && let Some(padding) = part.first()
            {
                self.padding = usize::from(*padding);
                self.padded = false;
            }
            let skipped = self.before.min(part.len());
            self.before -= skipped;
            part = part.get(skipped..).unwrap_or_default();
            let padding = self.padding.saturating_sub(self.left - length);
            self.names.pass(part.get(..part.len().saturating_sub(padding)).unwrap_or_default());
        }
        self.left -= length;
        self.left > 0 || self.end(told)
    }

    /// A frame has ended.
    fn end(&mut self, told: &mut impl FnMut(Told) -> bool) -> bool {
        if self.has_fields() && self.flag(END_HEADERS) {
            self.open = false;
            let malformed = self.trailers && self.names.has_pseudo() || self.names.is_fickle();
            return !malformed || told(Told::Malformed);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// What is told of frames, in whatever pieces they come.
    fn told(frames: &[Vec<u8>]) -> Vec<Told> {
        let bytes = [&PREFACE[..], &frames.concat()].concat();
        let mut all = Vec::new();
        for size in [1, 2, 7, 10, bytes.len()] {
            let (mut told, mut seen) = (Vec::new(), Frames::default());
            for piece in bytes.chunks(size) {
                seen.pass(piece, |one| {
                    told.push(one);
                    true
                });
            }
            assert!(!seen.is_within_head());
            all.push(told);
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.swap_remove(0)
    }

    #[test]
    fn frames_that_do_nothing_are_told() {
        let get = frame(HEADERS, END_HEADERS, 1, b"\x82\x86\x84");
        assert_eq!(told(&[get.clone(), frame(DATA, 0, 1, b"x")]), []);
        assert_eq!(told(&[get.clone(), frame(DATA, END_STREAM, 1, b"")]), []);
        assert_eq!(told(&[get.clone(), frame(DATA, 0, 1, b"")]), [Told::Idle]);
        assert_eq!(told(&[get, frame(RST_STREAM, 0, 1, b"\0\0\0\x08")]), [Told::Reset]);
        for kind in [2, 4, 6, 8, 77] {
            assert_eq!(told(&[frame(kind, 0, 0, b"12345678")]), [Told::Idle], "{kind}");
        }
    }

    #[test]
    fn trailers_with_a_pseudo_field_are_malformed() {
        let head = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x84");
        let literal = b"\0\x05:path\x01/";
        for pseudo in [&b"\x84"[..], literal, b"\x04\x01/", b"\0\x84\xb9\x58\xd3\x3f\x01/", b"\x81"]
        {
            let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, pseudo);
            assert_eq!(told(&[head.clone(), trailers]), [Told::Malformed], "{pseudo:?}");
        }
        let plain = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x03x-a\x05:path");
        assert_eq!(told(&[head.clone(), plain]), []);
        let split = [
            head,
            frame(HEADERS, END_STREAM, 1, &literal[..3]),
            frame(CONTINUATION, END_HEADERS, 1, &literal[3..]),
        ];
        assert_eq!(told(&split), [Told::Malformed]);
    }

    #[test]
    fn padding_and_priority_are_no_fields() {
        let head = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x84");
        let flags = END_HEADERS | END_STREAM | PADDED | PRIORITY;
        let plain = frame(HEADERS, flags, 1, b"\x02\0\0\0\0\x84\0\x03x-a\x01b\x84\x84");
        assert_eq!(told(&[head.clone(), plain]), []);
        let pseudo = frame(HEADERS, flags, 1, b"\x02\0\0\0\0\x10\x84ab");
        assert_eq!(told(&[head, pseudo]), [Told::Malformed]);
    }

    #[test]
    fn a_head_is_begun_until_its_end() {
        let mut frames = Frames::default();
        let mut within = |bytes: &[u8]| {
            frames.pass(bytes, |_| true);
            frames.is_within_head()
        };
        assert!(!within(b""));
        assert!(within(&PREFACE[..3]));
        assert!(!within(&PREFACE[3..]));
        let head = frame(HEADERS, 0, 1, b"\x83");
        assert!(within(&head[..4]));
        assert!(within(&head[4..]));
        assert!(!within(&frame(CONTINUATION, END_HEADERS, 1, b"\x86\x84")));
        let data = frame(DATA, 0, 1, b"abc");
        assert!(!within(&data[..10]));
        assert!(!within(&data[10..]));
    }
}
