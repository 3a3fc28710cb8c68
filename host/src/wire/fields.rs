//! Field lines, and what they say about where a message ends.

use super::Fault;
use super::bytes::{token_end, trim};

/// What the fields of a head say, as far as framing goes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    count: usize,
    length: Option<u64>,
    coded: bool,
    /// There is an Upgrade.
    upgrade: bool,
    /// Connection nominates it.
    switches: bool,
}

/// How the end of a message is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing says so.
    None,
    /// By its length.
    Sized(u64),
    /// By its last chunk.
    Chunked,
}

impl Fields {
    /// Reads a field line; how many bytes its name has.
    // As what finds the line.
    #[inline(always)]
    pub(super) fn line(&mut self, line: &[u8], most: usize) -> Result<usize, Fault> {
        let end = token_end(line);
        if end == 0 || line.get(end) != Some(&b':') {
            return Err(no_field(line, end));
        }
        self.count += 1;
        if self.count > most {
            return Err(Fault::Fields);
        }
        // Their length and first letter rule out nearly all that are not about framing.
        let first = line.first().map_or(0, |byte| byte | 0x20);
        if matches!(end, 7 | 10 | 14 | 17) && matches!(first, b'c' | b't' | b'u') {
            self.framed(line, end)?;
        }
        Ok(end)
    }

    /// Reads a field that may be about framing, the name of which has so many bytes.
    ///
    /// By itself, so that what is read of all the others goes where it is called from.
    #[inline(never)]
    fn framed(&mut self, line: &[u8], end: usize) -> Result<(), Fault> {
        let (name, value) = line.split_at(end);
        let value = trim(value.get(1..).unwrap_or_default());
        match end {
            7 if is(name, b"upgrade") => self.upgrade = true,
            10 if is(name, b"connection") => self.connection(value),
            14 if is(name, b"content-length") => self.length(value)?,
            17 if is(name, b"transfer-encoding") => self.coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        // What nearly all say that say anything.
        if !matches!(value, b"keep-alive" | b"close") {
            let mut options = value.split(|byte| *byte == b',').map(trim);
            self.switches |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.length.is_some() {
            return Err(Fault::Lengths);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Fault::Length);
        }
        let mut length = 0_i64;
        for digit in value {
            let shifted = length.checked_mul(10);
            let added = shifted.and_then(|shifted| shifted.checked_add(i64::from(digit - b'0')));
            length = added.ok_or(Fault::LengthTooLarge)?;
        }
        self.length = Some(length.unsigned_abs());
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.coded || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::Coding);
        }
        self.coded = true;
        Ok(())
    }

    /// How the message ends, whose version is HTTP/1.0 if it is `old`.
    pub(super) fn framing(&self, old: bool) -> Result<Framing, Fault> {
        match (self.coded, self.length) {
            (true, Some(_)) => Err(Fault::LengthAndCoding),
            (true, None) if old => Err(Fault::CodingTooEarly),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Sized(length)),
            (false, None) => Ok(Framing::None),
        }
    }

    /// Whether another protocol is asked for, or agreed to.
    pub(super) fn upgrades(&self) -> bool {
        self.upgrade && self.switches
    }
}

/// Whether a token of as many bytes is this name, which has small letters and hyphens.
#[inline]
fn is<const N: usize>(token: &[u8], name: &[u8; N]) -> bool {
    let Some(token) = token.first_chunk::<N>() else { return false };
    // No other byte of a token becomes a small letter or a hyphen.
    let pairs = token.iter().zip(name);
    pairs.fold(0, |differences, (byte, of)| differences | (byte | 0x20) ^ of) == 0
}

/// What is wrong with a line that begins with a token of so many bytes, and no colon after it.
#[cold]
fn no_field(line: &[u8], end: usize) -> Fault {
    let rest = line.get(end..).unwrap_or_default();
    match rest.first() {
        Some(b' ' | b'\t') if end == 0 => Fault::Folded,
        Some(b' ' | b'\t') if trim(rest).starts_with(b":") => Fault::BlankBeforeColon,
        _ if rest.contains(&b':') => Fault::Name,
        _ => Fault::NoColon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(lines: &[&str]) -> Result<Framing, Fault> {
        let mut fields = Fields::default();
        for line in lines {
            fields.line(line.as_bytes(), 3)?;
        }
        fields.framing(false)
    }

    #[test]
    fn a_message_has_one_end() {
        for (lines, expected) in [
            (&["a: b", "Host:"][..], Ok(Framing::None)),
            (&["CONTENT-length:\t5 "], Ok(Framing::Sized(5))),
            (&["content-length: 0005"], Ok(Framing::Sized(5))),
            (&["content-length: 9223372036854775807"], Ok(Framing::Sized(i64::MAX as u64))),
            (&["content-length: 9223372036854775808"], Err(Fault::LengthTooLarge)),
            (&["content-length: 99999999999999999999"], Err(Fault::LengthTooLarge)),
            (&["content-length:"], Err(Fault::Length)),
            (&["content-length: +5"], Err(Fault::Length)),
            (&["content-length: 5, 5"], Err(Fault::Length)),
            (&["content-length: 5\u{b2}"], Err(Fault::Length)),
            (&["content-length: 5", "content-length: 5"], Err(Fault::Lengths)),
            (&["transfer-encoding: cHunked"], Ok(Framing::Chunked)),
            (&["transfer-encoding: \u{b}chunked"], Err(Fault::Coding)),
            (&["transfer-encoding: gzip, chunked"], Err(Fault::Coding)),
            (&["transfer-encoding:"], Err(Fault::Coding)),
            (&["transfer-encoding: chunked", "transfer-encoding: chunked"], Err(Fault::Coding)),
            (&["transfer-encoding: chunked", "content-length: 5"], Err(Fault::LengthAndCoding)),
            (&["content-length: 5", "transfer-encoding: chunked"], Err(Fault::LengthAndCoding)),
            (&["transfer_encoding: chunked"], Ok(Framing::None)),
        ] {
            assert_eq!(framed(lines), expected, "{lines:?}");
        }
        let mut fields = Fields::default();
        fields.line(b"transfer-encoding: chunked", 9).unwrap();
        assert_eq!(fields.framing(true), Err(Fault::CodingTooEarly));
    }

    #[test]
    fn a_line_is_a_name_a_colon_and_a_value() {
        for (line, fault) in [
            (" a: b", Fault::Folded),
            ("\ta: b", Fault::Folded),
            ("a", Fault::NoColon),
            ("a b", Fault::NoColon),
            ("a : b", Fault::BlankBeforeColon),
            ("a b: c", Fault::Name),
            (": b", Fault::Name),
            ("a[b]: c", Fault::Name),
            ("\u{e9}: c", Fault::Name),
        ] {
            assert_eq!(framed(&[line]), Err(fault), "{line:?}");
        }
        assert_eq!(framed(&["a:", "b:", "c:", "d:"]), Err(Fault::Fields));
    }

    #[test]
    fn an_upgrade_takes_two_fields() {
        let upgrades = |lines: &[&str]| {
            let mut fields = Fields::default();
            for line in lines {
                fields.line(line.as_bytes(), 9).unwrap();
            }
            fields.upgrades()
        };
        assert!(upgrades(&["Upgrade: websocket", "Connection: keep-alive, UPGRADE"]));
        assert!(!upgrades(&["Upgrade: websocket", "Connection: keep-alive"]));
        assert!(!upgrades(&["Connection: upgrade"]));
    }
}
