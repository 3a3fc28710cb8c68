//! The parser that forgives nothing: hyper's own for lines and fields, and RFC 9112 to the letter
//! for the rest. Where it stops, something has been sent that should not have been.

use std::io::Write;

use super::{Request, Split, text};

/// A message to its end.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Message {
    /// Its first line.
    pub(in super::super) line: String,
    /// Its fields in their order, names as they were sent.
    pub(in super::super) fields: Vec<(String, String)>,
    pub(in super::super) body: Vec<u8>,
    pub(in super::super) trailers: Vec<(String, String)>,
    /// Whether its length was not told before it came.
    pub(in super::super) chunked: bool,
}

/// What some bytes begin with.
#[derive(Debug)]
pub(in super::super) enum Next {
    /// A message, and its length.
    Whole(Message, usize),
    /// Less than one; with its head, if that is there.
    Part(Option<Message>),
    /// Anything else.
    Malformed(String),
}

impl Message {
    /// The values of a field.
    pub(in super::super) fn values(&self, name: &str) -> Vec<&str> {
        let own = self.fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name));
        own.map(|field| field.1.as_str()).collect()
    }

    /// The status of a response.
    pub(in super::super) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// All requests that a connection brought.
pub(in super::super) fn strict(bytes: &[u8]) -> Result<(Split, Vec<Message>), String> {
    let mut split = Split::default();
    let mut messages = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match next_request(rest) {
            Next::Whole(message, length) => {
                let (line, body) = (message.line.clone(), message.body.clone());
                split.requests.push(Request { line, body });
                messages.push(message);
                rest = &rest[length..];
            }
            Next::Part(_) => {
                split.unfinished = true;
                break;
            }
            Next::Malformed(why) => return Err(why),
        }
    }
    Ok((split, messages))
}

/// The request that some bytes begin with.
pub(in super::super) fn next_request(bytes: &[u8]) -> Next {
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = head.parse(bytes);
    let parts = match parsed {
        Ok(httparse::Status::Complete(length)) => (length, &*head.headers),
        Ok(httparse::Status::Partial) => return Next::Part(None),
        Err(error) => return Next::Malformed(error.to_string()),
    };
    next(bytes, parts, |message| length_of(message, Length::Bytes(0)))
}

/// The response that some bytes begin with, to a request of this method. `closed` says that no more
/// bytes will come.
pub(in super::super) fn next_response(bytes: &[u8], method: &str, closed: bool) -> Next {
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(bytes);
    let parts = match parsed {
        Ok(httparse::Status::Complete(length)) => (length, &*head.headers),
        Ok(httparse::Status::Partial) => return Next::Part(None),
        Err(error) => return Next::Malformed(error.to_string()),
    };
    next(bytes, parts, |message| match message.status() {
        _ if method == "HEAD" => Ok(Length::Bytes(0)),
        100..=199 | 204 | 304 => Ok(Length::Bytes(0)),
        _ => length_of(message, if closed { Length::Rest } else { Length::Unknown }),
    })
}

/// How the end of a body is found.
enum Length {
    Bytes(usize),
    Chunked,
    /// All there is.
    Rest,
    /// The connection's end tells.
    Unknown,
}

fn next(
    bytes: &[u8],
    (head, fields): (usize, &[httparse::Header<'_>]),
    framing: impl Fn(&Message) -> Result<Length, String>,
) -> Next {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let fields = fields.iter().map(|field| (field.name.to_owned(), text(field.value)));
    let mut message = Message { line: text(line), fields: fields.collect(), ..Message::default() };
    // The library takes lines that end otherwise, and may skip blanks: the same bytes are expected.
    if written(&message) != bytes[..head] {
        return Next::Malformed(format!("a loose head: {:?}", text(&bytes[..head])));
    }
    let body = &bytes[head..];
    let taken = match framing(&message) {
        Err(why) => return Next::Malformed(why),
        Ok(Length::Unknown) => None,
        Ok(Length::Rest) => {
            message.body = body.to_vec();
            Some(body.len())
        }
        Ok(Length::Bytes(length)) => body.get(..length).map(|body| {
            message.body = body.to_vec();
            length
        }),
        Ok(Length::Chunked) => {
            message.chunked = true;
            match chunks(body, &mut message) {
                Ok(taken) => taken,
                Err(why) => return Next::Malformed(why),
            }
        }
    };
    match taken {
        Some(length) => Next::Whole(message, head + length),
        None => Next::Part(Some(message)),
    }
}

/// A head as it has to be written.
fn written(message: &Message) -> Vec<u8> {
    let latin = |text: &str| -> Vec<u8> { text.chars().map(|c| c as u8).collect() };
    let mut head = latin(&message.line);
    for (name, value) in &message.fields {
        // An empty value still has its blank; writing to a vector does not fail.
        let _ = write!(head, "\r\n{name}: ");
        head.extend(latin(value));
    }
    head.extend(b"\r\n\r\n");
    head
}

fn length_of(message: &Message, otherwise: Length) -> Result<Length, String> {
    let digits = |length: &str| {
        let all = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        if all { length.parse().ok() } else { None }
    };
    match (&message.values("transfer-encoding")[..], &message.values("content-length")[..]) {
        ([], []) => Ok(otherwise),
        (["chunked"], []) => Ok(Length::Chunked),
        ([], [length]) => {
            digits(length).map(Length::Bytes).ok_or_else(|| format!("no length: {length}"))
        }
        both => Err(format!("ambiguous framing: {both:?}")),
    }
}

/// Reads chunks into a message; how many bytes they took, if they came to their end.
fn chunks(bytes: &[u8], message: &mut Message) -> Result<Option<usize>, String> {
    let mut place = 0;
    loop {
        let Some((size, after)) = line(bytes, place)? else { return Ok(None) };
        let plain = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
        let length = usize::from_str_radix(&text(size), 16).ok().filter(|_| plain);
        let length = length.ok_or_else(|| format!("no chunk size: {:?}", text(size)))?;
        place = after;
        if length == 0 {
            break;
        }
        let Some(data) = bytes.get(place..place + length) else { return Ok(None) };
        message.body.extend(data);
        place += length;
        match line(bytes, place)? {
            Some((b"", after)) => place = after,
            Some(_) => return Err("a chunk that is longer than its size".to_owned()),
            None => return Ok(None),
        }
    }
    loop {
        let Some((field, after)) = line(bytes, place)? else { return Ok(None) };
        place = after;
        if field.is_empty() {
            return Ok(Some(place));
        }
        let field = text(field);
        let (name, value) =
            field.split_once(": ").ok_or_else(|| format!("no trailer: {field:?}"))?;
        message.trailers.push((name.to_owned(), value.to_owned()));
    }
}

type Line<'a> = Option<(&'a [u8], usize)>;

/// The line that begins at a place, and where the next does.
fn line(bytes: &[u8], place: usize) -> Result<Line<'_>, String> {
    let rest = &bytes[place..];
    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match &rest[end..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some((&rest[..end], place + end + 2))),
        _ => Err("a line that ends otherwise than with CR LF".to_owned()),
    }
}
