//! The names of compressed fields (RFC 7541, 6), as far as it matters whether they are pseudo fields.
//!
//! Nothing is decompressed. Of a name its place in one of the tables or its first letter suffices, and of
//! the table that a client fills, which of its entries begin so. What is malformed is for the library to
//! refuse that reads it afterwards.

use std::mem;

/// The first entries of the table that everybody has are pseudo fields, and how many it has.
const STATIC_PSEUDO: u32 = 14;
const STATIC: u32 = 61;

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Field,
    /// The rest of a number, and what it is.
    Number(Number, u32),
    NameLength,
    /// Its first letter, perhaps compressed, and how much of it there is.
    Name(bool),
    Skipped,
    ValueLength,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    /// The place of a whole field.
    Place,
    /// That of a name.
    NamePlace,
    /// The size of the table.
    Size,
    /// The length of a name.
    Name(bool),
    /// The length of a value.
    Value,
}

/// What has come of the fields of a connection.
#[derive(Debug, Default)]
pub(super) struct Names {
    at: At,
    /// The number that is being read, then what is left of a text.
    left: u32,
    /// The field that is being read joins the table.
    joins: bool,
    /// It is a pseudo field.
    pseudo: bool,
    /// One of the fields since [`begin`](Self::begin) was.
    found: bool,
    /// How often the size of the table has changed since then.
    sizes: u32,
    /// Which entries of the table are, the newest at the lowest bit: with 4 KiB it has 128 at most.
    table: u128,
}

impl Names {
    /// A head or trailers begin.
    pub(super) fn begin(&mut self) {
        *self = Self { table: self.table, ..Self::default() };
    }

    /// Whether one of the fields is a pseudo field.
    pub(super) fn has_pseudo(&self) -> bool {
        self.found
    }

    /// Whether the size of the table has changed more often than there is a use for (RFC 7541, 4.2).
    pub(super) fn is_fickle(&self) -> bool {
        self.sizes > 2
    }

    /// Reads what follows.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if matches!(self.at, At::Skipped | At::Value) {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(left..).unwrap_or_default();
                self.left -= u32::try_from(left).unwrap_or(self.left);
                if self.left == 0 {
                    self.text_over();
                }
                continue;
            }
            self.byte(*first);
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }

    fn byte(&mut self, byte: u8) {
        match self.at {
            At::Field => {
                self.joins = byte & 0xc0 == 0x40;
                match byte {
                    0x80.. => self.number(byte, 7, Number::Place),
                    0x40.. => self.number(byte, 6, Number::NamePlace),
                    0x20.. => self.number(byte, 5, Number::Size),
                    _ => self.number(byte, 4, Number::NamePlace),
                }
            }
            At::Number(number, shift) => {
                let more = u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(u32::MAX);
                self.left = self.left.saturating_add(more);
                if byte & 0x80 == 0 {
                    self.known(number);
                } else {
                    self.at = At::Number(number, shift.saturating_add(7));
                }
            }
            At::NameLength => self.number(byte, 7, Number::Name(byte & 0x80 != 0)),
            At::ValueLength => self.number(byte, 7, Number::Value),
            At::Name(compressed) => {
                // The letter takes seven bits when it is compressed (RFC 7541, appendix B).
                self.pseudo = if compressed { byte >> 1 == 0x5c } else { byte == b':' };
                self.left -= 1;
                self.at = At::Skipped;
                if self.left == 0 {
                    self.text_over();
                }
            }
            At::Skipped | At::Value => {}
        }
    }

    /// A number begins in the lowest bits of a byte.
    fn number(&mut self, byte: u8, bits: u32, number: Number) {
        let all = (1_u8 << bits) - 1;
        self.left = u32::from(byte & all);
        if byte & all == all {
            self.at = At::Number(number, 0);
        } else {
            self.known(number);
        }
    }

    fn known(&mut self, number: Number) {
        let value = mem::take(&mut self.left);
        self.at = match number {
            Number::Size => {
                self.sizes = self.sizes.saturating_add(1);
                At::Field
            }
            Number::Place => {
                self.found |= self.is_pseudo(value);
                At::Field
            }
            Number::NamePlace if value == 0 => At::NameLength,
            Number::NamePlace => {
                self.pseudo = self.is_pseudo(value);
                At::ValueLength
            }
            Number::Name(_) if value == 0 => {
                self.pseudo = false;
                At::ValueLength
            }
            Number::Name(compressed) => {
                self.left = value;
                At::Name(compressed)
            }
            Number::Value if value == 0 => return self.field_over(),
            Number::Value => {
                self.left = value;
                At::Value
            }
        };
    }

    fn text_over(&mut self) {
        match self.at {
            At::Value => self.field_over(),
            _ => self.at = At::ValueLength,
        }
    }

    fn field_over(&mut self) {
        self.found |= self.pseudo;
        if self.joins {
            self.table = self.table << 1 | u128::from(self.pseudo);
        }
        self.at = At::Field;
    }

    /// Whether what stands at a place of the tables is one.
    fn is_pseudo(&self, place: u32) -> bool {
        match place.checked_sub(STATIC + 1) {
            None => (1..=STATIC_PSEUDO).contains(&place),
            Some(entry) => self.table.checked_shr(entry).is_some_and(|rest| rest & 1 == 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_a_client_fills_is_followed() {
        let mut names = Names::default();
        let mut has = |bytes: &[u8]| {
            names.begin();
            names.pass(bytes);
            names.has_pseudo()
        };
        // A path and a plain field join it, then each is named by its place.
        assert!(has(b"\x44\x02/a"));
        assert!(!has(b"\x40\x03x-a\x01b"));
        assert!(!has(b"\xbe") && has(b"\xbf"));
        // As a name, in a field that joins, and in one that does not.
        assert!(!has(b"\x7e\x01c"));
        assert!(!has(b"\xbf") && has(b"\xc0"));
        assert!(has(b"\x0f\x31\x01d"));
        assert!(!has(b"\x0f\x30\x01d"));
        // Sizes and long texts are passed over.
        assert!(has(b"\x3f\xe1\x1f\xc0"));
        let long = [&b"\0\x03x-a\x7f\x81\x01"[..], &[b':'; 256]].concat();
        assert!(!has(&long));
        assert!(has(&[&long, &b"\x82"[..]].concat()));
    }

    #[test]
    fn a_table_has_few_sizes() {
        let mut names = Names::default();
        names.pass(b"\x20\x3f\xe1\x1f\x82");
        assert!(!names.is_fickle());
        names.begin();
        names.pass(b"\x20\x20\x20");
        assert!(names.is_fickle());
    }

    #[test]
    fn no_number_is_too_large() {
        let mut names = Names::default();
        names.pass(&[0xff; 100]);
        names.pass(b"\x7f");
        names.pass(b"\x00\x7f\xff\xff\xff\xff\xff\xff\xff\x7f:");
        assert!(!names.has_pseudo() || names.left > 0);
    }
}
