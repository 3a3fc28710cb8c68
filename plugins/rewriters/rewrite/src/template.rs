//! Texts with `$0` to `$9` for what the pattern and its groups matched; any other `$` is one.

/// A text to put matches into.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

impl Template {
    /// Reads a template. There is none that cannot be read.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match bytes.next_if(|next| byte == b'$' && next.is_ascii_digit()) {
                Some(digit) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Group(usize::from(digit - b'0')));
                }
                None => literal.push(byte),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Self(pieces)
    }

    /// Whether it has any of `$1` to `$9`.
    pub(crate) fn has_groups(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Group(1..)))
    }

    /// Fills in what the groups matched; nothing for one that is not there or took no part.
    pub(crate) fn fill<'a>(&self, matched: impl Fn(usize) -> Option<&'a [u8]>) -> Vec<u8> {
        let mut filled = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text),
                Piece::Group(group) => {
                    filled.extend_from_slice(matched(*group).unwrap_or_default());
                }
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_make_groups_and_everything_else_is_literal() {
        let groups: [&[u8]; 3] = [b"all", b"one", b"\xff"];
        let fill = |template: &str| Template::parse(template).fill(|at| groups.get(at).copied());
        assert_eq!(fill("$0-$1"), b"all-one");
        assert_eq!(fill("$12"), b"one2");
        assert_eq!(fill("a$9b"), b"ab", "a group that is missing is empty");
        assert_eq!(fill("$x $ $"), b"$x $ $");
        assert_eq!(fill("$$1"), b"$one");
        assert_eq!(fill("$2"), b"\xff");
        assert_eq!(fill(""), b"");
        assert_eq!(fill("caf\u{e9}"), "caf\u{e9}".as_bytes());
    }
}
