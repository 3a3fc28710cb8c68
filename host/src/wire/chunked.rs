//! The chunked coding (RFC 9112, 7.1): sizes, extensions, trailers.

use super::bytes::{is_control, is_token};
use super::{Fault, Limits};

/// The most bytes of extensions in one body.
const EXTENSION_BYTES: usize = 16 << 10;
/// The most bytes of trailers, their lines' ends and the last empty line included.
const TRAILER_BYTES: usize = (16 << 10) - 1;
/// The most digits of a size.
const DIGITS: u8 = 16;

/// A body of chunks, as it comes.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    /// The size of the chunk.
    size: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
    most_trailers: usize,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A digit of a size, so many having come.
    Size(u8),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A trailer, or the end.
    Trailer,
    Name,
    Value,
    TrailerLf,
    EndLf,
    Over,
}

impl Chunked {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            at: At::Size(0),
            size: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailers: 0,
            most_trailers: limits.fields,
        }
    }

    /// Whether the body is over.
    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// How many of the bytes belong to the body: all of them, unless it is over, or what follows is
    /// none of it.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut place = 0;
        while let Some(byte) = bytes.get(place) {
            match self.at {
                At::Over => break,
                At::Data => {
                    let there = (bytes.len() - place) as u64;
                    let taken = there.min(self.size);
                    self.size -= taken;
                    if self.size == 0 {
                        self.at = At::DataCr;
                    }
                    // No more than there is.
                    place += usize::try_from(taken).unwrap_or(usize::MAX);
                }
                _ => match self.byte(*byte) {
                    Ok(next) => {
                        self.at = next;
                        place += 1;
                    }
                    // It is found again when it is the first.
                    Err(_) if place > 0 => break,
                    Err(fault) => return Err(fault),
                },
            }
        }
        Ok(place)
    }

    /// How many of the bytes that come next, of which so many are there, are data. They are taken.
    pub(super) fn data(&mut self, there: usize) -> usize {
        if self.at != At::Data {
            return 0;
        }
        let taken = there.min(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.size -= taken as u64;
        if self.size == 0 {
            self.at = At::DataCr;
        }
        taken
    }

    /// Takes what is not data, up to where data begins or the body ends; how many bytes that are. Those
    /// of trailers, and the line that ends them, go to `lines` as well.
    pub(super) fn frame(&mut self, bytes: &[u8], lines: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        for byte in bytes {
            if matches!(self.at, At::Data | At::Over) {
                break;
            }
            self.at = self.byte(*byte)?;
            used += 1;
            // The byte before which it was none of them is the end of the line with the last size.
            if matches!(self.at, At::Name | At::Value | At::TrailerLf | At::EndLf | At::Over)
                || self.at == At::Trailer && self.trailer_bytes > 0
            {
                lines.push(*byte);
            }
        }
        Ok(used)
    }

    fn byte(&mut self, byte: u8) -> Result<At, Fault> {
        if matches!(self.at, At::Trailer | At::Name | At::Value | At::TrailerLf | At::EndLf) {
            self.trailer_bytes += 1;
            if self.trailer_bytes > TRAILER_BYTES {
                return Err(Fault::Trailers);
            }
        }
        match (self.at, byte) {
            (At::Size(digits), _) => self.size(digits, byte),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, _) if is_control(byte) && byte != b'\t' => Err(Fault::Extension),
            (At::Extension, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES {
                    return Err(Fault::Extensions);
                }
                Ok(At::Extension)
            }
            (At::SizeLf, b'\n') if self.size == 0 => Ok(At::Trailer),
            (At::SizeLf, b'\n') => Ok(At::Data),
            (At::SizeLf, _) => Err(Fault::ChunkSize),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size(0)),
            (At::DataCr | At::DataLf, _) => Err(Fault::ChunkEnd),
            (At::EndLf, b'\n') => Ok(At::Over),
            (At::Data | At::Over, _) => Ok(self.at),
            _ => self.trailer(byte),
        }
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<At, Fault> {
        let before = if digits == 0 { 0 } else { self.size };
        match byte {
            b'\r' if digits > 0 => Ok(At::SizeLf),
            b';' if digits > 0 => {
                self.extension_bytes += 1;
                Ok(At::Extension)
            }
            _ => {
                let digit = char::from(byte).to_digit(16).ok_or(Fault::ChunkSize)?;
                if digits == DIGITS {
                    return Err(Fault::ChunkSize);
                }
                let size = before << 4 | u64::from(digit);
                if i64::try_from(size).is_err() {
                    return Err(Fault::ChunkTooLarge);
                }
                self.size = size;
                Ok(At::Size(digits + 1))
            }
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::Trailer, b'\r') => Ok(At::EndLf),
            (At::Trailer | At::Name, _) if is_token(byte) => Ok(At::Name),
            (At::Name, b':') => Ok(At::Value),
            (At::Value, b'\r') => Ok(At::TrailerLf),
            (At::Value, _) if !is_control(byte) || byte == b'\t' => Ok(At::Value),
            (At::TrailerLf, b'\n') => {
                self.trailers += 1;
                if self.trailers > self.most_trailers {
                    return Err(Fault::Trailers);
                }
                Ok(At::Trailer)
            }
            _ => Err(Fault::Trailer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes: 65_536, fields: 3, target_bytes: 100 };

    /// What is left when the body is over, if it is, whatever pieces it comes in.
    fn judged(body: &[u8]) -> Result<Option<usize>, Fault> {
        let at_once = judged_in(body, body.len());
        for size in [1, 2, 3, 7] {
            assert_eq!(judged_in(body, size), at_once, "pieces of {size}");
        }
        at_once
    }

    fn judged_in(body: &[u8], size: usize) -> Result<Option<usize>, Fault> {
        let mut chunked = Chunked::new(&LIMITS);
        let mut used = 0;
        while used < body.len() && !chunked.is_over() {
            let end = body.len().min(used + size);
            used += chunked.advance(&body[used..end])?;
        }
        Ok(chunked.is_over().then(|| body.len() - used))
    }

    #[test]
    fn bodies_end_after_their_trailers() {
        for (body, left) in [
            ("0\r\n\r\n", Some(0)),
            ("5\r\nhello\r\n0\r\n\r\nGET", Some(3)),
            ("5;name=val;q=\"a;b\"\r\nhello\r\n00\r\n\r\n\r\n", Some(2)),
            ("A\r\n0123456789\r\n0;\t\r\na: b\r\nC:\r\n\r\n", Some(0)),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", Some(0)),
            ("5\r\nhello\r\n", None),
            ("7fffffffffffffff\r\nhello", None),
            ("0\r\na: b\r\n", None),
        ] {
            assert_eq!(judged(body.as_bytes()), Ok(left), "{body:?}");
        }
    }

    #[test]
    fn nothing_else_is_a_chunk() {
        for (body, fault) in [
            ("g\r\n", Fault::ChunkSize),
            ("\r\n", Fault::ChunkSize),
            (";a\r\n", Fault::ChunkSize),
            ("+5\r\n", Fault::ChunkSize),
            (" 5\r\n", Fault::ChunkSize),
            ("5 \r\n", Fault::ChunkSize),
            ("5 ;a\r\n", Fault::ChunkSize),
            ("0x5\r\n", Fault::ChunkSize),
            ("5\n", Fault::ChunkSize),
            ("5\rX", Fault::ChunkSize),
            ("00000000000000005\r\n", Fault::ChunkSize),
            ("ffffffffffffffff\r\n", Fault::ChunkTooLarge),
            ("8000000000000000\r\n", Fault::ChunkTooLarge),
            ("5;a\nb\r\n", Fault::Extension),
            ("5;a\0\r\n", Fault::Extension),
            ("5;a\rb", Fault::ChunkSize),
            ("5\r\nhelloX", Fault::ChunkEnd),
            ("5\r\nhello\n", Fault::ChunkEnd),
            ("5\r\nhello\rX", Fault::ChunkEnd),
            ("0\r\n a: b\r\n", Fault::Trailer),
            ("0\r\na\r\n", Fault::Trailer),
            ("0\r\na : b\r\n", Fault::Trailer),
            ("0\r\na: b\n", Fault::Trailer),
            ("0\r\na: \0\r\n", Fault::Trailer),
            ("0\r\n\n", Fault::Trailer),
            ("0\r\n\rX", Fault::Trailer),
            ("0\r\na:\r\nb:\r\nc:\r\nd:\r\n", Fault::Trailers),
        ] {
            assert_eq!(judged(body.as_bytes()), Err(fault), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded_in_all() {
        let extension = format!("1;{}\r\nx\r\n", "a".repeat(1000));
        assert_eq!(judged(extension.repeat(17).as_bytes()), Err(Fault::Extensions));
        assert_eq!(judged(extension.repeat(16).as_bytes()), Ok(None));
        let trailers = |bytes: usize| format!("0\r\na: {}\r\n\r\n", "b".repeat(bytes - 7));
        assert_eq!(judged(trailers((16 << 10) - 1).as_bytes()), Ok(Some(0)));
        assert_eq!(judged(trailers(16 << 10).as_bytes()), Err(Fault::Trailers));
    }
}
