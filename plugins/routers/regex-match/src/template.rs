//! Texts with `$0` to `$9` for what the pattern and its groups matched, and `$$` for a dollar sign.
//!
//! What is filled in stays within its part of the URL: it ends neither a path nor a parameter, and
//! names no server (see `authority`).

use crate::authority;
use linkspan_plugin_common::path;
use linkspan_plugin_common::segments;
use std::mem;

/// A text to put matches into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// Whether groups may stand in the host that it begins with.
    in_authority: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads a template: part of a URL, so what is not printable ASCII must be percent-encoded.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match (character, if character == '$' { characters.next() } else { None }) {
                ('$', Some('$')) => literal.push('$'),
                ('$', Some(digit @ '0'..='9')) => {
                    pieces.extend(
                        (!literal.is_empty()).then(|| Piece::Text(mem::take(&mut literal))),
                    );
                    pieces.push(Piece::Group(usize::from(digit as u8 - b'0')));
                }
                ('$', _) => {
                    return Err("a `$` stands before a digit, or another `$` for itself".to_owned());
                }
                ('"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}', _) => {
                    return Err(format!("{character:?} must be percent-encoded"));
                }
                ('!'..='~', _) => literal.push(character),
                _ => return Err(format!("{character:?} must be percent-encoded")),
            }
        }
        pieces.extend((!literal.is_empty()).then_some(Piece::Text(literal)));
        Ok(Self { pieces, in_authority: false })
    }

    /// Reads the template of a location, in which no group may name the server.
    pub(crate) fn location(text: &str) -> Result<Self, String> {
        let Self { pieces, .. } = Self::parse(text)?;
        authority::check(&pieces)?;
        Ok(Self { in_authority: authority::begins(&pieces), pieces })
    }

    /// The greatest group it names.
    pub(crate) fn greatest_group(&self) -> Option<usize> {
        let group =
            |piece: &Piece| if let Piece::Group(group) = piece { Some(*group) } else { None };
        self.pieces.iter().filter_map(group).max()
    }

    /// Whether it says itself that it begins with that text.
    pub(crate) fn begins_with(&self, beginning: &str) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(text)) if text.starts_with(beginning))
    }

    /// Whether it has that character itself.
    pub(crate) fn has(&self, character: char) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Text(text) if text.contains(character)))
    }

    /// Whether it says itself what scheme its text has.
    fn has_scheme(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(text)) if authority::has_scheme(text))
    }

    /// Fills in what the groups matched in a path, each as it is written there: percent-encoding what
    /// cannot stand in one, and behind a question mark what would begin another parameter. A slash
    /// that was encoded stays so. Nothing if a match would name the server of a location.
    pub(crate) fn fill<'a>(&self, matched: impl Fn(usize) -> Option<&'a [u8]>) -> Option<String> {
        let mut text = String::new();
        let mut in_query = false;
        let mut in_authority = self.in_authority;
        for (place, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(literal) => {
                    in_query |= literal.contains('?');
                    in_authority &= place == 0 || !authority::ends(literal);
                    text.push_str(literal);
                }
                Piece::Group(group) => {
                    let before = text.len();
                    push(&mut text, matched(*group).unwrap_or_default(), in_query);
                    if in_authority {
                        let (before, filled) = text.split_at_checked(before)?;
                        let after = self.pieces.get(place + 1);
                        in_authority = authority::stays_open(before, filled, after)?;
                    }
                }
            }
        }
        Some(text)
    }

    /// As `fill`, and nothing as well if a match would give a location its scheme.
    pub(crate) fn fill_location<'a>(
        &self,
        matched: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Option<String> {
        self.fill(matched).filter(|text| self.has_scheme() || !authority::has_scheme(text))
    }
}

/// Appends what a group matched.
fn push(text: &mut String, matched: &[u8], in_query: bool) {
    let mut rest = matched;
    while let Some((byte, length)) = segments::first(rest) {
        let was_slash = byte == b'/' && length > 1;
        let ends_parameter = in_query && b"&+;=".contains(&byte);
        match path::is_plain(byte) && !was_slash && !ends_parameter {
            true => text.push(char::from(byte)),
            false => path::push_encoded(text, byte),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, groups: &[Option<&[u8]>]) -> String {
        Template::parse(template).unwrap().fill(|group| groups[group]).unwrap()
    }

    #[test]
    fn groups_and_dollar_signs() {
        let groups: [Option<&[u8]>; 3] = [Some(b"/aa/"), Some(b"aa"), None];
        assert_eq!(fill("/$1-$2-$0x$$1", &groups), "/aa--/aa/x$1");
        assert_eq!(fill("/new$15", &groups), "/newaa5");
        assert_eq!(Template::parse("/a$9b$3").unwrap().greatest_group(), Some(9));
        assert_eq!(Template::parse("/a$$9").unwrap().greatest_group(), None);
        assert!(Template::parse("/a$").is_err());
        assert!(Template::parse("/$x").is_err());
        assert!(Template::parse("/a b").is_err());
        assert!(Template::parse("/a\r\nb").is_err());
        for odd in ['"', '<', '>', '\\', '^', '`', '{', '|', '}', 'ä', '\u{7f}'] {
            assert!(Template::parse(&format!("/{odd}")).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_was_decoded_is_encoded_again() {
        assert_eq!(fill("/$0", &[Some(b"a b\r\nc?d#e%\xff/f")]), "/a%20b%0D%0Ac%3Fd%23e%25%FF/f");
        assert_eq!(fill("/$0", &[Some(b"%61%20%2f%2F/\\%5c%252F")]), "/a%20%2F%2F/%5C%5C%252F");
    }

    #[test]
    fn what_is_filled_in_begins_no_other_parameter() {
        let groups: [Option<&[u8]>; 2] = [Some(b"/a&b=c"), Some(b"x&admin=1;y+z/?#")];
        assert_eq!(fill("/$1", &groups), "/x&admin=1;y+z/%3F%23");
        let expected = "/a&b=c?id=x%26admin%3D1%3By%2Bz/%3F%23&o=x%26admin%3D1%3By%2Bz/%3F%23";
        assert_eq!(fill("$0?id=$1&o=$1", &groups), expected);
    }
}
