//! Texts with `$0` to `$9` for what the pattern and its groups matched, and `$$` for a dollar sign.

use std::mem;

/// A text to put matches into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut literal) = (Vec::new(), Vec::new());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match (byte, if byte == b'$' { bytes.next() } else { None }) {
                (b'$', Some(b'$')) => literal.push(b'$'),
                (b'$', Some(digit @ b'0'..=b'9')) => {
                    let before = mem::take(&mut literal);
                    pieces.extend((!before.is_empty()).then_some(Piece::Text(before)));
                    pieces.push(Piece::Group(usize::from(digit - b'0')));
                }
                (b'$', _) => {
                    return Err("a `$` stands before a digit, or another `$` for itself".to_owned());
                }
                (byte, _) => literal.push(byte),
            }
        }
        pieces.extend((!literal.is_empty()).then_some(Piece::Text(literal)));
        Ok(Self(pieces))
    }

    /// The greatest group it names.
    pub(crate) fn greatest_group(&self) -> Option<usize> {
        let group =
            |piece: &Piece| if let Piece::Group(group) = piece { Some(*group) } else { None };
        self.0.iter().filter_map(group).max()
    }

    /// All of it, if it names no group.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        match self.0.as_slice() {
            [] => Some(Vec::new()),
            [Piece::Text(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// Appends it with what the groups matched; nothing for one that took no part.
    pub(crate) fn fill<'a>(&self, group: impl Fn(usize) -> Option<&'a [u8]>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(number) => out.extend_from_slice(group(*number).unwrap_or_default()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_dollar_signs() {
        let template = Template::parse("<$1|$0|$2$$1é>").unwrap();
        let mut out = Vec::new();
        let groups: [Option<&[u8]>; 3] = [Some(b"all"), Some(b"\xff"), None];
        template.fill(|group| groups.get(group).copied().flatten(), &mut out);
        assert_eq!(out, b"<\xff|all|$1\xc3\xa9>");
        assert_eq!((template.greatest_group(), template.text()), (Some(2), None));
        assert_eq!(Template::parse("a$$").unwrap().text().unwrap(), b"a$");
        assert_eq!(Template::parse("").unwrap().text().unwrap(), b"");
        assert!(Template::parse("a$").is_err() && Template::parse("$x").is_err());
    }
}
