//! What clients could send: requests that are right for the most part, with some bytes changed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes that mean something to parsers.
const BYTES: &[u8] = b"\r\n\t :;,=\0\x0b\x7f\xff\x80\"\\0159aAfFxX/.%?#+-_|`<>{}@*";

/// The bytes of a connection.
pub(super) fn connection() -> impl Strategy<Value = Vec<u8>> {
    (vec(request(), 1..4), prop_oneof![3 => Just(0..1), 2 => Just(1..4)].prop_flat_map(changes))
        .prop_map(|(requests, changes)| {
            let mut bytes = requests.concat();
            for change in changes {
                change.make(&mut bytes);
            }
            // The last request of a connection that goes well.
            bytes.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            bytes
        })
}

#[derive(Debug, Clone)]
enum Change {
    Put(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// Repeats some bytes.
    Repeat(Index, usize),
    /// Puts a line where one ends.
    Line(Index, &'static str),
}

fn changes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Change>> {
    let byte = || prop_oneof![4 => select(BYTES), 1 => any::<u8>()];
    let line = select(vec![
        "Content-Length: 3\r\n",
        "content-length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Content_Length: 9\r\n",
        "Connection: close, content-length\r\n",
        " folded\r\n",
        "\r\n",
        "0\r\n\r\n",
        "GET /x HTTP/1.1\r\n",
    ]);
    let at = any::<Index>;
    let change = prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Remove),
        (at(), 1_usize..40).prop_map(|(at, count)| Change::Repeat(at, count)),
        (at(), line).prop_map(|(at, line)| Change::Line(at, line)),
    ];
    vec(change, count)
}

impl Change {
    fn make(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Put(at, byte) => *at.get_mut(bytes) = byte,
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Repeat(at, count) => {
                let at = at.index(bytes.len());
                let again: Vec<_> = bytes.iter().skip(at).take(count).copied().collect();
                bytes.splice(at..at, again);
            }
            Self::Line(at, line) => {
                let ends = bytes.windows(2).enumerate().filter(|(_, two)| two == b"\r\n");
                let ends: Vec<_> = ends.map(|(place, _)| place + 2).collect();
                if !ends.is_empty() {
                    let at = *at.get(&ends);
                    bytes.splice(at..at, line.bytes());
                }
            }
        }
    }
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]);
    let target = prop_oneof![
        "/[a-z0-9/._~%!$&'()*+,;=:@|-]{0,12}(\\?[a-z0-9=&\"{}/?`-]{0,8})?",
        Just("http://a/b?c".to_owned()),
        Just("//admin".to_owned()),
    ];
    let version = prop_oneof![9 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    (method, target, version, vec(field(), 0..5), body()).prop_map(
        |(method, target, version, fields, (framing, body))| {
            let fields = fields.concat();
            let head = format!("{method} {target} {version}\r\nHost: a\r\n");
            [head.as_bytes(), &fields, framing.as_bytes(), b"\r\n", &body].concat()
        },
    )
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec![
        "Accept",
        "Cookie",
        "X-A",
        "x_b",
        "X-Forwarded-For",
        "Connection",
        "TE",
        "Via",
        "Trailer",
        "If-None-Match",
        "Keep-Alive",
        "Upgrade",
        "Range",
    ]);
    let known = select(vec!["keep-alive", "close", "te, x-a", "upgrade", "trailers", "websocket"]);
    let value = prop_oneof![
        known.prop_map(|value| value.as_bytes().to_vec()),
        vec(prop_oneof![4 => 0x20_u8..0x7f, 1 => 0x80_u8..=0xff, 1 => Just(b'\t')], 0..12),
    ];
    let blanks = select(vec!["", " ", " \t "]);
    (name, blanks.clone(), value, blanks).prop_map(|(name, before, value, after)| {
        [name.as_bytes(), b":", before.as_bytes(), &value, after.as_bytes(), b"\r\n"].concat()
    })
}

/// A body, and the field that says where it ends.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let bytes = || vec(prop_oneof![1 => select(BYTES), 1 => any::<u8>()], 0..40);
    let extension = select(vec!["", ";a", ";a=b", ";a=\"b;c\"", "; \t"]);
    let trailers = select(vec!["", "X-Sum: 1\r\n", "Content-Length: 5\r\nx-a:\r\n"]);
    prop_oneof![
        2 => Just((String::new(), Vec::new())),
        2 => bytes().prop_map(|bytes| (format!("Content-Length: {}\r\n", bytes.len()), bytes)),
        3 => (vec((bytes(), extension), 0..4), trailers).prop_map(|(chunks, trailers)| {
            let mut body = Vec::new();
            for (data, extension) in chunks.into_iter().filter(|(data, _)| !data.is_empty()) {
                body.extend(format!("{:X}{extension}\r\n", data.len()).into_bytes());
                body.extend(data);
                body.extend(b"\r\n");
            }
            body.extend(format!("0\r\n{trailers}\r\n").into_bytes());
            ("Transfer-Encoding: chunked\r\n".to_owned(), body)
        }),
    ]
}
