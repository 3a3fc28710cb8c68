//! The parser that searches instead of reading: the end of a head is the first empty line, lengths
//! are found by their names, and Content-Length goes before Transfer-Encoding.

use super::{Request, Split, text};

/// All requests that a connection brought.
pub(in super::super) fn hasty(bytes: &[u8]) -> Split {
    let mut split = Split::default();
    let mut place = 0;
    while place < bytes.len() {
        match request(&bytes[place..]) {
            Some((request, length)) => {
                split.requests.push(request);
                place += length;
            }
            None => {
                split.unfinished = true;
                break;
            }
        }
    }
    split
}

fn request(bytes: &[u8]) -> Option<(Request, usize)> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let lower = bytes[..head].to_ascii_lowercase();
    let line = text(&bytes[..find(bytes, b"\r\n")?]);
    let rest = &bytes[head..];
    let (body, length) = if let Some(place) = find(&lower, b"\r\ncontent-length:") {
        let value = text(&lower[place + 17..]);
        let value = value.split("\r\n").next().unwrap_or_default();
        let length = value.split(',').next()?.trim().parse().unwrap_or(0);
        (rest.get(..length)?.to_vec(), length)
    } else if find(&lower, b"\r\ntransfer-encoding: chunked\r\n").is_some() {
        chunks(rest)?
    } else {
        (Vec::new(), 0)
    };
    Some((Request { line, body }, head + length))
}

fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut place = 0;
    loop {
        let end = place + find(&bytes[place..], b"\r\n")?;
        let size = text(&bytes[place..end]);
        let size = size.split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if length == 0 {
            // Trailers, if any, end like a head.
            let last = end + find(&bytes[end..], b"\r\n\r\n")? + 4;
            return Some((body, last));
        }
        body.extend(bytes.get(end + 2..end + 2 + length)?);
        place = end + 2 + length + 2;
        bytes.get(..place)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
