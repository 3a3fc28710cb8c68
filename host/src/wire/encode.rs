//! Writing the heads of HTTP/1, and chunks.

use std::io::Write as _;

use http::{HeaderMap, Method, Uri};

/// Appends the line that a request of HTTP/1.1 begins with. The target is written as it is.
pub fn request_line(out: &mut Vec<u8>, method: &Method, target: &Uri) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    match target.path_and_query() {
        Some(path) if target.scheme().is_none() && target.authority().is_none() => {
            // One that had no path has a slash, whatever it is made of.
            out.extend_from_slice(path.path().as_bytes());
            if let Some(query) = path.query() {
                out.push(b'?');
                out.extend_from_slice(query.as_bytes());
            }
        }
        // Writing to memory does not fail.
        _ => drop(write!(out, "{target}")),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends fields, one to a line.
pub fn fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        field(out, name.as_str(), value.as_bytes());
    }
}

/// Appends a field.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before a chunk of so many bytes, which are not nothing. A line's end follows the
/// chunk.
pub fn chunk_size(out: &mut Vec<u8>, bytes: usize) {
    drop(write!(out, "{bytes:X}\r\n"));
}

/// Appends the last chunk, and trailers.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_has_its_target_as_it_is() {
        for target in ["/", "/a?b=c", "*", "http://a:1/b?c", "a:1"] {
            let mut out = Vec::new();
            request_line(&mut out, &Method::GET, &target.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), format!("GET {target} HTTP/1.1\r\n"));
        }
        let whole: Uri = "http://a?b".parse().unwrap();
        let target = Uri::from(whole.path_and_query().unwrap().clone());
        let mut out = Vec::new();
        request_line(&mut out, &Method::GET, &target);
        assert_eq!(out, b"GET /?b HTTP/1.1\r\n");
    }

    #[test]
    fn chunks_have_hexadecimal_sizes_and_an_end() {
        let mut out = Vec::new();
        chunk_size(&mut out, 0x1a);
        last_chunk(
            &mut out,
            Some(&HeaderMap::from_iter([(http::header::VIA, "a".parse().unwrap())])),
        );
        assert_eq!(out, b"1A\r\n0\r\nvia: a\r\n\r\n");
    }
}
