//! What paths are made of, as an upstream may understand them.
//!
//! Upstreams do not agree on that. Here whatever any of them takes for a separator is one: `/`, `\`
//! (IIS), and both percent-encoded; and what follows a semicolon in a segment is a parameter, which
//! does not belong to its name (Tomcat). Nothing here allocates, and each byte is looked at once.

use crate::path::escaped;

/// A segment of a path, and the separator before it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// A separator as it is written.
    pub separator: &'a str,
    /// All that stands between it and the next, parameters included, as it is written.
    pub text: &'a str,
}

/// What a segment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is empty, but perhaps for parameters.
    Empty,
    /// `.`
    Here,
    /// `..`
    Up,
    /// Anything else.
    Name,
}

impl<'a> Segment<'a> {
    /// Its name: escapes resolved, parameters left out.
    pub fn name(&self) -> impl Iterator<Item = u8> + use<'a> {
        decoded(self.text.as_bytes()).take_while(|byte| *byte != b';')
    }

    /// What it asks for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let mut name = self.name();
        match (name.next(), name.next(), name.next()) {
            (None, ..) => Kind::Empty,
            (Some(b'.'), None, _) => Kind::Here,
            (Some(b'.'), Some(b'.'), None) => Kind::Up,
            _ => Kind::Name,
        }
    }
}

/// The segments of a path that begins with a separator. What stands before one is left out.
pub fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let inner = after_separator(rest)?;
        let mut end = 0;
        while let Some((byte, length)) = inner.as_bytes().get(end..).and_then(first)
            && !separates(byte)
        {
            end += length;
        }
        let (separator, _) = rest.split_at_checked(rest.len() - inner.len())?;
        let (text, after) = inner.split_at_checked(end)?;
        rest = after;
        Some(Segment { separator, text })
    })
}

/// Whether `.` or `..` is among the segments of a path.
#[must_use]
pub fn has_dots(path: &str) -> bool {
    segments(path).any(|segment| matches!(segment.kind(), Kind::Here | Kind::Up))
}

/// What follows a separator at the beginning of a text.
#[must_use]
pub fn after_separator(text: &str) -> Option<&str> {
    let (_, length) = first(text.as_bytes()).filter(|(byte, _)| separates(*byte))?;
    text.get(length..)
}

/// The bytes of a text, escapes resolved once.
pub fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, length) = first(rest)?;
        rest = rest.get(length..)?;
        Some(byte)
    })
}

/// The first byte of a text, escape resolved, and over how many bytes it is written: 3 if it is an
/// escape, otherwise 1.
#[must_use]
pub fn first(text: &[u8]) -> Option<(u8, usize)> {
    let plain = (*text.first()?, 1);
    match text {
        [b'%', high, low, ..] => Some(escaped(*high, *low).map_or(plain, |byte| (byte, 3))),
        _ => Some(plain),
    }
}

fn separates(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_separate_does() {
        let all = |path| -> Vec<(&str, &str, Kind)> {
            segments(path).map(|it| (it.separator, it.text, it.kind())).collect()
        };
        let expected = [
            ("/", "a;b", Kind::Name),
            ("%5c", "%2E;x", Kind::Here),
            ("\\", "", Kind::Empty),
            ("%2F", ".%2e%3Bv", Kind::Up),
            ("/", ";v", Kind::Empty),
            ("/", "...", Kind::Name),
            ("/", "\u{e9}%2", Kind::Name),
        ];
        assert_eq!(all("/a;b%5c%2E;x\\%2F.%2e%3Bv/;v/.../\u{e9}%2"), expected);
        assert!(all("").is_empty() && all("a/b").is_empty());
        assert!(has_dots("/a\\..;v") && has_dots("/a%5C%2e") && !has_dots("/.a/a./...;/..%252f"));
    }

    #[test]
    fn the_longest_path_is_read_once() {
        let path = format!("{}..", "/a".repeat(32_000));
        assert_eq!(segments(&path).count(), 32_000);
        let written: usize = segments(&path).map(|it| it.separator.len() + it.text.len()).sum();
        assert_eq!(written, path.len());
        assert!(!has_dots(&path) && has_dots(&format!("{path}/..")));
    }
}
