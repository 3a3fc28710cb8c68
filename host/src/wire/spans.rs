//! Where the parts of a head are, noted by the gate that has judged it, so that it is taken apart without
//! being read again.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::bytes::trim;
use super::{Fault, met};

/// The most fields that are noted without an allocation.
const FIELDS: usize = 20;

/// How many fields others are likely to add to a head, so that its map need not grow.
const ADDED: usize = 8;

/// The lines of one head.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Where the first line begins and ends.
    first: (usize, usize),
    fields: SmallVec<[Span; FIELDS]>,
}

/// A field line.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    colon: usize,
    end: usize,
}

impl Spans {
    /// A head begins, with a line that ends there.
    pub(super) fn begin(&mut self, start: usize, end: usize) {
        self.first = (start, end);
        self.fields.clear();
    }

    /// A field line, whose name has so many bytes.
    #[inline]
    pub(super) fn field(&mut self, (start, end): (usize, usize), name: usize) {
        self.fields.push(Span { start, colon: start + name, end });
    }

    /// The first line of `head`.
    pub(super) fn first<'b>(&self, head: &'b [u8]) -> &'b [u8] {
        head.get(self.first.0..self.first.1).unwrap_or_default()
    }

    /// The fields of `head`, which are parts of it.
    ///
    /// # Errors
    ///
    /// [`Fault::Fields`] for more than a map can hold.
    pub(super) fn fields(&self, head: &Bytes) -> Result<HeaderMap, Fault> {
        let mut map = HeaderMap::try_with_capacity(self.fields.len() + ADDED)
            .map_err(|_full| Fault::Fields)?;
        for span in &self.fields {
            let name = head.get(span.start..span.colon).unwrap_or_default();
            let name = met::name(name).map_err(|_invalid| Fault::Name)?;
            let value = trim(head.get(span.colon + 1..span.end).unwrap_or_default());
            // What is cut of the head itself is not copied.
            let value = HeaderValue::from_maybe_shared(head.slice_ref(value));
            let value = value.map_err(|_invalid| Fault::Control)?;
            map.try_append(name, value).map_err(|_full| Fault::Fields)?;
        }
        Ok(map)
    }
}

/// The fields of trailers, which have been judged line by line.
///
/// # Errors
///
/// [`Fault::Trailer`] for what are none.
pub(super) fn trailers(lines: Vec<u8>) -> Result<HeaderMap, Fault> {
    let lines = Bytes::from(lines);
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Trailer)?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).map_err(|_invalid| Fault::Trailer)?;
        let value = lines.slice_ref(trim(value.get(1..).unwrap_or_default()));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_invalid| Fault::Trailer)?;
        map.try_append(name, value).map_err(|_full| Fault::Trailers)?;
    }
    Ok(map)
}
