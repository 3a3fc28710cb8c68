//! The cases as they stand in `cases.json`: bytes, what is to become of them in words, and the
//! bounds that every proxy has to keep to. What Linkspan does within these is in `rules`.

use std::sync::LazyLock;

use serde::Deserialize;

/// Hostile, malformed and ambiguous traffic, and plain traffic beside it.
pub(super) static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let file: File = serde_json::from_str(include_str!("cases.json")).unwrap();
    file.cases
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "meta")]
    _meta: serde_json::Value,
    cases: Vec<Case>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) kind: Kind,
    bytes: String,
    /// What is to happen, in words.
    pub(super) expect: String,
    pub(super) rfc: String,
    /// The statuses that the first answer may have.
    #[serde(default)]
    pub(super) allow_status: Vec<u16>,
    /// Whether the client's connection has to end.
    #[serde(default)]
    pub(super) close: bool,
    /// The most requests that may reach the upstream.
    pub(super) upstream_max: Option<usize>,
}

/// Who sends the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A client.
    Request,
    /// An upstream, asked by a request without fault.
    Response,
}

impl Case {
    /// The case of this id.
    #[track_caller]
    pub(super) fn named(id: &str) -> &'static Self {
        let found = CASES.iter().find(|case| case.id == id);
        found.unwrap_or_else(|| panic!("there is no case {id}"))
    }

    /// The bytes that go over the wire.
    pub(super) fn wire(&self) -> Vec<u8> {
        expanded(&self.bytes)
    }

    /// The same, with a word of the case replaced by what it stands for.
    pub(super) fn wire_with(&self, (word, own): (&str, &str)) -> Vec<u8> {
        assert!(self.bytes.contains(word), "{}: {word}", self.id);
        expanded(&if word.is_empty() { self.bytes.clone() } else { self.bytes.replace(word, own) })
    }
}

/// Resolves `<<X*N>>`, X repeated N times, and the escapes within and around it.
pub(crate) fn expanded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, repeated)) = rest.split_once("<<") {
        let (repeated, after) = repeated.split_once(">>").unwrap();
        let (part, times) = repeated.rsplit_once('*').unwrap();
        bytes.extend(unescaped(before));
        bytes.extend(unescaped(part).repeat(times.parse().unwrap()));
        rest = after;
    }
    bytes.extend(unescaped(rest));
    bytes
}

/// Resolves `\r`, `\n`, `\t`, `\\` and `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let byte = match character {
            '\\' => match characters.next() {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('t') => b'\t',
                Some('\\') => b'\\',
                Some('x') => {
                    let digits: String = characters.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                other => panic!("no escape: {other:?}"),
            },
            plain => u8::try_from(plain).unwrap(),
        };
        bytes.push(byte);
    }
    bytes
}

#[test]
fn escapes_and_repetitions_are_resolved() {
    assert_eq!(expanded(r"a\r\n\t\\\x00\xff"), b"a\r\n\t\\\x00\xff");
    assert_eq!(expanded(r"<<1;a\r\n*2>>0<<M*3>>"), b"1;a\r\n1;a\r\n0MMM");
}
