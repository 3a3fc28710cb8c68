//! Bodies of chunks.

use super::End;
use super::head::{Field, field};

/// What was read of a body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    pub(super) data: Vec<u8>,
    pub(super) trailers: Vec<Field>,
    /// How many bytes have to go on.
    pub(super) certain: usize,
    /// How many may go on after those.
    pub(super) doubtful: usize,
    pub(super) complete: bool,
    pub(super) end: End,
}

/// Reads a body that `bytes` begins with, and so many trailers at most.
pub(super) fn read(bytes: &[u8], most: usize) -> Chunks {
    let mut chunks = Chunks::default();
    loop {
        let Some(line) = chunks.line(bytes) else { return chunks };
        let length = line.chars().count() + 2;
        let Some(size) = size(&line) else { return chunks.wrong(length) };
        chunks.certain += length;
        if size == 0 {
            return chunks.trailers(bytes, most);
        }
        let rest = &bytes[chunks.certain..];
        let there = size.min(rest.len());
        chunks.data.extend_from_slice(&rest[..there]);
        chunks.certain += there;
        let end = &rest[there..];
        if there < size || end.is_empty() {
            return chunks;
        }
        if end == b"\r" {
            chunks.certain += 1;
            return chunks;
        }
        if !end.starts_with(b"\r\n") {
            return chunks.wrong(end.len().min(1));
        }
        chunks.certain += 2;
    }
}

impl Chunks {
    /// The next line, one character for each byte.
    fn line(&mut self, bytes: &[u8]) -> Option<String> {
        let rest = &bytes[self.certain..];
        let end = rest.windows(2).position(|two| two == b"\r\n");
        if end.is_none() {
            self.doubtful = rest.len();
            self.end = if rest.is_empty() { End::Right } else { End::Unfinished };
        }
        end.map(|end| rest[..end].iter().map(|byte| char::from(*byte)).collect())
    }

    fn trailers(mut self, bytes: &[u8], most: usize) -> Self {
        loop {
            let Some(line) = self.line(bytes) else { return self };
            let length = line.chars().count() + 2;
            if line.is_empty() {
                self.certain += length;
                self.complete = true;
                return self;
            }
            match field(&line) {
                Some(field) if self.trailers.len() < most => self.trailers.push(field),
                _ => return self.wrong(length),
            }
            self.certain += length;
        }
    }

    fn wrong(mut self, doubtful: usize) -> Self {
        self.doubtful = doubtful;
        self.end = End::Wrong;
        self
    }
}

/// The size that a line gives a chunk.
fn size(line: &str) -> Option<usize> {
    let (size, extension) = line.split_once(';').unwrap_or((line, ""));
    let digits = (1..=16).contains(&size.len()) && size.chars().all(|c| c.is_ascii_hexdigit());
    let clean = extension.chars().all(|c| c == '\t' || !c.is_ascii_control());
    let size = i64::from_str_radix(size, 16).ok()?;
    usize::try_from(size).ok().filter(|_| digits && clean)
}
