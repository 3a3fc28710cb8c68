//! Requests as the parser that hyper has reads their heads, with framing of its own.

use httparse::{EMPTY_HEADER, Status};

use super::{End, Field, Request, Seen, text};

pub(super) fn parse(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        match request(rest) {
            Ok(Some((request, after))) => {
                seen.requests.push(request);
                rest = after;
            }
            Ok(None) => {
                seen.end = End::Part;
                let method = rest.split(|byte| *byte == b' ').next();
                seen.next = text(method.unwrap_or_default());
                break;
            }
            Err(error) => {
                seen.end = End::Refused(error);
                break;
            }
        }
    }
    seen
}

fn request(bytes: &[u8]) -> Result<Option<(Request, &[u8])>, String> {
    let mut fields = [EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut fields);
    let Status::Complete(length) = head.parse(bytes).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let mut request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        old: head.version == Some(0),
        fields: head.headers.iter().map(field).collect(),
        ..Request::default()
    };
    let rest = bytes.get(length..).unwrap_or_default();
    if request.values("transfer-encoding") == ["chunked"] {
        return Ok(chunks(&mut request, rest)?.map(|rest| (request, rest)));
    }
    let length = match *request.values("content-length") {
        [] => 0,
        [value] => value.parse().map_err(|_invalid| format!("{value:?} is no length"))?,
        _ => return Err("several lengths".to_owned()),
    };
    let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    request.body = text(body);
    Ok(Some((request, rest)))
}

/// Reads a body of chunks, and gives what follows it.
fn chunks<'b>(request: &mut Request, bytes: &'b [u8]) -> Result<Option<&'b [u8]>, String> {
    let mut rest = bytes;
    loop {
        let parsed = httparse::parse_chunk_size(rest).map_err(|_invalid| "no chunk".to_owned())?;
        let Status::Complete((length, size)) = parsed else { return Ok(None) };
        rest = rest.get(length..).unwrap_or_default();
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(|error| error.to_string())?;
        let Some((data, after)) = rest.split_at_checked(size) else { return Ok(None) };
        request.body.push_str(&text(data));
        match after {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk that does not end".to_owned()),
        }
    }
    let mut fields = [EMPTY_HEADER; 256];
    let parsed = httparse::parse_headers(rest, &mut fields).map_err(|error| error.to_string())?;
    let Status::Complete((length, fields)) = parsed else { return Ok(None) };
    request.trailers = fields.iter().map(field).collect();
    Ok(rest.get(length..))
}

fn field(header: &httparse::Header<'_>) -> Field {
    (header.name.to_ascii_lowercase(), text(header.value.trim_ascii()))
}
