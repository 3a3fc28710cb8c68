//! HTTP/1 messages as they went over the wire, read without forgiveness but without interpretation.

use std::fmt::Write;
use std::ops::Deref;

/// The head of a request or response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// The fields in their order, names as they were written.
    pub(crate) fields: Vec<(String, String)>,
}

/// A head and what followed it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the message came to its end as its framing says.
    pub(crate) complete: bool,
}

impl Head {
    /// Parses a head up to and including its empty line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        Self { line, fields: lines.map(field).collect() }
    }

    /// The values of a field, in any spelling of its name.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let own = self.fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name));
        own.map(|field| field.1.as_str()).collect()
    }

    /// The only value of a field.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "several {name}: {values:?}");
        values.first().copied()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> &str {
        self.word(0)
    }

    /// Of a request.
    pub(crate) fn target(&self) -> &str {
        self.word(1)
    }

    /// Of a response.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_else(|_| panic!("no status line: {:?}", self.line))
    }

    /// The version of a response.
    pub(crate) fn version(&self) -> &str {
        self.word(0)
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").iter().any(|coding| coding.ends_with("chunked"))
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.value("content-length").map(|length| length.parse().unwrap())
    }

    /// Whether the sender ends the connection after this message.
    pub(crate) fn closes(&self) -> bool {
        self.values("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }

    fn word(&self, place: usize) -> &str {
        self.line.split(' ').nth(place).unwrap_or_default()
    }
}

impl Message {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Deref for Message {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

pub(crate) fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}

/// A response with a length.
pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    if status != 204 && status != 304 {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    finish(head, fields, body)
}

/// A request to a host `test`, with a length if it has a body.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("host: test\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    finish(head, fields, body)
}

fn finish(mut head: String, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    for (name, value) in fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
