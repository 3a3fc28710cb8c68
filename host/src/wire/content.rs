//! The body of a message of HTTP/1, taken off the bytes that it comes in.

use std::mem;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;

use super::Fault;
use super::chunked::Chunked;
use super::spans::trailers;

/// A body as it is on the wire, from where its head ends.
#[derive(Debug)]
pub struct Content(State);

#[derive(Debug)]
enum State {
    /// So much is to come.
    Sized(u64),
    Chunked {
        coding: Box<Chunked>,
        /// Their lines, as far as they have come.
        trailers: Vec<u8>,
    },
    /// All until the connection ends.
    UntilClosed,
    Over,
}

/// What comes next of a body.
#[derive(Debug)]
pub enum Part {
    /// Some of it, which is not nothing.
    Data(Bytes),
    /// What follows it, and the end.
    Trailers(HeaderMap),
    /// The end, from now on.
    End,
    /// Nothing until more bytes have come.
    More,
}

impl Content {
    /// Of so many bytes.
    #[must_use]
    pub fn sized(bytes: u64) -> Self {
        Self(if bytes == 0 { State::Over } else { State::Sized(bytes) })
    }

    pub(super) fn chunked(coding: Chunked) -> Self {
        Self(State::Chunked { coding: Box::new(coding), trailers: Vec::new() })
    }

    pub(super) fn until_closed() -> Self {
        Self(State::UntilClosed)
    }

    /// Takes the next part off the front of `bytes`, without a copy of data.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Nothing that follows is right.
    pub fn take(&mut self, bytes: &mut BytesMut) -> Result<Part, Fault> {
        match &mut self.0 {
            State::Over => Ok(Part::End),
            _ if bytes.is_empty() => Ok(Part::More),
            State::UntilClosed => Ok(Part::Data(bytes.split().freeze())),
            State::Sized(left) => {
                let there = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= there as u64;
                if *left == 0 {
                    self.0 = State::Over;
                }
                Ok(Part::Data(bytes.split_to(there).freeze()))
            }
            State::Chunked { coding, trailers: lines } => {
                while !bytes.is_empty() {
                    let data = coding.data(bytes.len());
                    if data > 0 {
                        return Ok(Part::Data(bytes.split_to(data).freeze()));
                    }
                    let used = coding.frame(bytes, lines)?;
                    bytes.advance(used);
                    if coding.is_over() {
                        let lines = mem::take(lines);
                        self.0 = State::Over;
                        let there = lines.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                        return match there {
                            true => trailers(lines).map(Part::Trailers),
                            false => Ok(Part::End),
                        };
                    }
                }
                Ok(Part::More)
            }
        }
    }

    /// The connection has ended. Whether the body has, too, as it should.
    pub fn closed(&mut self) -> bool {
        if matches!(self.0, State::UntilClosed) {
            self.0 = State::Over;
        }
        self.is_over()
    }

    /// Whether nothing of it is to come any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.0, State::Over)
    }

    /// Whether it ends where the connection does.
    #[must_use]
    pub fn is_until_closed(&self) -> bool {
        matches!(self.0, State::UntilClosed)
    }

    /// How many bytes are to come, if that is known.
    #[must_use]
    pub fn left_bytes(&self) -> Option<u64> {
        match self.0 {
            State::Sized(left) => Some(left),
            State::Over => Some(0),
            State::Chunked { .. } | State::UntilClosed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    const LIMITS: Limits = Limits { head_bytes: 65_536, fields: 3, target_bytes: 100 };

    /// The data and the trailers of a chunked body that comes in pieces of a size, and what is left.
    fn taken(body: &[u8], size: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), Fault> {
        let mut content = Content::chunked(Chunked::new(&LIMITS));
        let (mut bytes, mut data, mut trailers) = (BytesMut::new(), Vec::new(), None);
        let mut pieces = body.chunks(size);
        loop {
            match content.take(&mut bytes)? {
                Part::Data(part) => data.extend_from_slice(&part),
                Part::Trailers(fields) => trailers = Some(fields),
                Part::End => break,
                Part::More => bytes.extend_from_slice(pieces.next().expect("the body is whole")),
            }
        }
        assert!(content.is_over());
        Ok((data, trailers, bytes.len() + pieces.map(<[u8]>::len).sum::<usize>()))
    }

    #[test]
    fn chunks_are_taken_apart_whatever_pieces_they_come_in() {
        let body = b"5;a=b\r\nhello\r\n1\r\n \r\nA\r\nworld 6789\r\n0\r\nA: b \r\nc:\r\n\r\nGET";
        for size in 1..body.len() {
            let (data, trailers, left) = taken(body, size).unwrap();
            assert_eq!(data, b"hello world 6789");
            let trailers = trailers.unwrap();
            assert!(trailers["a"] == "b" && trailers["c"].is_empty() && trailers.len() == 2);
            assert_eq!(left, 3, "pieces of {size}");
        }
        for size in 1..5 {
            let (data, trailers, left) = taken(b"0\r\n\r\n", size).unwrap();
            assert_eq!((data.len(), trailers, left), (0, None, 0));
        }
    }

    #[test]
    fn what_is_no_chunk_is_told_after_all_before_it() {
        let mut content = Content::chunked(Chunked::new(&LIMITS));
        let mut bytes = BytesMut::from(&b"2\r\nabcd"[..]);
        assert!(matches!(content.take(&mut bytes), Ok(Part::Data(data)) if data == "ab"));
        assert!(matches!(content.take(&mut bytes), Err(Fault::ChunkEnd)));
    }

    #[test]
    fn a_length_is_counted_down_and_an_end_without_one_is_that_of_the_connection() {
        let mut sized = Content::sized(3);
        let mut bytes = BytesMut::from(&b"ab"[..]);
        assert!(matches!(sized.take(&mut bytes), Ok(Part::Data(data)) if data == "ab"));
        assert!(matches!(sized.take(&mut bytes), Ok(Part::More)));
        assert_eq!((sized.left_bytes(), sized.closed()), (Some(1), false));
        bytes.extend_from_slice(b"cd");
        assert!(matches!(sized.take(&mut bytes), Ok(Part::Data(data)) if data == "c"));
        assert!(matches!(sized.take(&mut bytes), Ok(Part::End)));
        assert_eq!(&bytes[..], b"d");

        let mut open = Content::until_closed();
        assert!(matches!(open.take(&mut bytes), Ok(Part::Data(data)) if data == "d"));
        assert!(matches!(open.take(&mut bytes), Ok(Part::More)));
        assert!(open.closed() && open.is_over());
    }
}
