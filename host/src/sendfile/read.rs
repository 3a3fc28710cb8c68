//! The bytes of a file, as they are or compressed, on a thread that may block.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;

use super::coding::Coding;
use crate::body::Chunks;

/// What is read at a time, if there is no more room.
const LEAST_BYTES: usize = 4 << 10;

/// What is read at a time to be compressed.
const IN_BYTES: usize = 64 << 10;

/// What a compressor gathers before it is sent on.
const OUT_BYTES: usize = 32 << 10;

/// Compressing is to keep up with a network: levels at which both do some 50 MB/s and more.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
/// A window of 512 KiB, which bounds the memory that one response takes.
const BROTLI_WINDOW: u32 = 19;

/// The most files that are compressed at a time: a compressor takes some 3 MiB for as long as its client
/// takes to read. Beyond that files are sent as they are.
const COMPRESSORS: usize = 64;

static COMPRESSING: AtomicUsize = AtomicUsize::new(0);

/// What a body consists of.
#[derive(Debug)]
pub(super) enum Part {
    /// Bytes of our own.
    Text(Bytes),
    /// Bytes of the file.
    Range(Range<u64>),
}

/// Parts, one after the other.
#[derive(Debug)]
pub(super) struct Plain {
    file: File,
    parts: VecDeque<Part>,
}

impl Plain {
    pub(super) fn new(file: File, parts: impl Into<VecDeque<Part>>) -> Self {
        Self { file, parts: parts.into() }
    }
}

impl Plain {
    /// Reads the beginning of the next part, as much as there is room for. Nothing if there is none.
    fn read(&mut self, room: &mut Vec<u8>) -> io::Result<()> {
        let range = match self.parts.pop_front() {
            None => return Ok(()),
            Some(Part::Text(text)) => {
                room.extend_from_slice(&text);
                return Ok(());
            }
            Some(Part::Range(range)) => range,
        };
        let most = u64::try_from(room.capacity().max(LEAST_BYTES)).map_err(io::Error::other)?;
        let most = most.min(range.end.saturating_sub(range.start));
        self.file.seek(SeekFrom::Start(range.start))?;
        // Unlike a mere read, this does not have to write zeros first.
        let read = (&self.file).take(most).read_to_end(room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = range.start.saturating_add(u64::try_from(read).map_err(io::Error::other)?);
        if start < range.end {
            self.parts.push_front(Part::Range(start..range.end));
        }
        Ok(())
    }
}

impl Chunks for Plain {
    fn next(&mut self, mut room: Vec<u8>) -> io::Result<Option<Bytes>> {
        self.read(&mut room)?;
        Ok(Some(Bytes::from(room)).filter(|chunk| !chunk.is_empty()))
    }
}

/// Leave to compress a file; dropped, another may be.
#[derive(Debug)]
pub(super) struct Leave(());

impl Leave {
    /// None if as many files as may be are being compressed.
    pub(super) fn take() -> Option<Self> {
        let more = |now: usize| (now < COMPRESSORS).then_some(now + 1);
        COMPRESSING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        COMPRESSING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same, compressed.
pub(super) struct Compressed {
    plain: Plain,
    /// What is to be compressed next.
    input: Vec<u8>,
    /// None once all is compressed.
    encoder: Option<Encoder>,
    _leave: Leave,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

impl Compressed {
    /// None if there is no compressor for the coding.
    pub(super) fn new(plain: Plain, coding: Coding, leave: Leave) -> Option<Self> {
        let out = Vec::new();
        let encoder = match coding {
            Coding::Gzip => {
                Encoder::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL)))
            }
            Coding::Brotli => {
                let writer = CompressorWriter::new(out, OUT_BYTES, BROTLI_QUALITY, BROTLI_WINDOW);
                Encoder::Brotli(Box::new(writer))
            }
            Coding::Zstandard => return None,
        };
        Some(Self {
            plain,
            input: Vec::with_capacity(IN_BYTES),
            encoder: Some(encoder),
            _leave: leave,
        })
    }

    /// Whether there is a compressor for the coding.
    pub(super) fn can(coding: Coding) -> bool {
        coding != Coding::Zstandard
    }
}

impl Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
        }
    }
}

impl Chunks for Compressed {
    fn next(&mut self, room: Vec<u8>) -> io::Result<Option<Bytes>> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        if encoder.out().is_empty() {
            *encoder.out() = room;
        }
        loop {
            self.input.clear();
            self.plain.read(&mut self.input)?;
            if self.input.is_empty() {
                break;
            }
            encoder.write(&self.input)?;
            if encoder.out().len() >= OUT_BYTES {
                return Ok(Some(std::mem::take(encoder.out()).into()));
            }
        }
        let Some(encoder) = self.encoder.take() else { return Ok(None) };
        let rest = encoder.finish()?;
        Ok(Some(Bytes::from(rest)).filter(|rest| !rest.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut chunks: impl Chunks) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next(Vec::with_capacity(1_000))? {
            assert!(!chunk.is_empty());
            all.extend(chunk);
        }
        Ok(all)
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn text() -> Vec<u8> {
        (0..60_000_u32).flat_map(|n| format!("line {n} {}\n", n * n % 977).into_bytes()).collect()
    }

    #[test]
    fn parts_come_in_their_order() {
        let text = text();
        let parts = [
            Part::Text("<".into()),
            Part::Range(10..400_000),
            Part::Text("|".into()),
            Part::Range(0..3),
        ];
        let expected = [b"<", &text[10..400_000], b"|", b"lin"].concat();
        assert!(all(Plain::new(file(&text), parts)).unwrap() == expected);
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let plain = || Plain::new(file(b"abc"), [Part::Range(0..4)]);
        assert_eq!(all(plain()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let compressed = Compressed::new(plain(), Coding::Gzip, Leave::take().unwrap()).unwrap();
        assert_eq!(all(compressed).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_compressed_is_the_same_again() {
        let text = text();
        let length = u64::try_from(text.len()).unwrap();
        let compressed = |coding| {
            let plain = Plain::new(file(&text), [Part::Range(0..length)]);
            all(Compressed::new(plain, coding, Leave::take().unwrap()).unwrap()).unwrap()
        };
        let (gzip, brotli) = (compressed(Coding::Gzip), compressed(Coding::Brotli));
        assert!(gzip.len() < text.len() / 2 && brotli.len() < text.len() / 2);
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut again).unwrap();
        assert!(again == text);
        again.clear();
        brotli::Decompressor::new(&*brotli, 4096).read_to_end(&mut again).unwrap();
        assert!(again == text);
    }
}
