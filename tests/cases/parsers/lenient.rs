//! The parser that forgives all it can, as old servers do: lines end where LF, or CR alone, stands,
//! folded fields are joined, an underscore is as good as a hyphen, white space may stand anywhere,
//! and whatever looks like `chunked` is, whatever Content-Length says.

use super::{Request, Split, text};

/// All requests that a connection brought.
pub(in super::super) fn lenient(bytes: &[u8]) -> Split {
    let mut reader = Reader { rest: bytes };
    let mut split = Split::default();
    loop {
        // Empty lines before a request are skipped, however many.
        while matches!(reader.rest, [b'\r' | b'\n', ..]) {
            reader.rest = &reader.rest[1..];
        }
        if reader.rest.is_empty() {
            return split;
        }
        match reader.request() {
            Some(request) => split.requests.push(request),
            None => {
                split.unfinished = true;
                return split;
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn request(&mut self) -> Option<Request> {
        let line = self.line()?;
        let mut fields: Vec<String> = Vec::new();
        loop {
            let field = self.line()?;
            if field.is_empty() {
                break;
            }
            match fields.last_mut() {
                Some(last) if field.starts_with([' ', '\t']) => last.push_str(&field),
                _ => fields.push(field),
            }
        }
        let values = |wanted: &str| -> Vec<String> {
            let pairs = fields.iter().filter_map(|field| field.split_once(':'));
            let own = pairs
                .filter(|(name, _)| name.trim().to_ascii_lowercase().replace('_', "-") == wanted);
            own.map(|(_, value)| value.trim().to_ascii_lowercase()).collect()
        };
        let chunked = values("transfer-encoding").iter().any(|value| value.contains("chunked"));
        let body = if chunked {
            self.chunks()?
        } else {
            let lengths = values("content-length");
            self.take(lengths.last().map_or(0, |length| number(length, 10)))?
        };
        Some(Request { line, body })
    }

    fn line(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let line = text(&self.rest[..end]);
        let long = if self.rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        self.rest = &self.rest[end + long..];
        Some(line)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let taken = self.rest.get(..length)?.to_vec();
        self.rest = &self.rest[length..];
        Some(taken)
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let length = number(size.trim(), 16);
            if length == 0 {
                break;
            }
            body.extend(self.take(length)?);
            self.line()?;
        }
        while !self.line()?.is_empty() {}
        Some(body)
    }
}

/// The digits that a text begins with, after a sign and what C writes before a base.
fn number(text: &str, base: u32) -> usize {
    let digits = text.trim_start_matches(['+', '-']);
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    usize::from_str_radix(&digits[..end], base).unwrap_or(0)
}
