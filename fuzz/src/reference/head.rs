//! Heads, whole or not at all.

use http::Uri;

use super::super::cut::LIMITS;
use super::{Message, framing};

/// A name in small letters, and a value without blanks around it.
pub(crate) type Field = (String, Vec<u8>);

/// A head that is right.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) message: Message,
}

/// What bytes begin with.
#[derive(Debug)]
pub(crate) enum Found {
    /// A head of so many bytes.
    Head(Head, usize),
    /// One that is not complete.
    Part,
    /// None.
    Wrong,
}

impl Head {
    /// Whether it is about another protocol.
    pub(crate) fn upgrades(&self) -> bool {
        has(&self.message.fields, "upgrade") && lists(&self.message.fields, "connection", "upgrade")
    }

    /// Of a response.
    pub(crate) fn status(&self) -> u16 {
        self.message.first.1.parse().unwrap_or_default()
    }
}

/// Whether there is a field of this name.
pub(crate) fn has(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.0 == name)
}

/// Whether one of the fields of this name has this member.
pub(crate) fn lists(fields: &[Field], name: &str, member: &str) -> bool {
    let values = fields.iter().filter(|field| field.0 == name);
    let mut members = values.flat_map(|field| field.1.split(|byte| *byte == b','));
    members.any(|found| trimmed(found).eq_ignore_ascii_case(member.as_bytes()))
}

/// The head of a request.
pub(crate) fn request(bytes: &[u8]) -> Found {
    let read = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [method, target, version] = words[..] else { return None };
        let old = matches!(version, "HTTP/1.0");
        let right = (old || version == "HTTP/1.1")
            && (1..=64).contains(&method.len())
            && method.chars().all(is_token)
            && is_target(method, target);
        right.then(|| ((method.to_owned(), target.to_owned()), old))
    };
    head(bytes, read)
}

/// The head of a response.
pub(crate) fn response(bytes: &[u8]) -> Found {
    // What cannot become one is not waited for.
    if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
        return Found::Wrong;
    }
    let read = |line: &str| {
        let (version, rest) = line.split_once(' ')?;
        let (status, _reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let old = version == "HTTP/1.0";
        let digits = status.len() == 3 && status.chars().all(|c| c.is_ascii_digit());
        let right = (old || version == "HTTP/1.1") && digits && !status.starts_with('0');
        right.then(|| ((version.to_owned(), status.to_owned()), old))
    };
    head(bytes, read)
}

fn head(bytes: &[u8], first: impl Fn(&str) -> Option<((String, String), bool)>) -> Found {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let too_large = bytes.len() > LIMITS.head_bytes;
        return if too_large { Found::Wrong } else { Found::Part };
    };
    let length = end + 4;
    // One character for each byte.
    let text: String = bytes[..end].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let clean = lines.clone().all(|line| line.chars().all(is_text));
    let Some((first, old)) = lines.next().filter(|_| clean).and_then(first) else {
        return Found::Wrong;
    };
    let fields: Option<Vec<_>> = lines.map(field).collect();
    let Some(fields) = fields.filter(|fields| fields.len() <= LIMITS.fields) else {
        return Found::Wrong;
    };
    let head = Head { message: Message { first, old, fields, ..Message::default() } };
    if length > LIMITS.head_bytes || framing(&head).is_none() {
        return Found::Wrong;
    }
    Found::Head(head, length)
}

/// A field, if the line is one.
pub(crate) fn field(line: &str) -> Option<Field> {
    let (name, value) = line.split_once(':')?;
    let right = !name.is_empty() && name.chars().all(is_token) && value.chars().all(is_text);
    let bytes: Vec<u8> = value.chars().map(|c| c as u8).collect();
    right.then(|| (name.to_ascii_lowercase(), trimmed(&bytes).to_vec()))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().take_while(|byte| blank(byte)).count();
    let end = bytes.iter().skip(start).rev().take_while(|byte| blank(byte)).count();
    &bytes[start..bytes.len() - end]
}

fn is_text(c: char) -> bool {
    c == '\t' || !c.is_ascii_control()
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn is_target(method: &str, target: &str) -> bool {
    let visible = target.chars().all(|c| c.is_ascii_graphic() && !"#<>".contains(c));
    if target.len() > LIMITS.target_bytes || !visible {
        return false;
    }
    if target.starts_with('/') {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        return !path.contains('`') && !query.contains('"');
    }
    let Ok(uri) = target.parse::<Uri>() else { return false };
    match (uri.scheme(), uri.authority()) {
        (Some(_), Some(_)) => method != "CONNECT",
        (None, Some(_)) => method == "CONNECT",
        _ => target == "*",
    }
}
