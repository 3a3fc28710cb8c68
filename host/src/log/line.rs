//! The parts of a line, appended to bytes: numbers, times, and text that cannot break out of it.
//!
//! Written for the access log, which runs once per request; `write!` would cost several times as
//! much.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::id::hex_digit;

/// Appends a number.
pub(super) fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = ascii_digit(value);
        start = index;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// A duration in milliseconds, to the microsecond.
#[must_use]
pub fn in_milliseconds(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1_000.0
}

/// Appends a duration in milliseconds, to the microsecond.
pub(super) fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    decimal(out, micros / 1_000);
    out.push(b'.');
    padded(out, micros % 1_000, 3);
}

/// Appends a duration in microseconds, to a tenth.
pub(super) fn microseconds(out: &mut Vec<u8>, duration: Duration) {
    let tenths = u64::try_from(duration.as_nanos() / 100).unwrap_or(u64::MAX);
    decimal(out, tenths / 10);
    out.push(b'.');
    padded(out, tenths % 10, 1);
}

/// Appends the inside of a JSON string. Only ASCII is written, and what is not UTF-8 comes as
/// replacement characters: any reader of JSON takes it.
pub(super) fn json_inside(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid(), |out, character| {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(b"\\u");
                for byte in unit.to_be_bytes() {
                    out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
                }
            }
        });
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Appends the inside of a quoted text. Bytes that are not printable ASCII come as `\xNN`.
pub(super) fn text_inside(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let hexadecimal = |out: &mut Vec<u8>, bytes: &[u8]| {
        for byte in bytes {
            out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    };
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid(), |out, character| {
            hexadecimal(out, character.encode_utf8(&mut [0; 4]).as_bytes());
        });
        hexadecimal(out, chunk.invalid());
    }
}

/// Appends a value: bare if it is one word, quoted otherwise.
pub(super) fn text_value(out: &mut Vec<u8>, value: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' && byte != b'=';
    if !value.is_empty() && value.bytes().all(plain) {
        out.extend_from_slice(value.as_bytes());
    } else {
        out.push(b'"');
        text_inside(out, value.as_bytes());
        out.push(b'"');
    }
}

/// Appends a message: bare, or quoted if it could be taken for fields. One of several lines goes on
/// in lines that are indented, which no line that begins is. What does not print is escaped.
pub(super) fn text_message(out: &mut Vec<u8>, message: &str) {
    let quoted = message.contains('=') && !message.contains('\n');
    let mut push = |character: char| {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    };
    if quoted {
        push('"');
    }
    for character in message.chars() {
        match character {
            '\n' => "\n    ".chars().for_each(&mut push),
            '"' | '\\' if quoted => ['\\', character].into_iter().for_each(&mut push),
            '"' | '\\' | '\'' => push(character),
            _ => character.escape_debug().for_each(&mut push),
        }
    }
    if quoted {
        push('"');
    }
}

/// Appends a text as one word that holds none of the marks that stand between words.
pub(super) fn text_word(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=' | b',' | b':' | b'@') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
}

/// Whether there is nothing to escape, which is nearly always so.
fn is_plain(bytes: &[u8]) -> bool {
    // Without a branch per byte.
    let odd = |byte: &u8| ODD.get(usize::from(*byte)).copied().unwrap_or(1);
    bytes.iter().fold(0, |found, byte| found | odd(byte)) == 0
}

/// 1 for each byte that is to be escaped.
#[expect(clippy::indexing_slicing, reason = "while compiling")]
const ODD: [u8; 256] = {
    let mut table = [1; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        table[byte as usize] = matches!(byte, b'"' | b'\\') as u8;
        byte += 1;
    }
    table
};

/// Appends text with quotes and backslashes escaped, and `other` for each character that is not
/// printable ASCII.
fn escaped(out: &mut Vec<u8>, text: &str, other: impl Fn(&mut Vec<u8>, char)) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.push(u8::try_from(character).unwrap_or(b'?')),
            _ => other(out, character),
        }
    }
}

/// Writes times as RFC 3339 in UTC with milliseconds, formatting each second once.
#[derive(Debug)]
pub(super) struct Timestamps {
    second: u64,
    text: Vec<u8>,
}

impl Timestamps {
    pub(super) fn new() -> Self {
        let mut text = Vec::with_capacity(32);
        format_second(&mut text, 0);
        Self { second: 0, text }
    }

    pub(super) fn append(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            self.text.clear();
            format_second(&mut self.text, self.second);
        }
        out.extend_from_slice(&self.text);
        out.push(b'.');
        padded(out, u64::from(since.subsec_millis()), 3);
        out.push(b'Z');
    }
}

/// A time as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn timestamp(time: SystemTime) -> String {
    let mut text = Vec::with_capacity(24);
    Timestamps::new().append(&mut text, time);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends `YYYY-MM-DDTHH:MM:SS`.
fn format_second(out: &mut Vec<u8>, second: u64) {
    let (days, second) = (second / 86_400, second % 86_400);
    // Years are taken to begin in March, so that the leap day is their last; 400 of them are an era
    // of 146,097 days, and day 0 is 719,468 days into the first.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    padded(out, era * 400 + year + next_year, 4);
    let parts = [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3_600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ];
    for (separator, part) in parts {
        out.push(separator);
        padded(out, part, 2);
    }
}

/// Appends the last `width` digits, at most four.
fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let digits = [value / 1_000, value / 100, value / 10, value].map(ascii_digit);
    out.extend_from_slice(digits.get(4 - width..).unwrap_or_default());
}

fn ascii_digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn time(seconds: u64, millis: u64) -> String {
        let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
        written(|out| Timestamps::new().append(out, time))
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(time(951_782_400, 1), "2000-02-29T00:00:00.001Z");
        assert_eq!(time(951_868_800, 0), "2000-03-01T00:00:00.000Z");
        assert_eq!(time(1_798_761_599, 50), "2026-12-31T23:59:59.050Z");
        assert_eq!(time(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn durations_are_milliseconds_to_the_microsecond() {
        let text = |micros| written(|out| milliseconds(out, Duration::from_micros(micros)));
        assert_eq!(text(0), "0.000");
        assert_eq!(text(1_050), "1.050");
        assert_eq!(text(12_345_678), "12345.678");
    }

    #[test]
    fn nothing_breaks_out_of_a_text() {
        let inside = |bytes: &[u8]| written(|out| text_inside(out, bytes));
        assert_eq!(inside(b"/a\" 200\r\nfake"), r#"/a\" 200\x0d\x0afake"#);
        assert_eq!(inside("\u{1b}[2Jé\u{2028}\\".as_bytes()), r"\x1b[2J\xc3\xa9\xe2\x80\xa8\\");
        assert_eq!(inside(b"\xff"), r"\xff");
        let value = |text| written(|out| text_value(out, text));
        assert_eq!(value("10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(value("a b=\n"), r#""a b=\x0a""#);
        assert_eq!(value(""), "\"\"");
    }

    proptest! {
        #[test]
        fn numbers_are_themselves(value: u64) {
            prop_assert_eq!(written(|out| decimal(out, value)), value.to_string());
        }

        #[test]
        fn json_comes_back(text: String) {
            let line = written(|out| {
                out.push(b'"');
                json_inside(out, text.as_bytes());
                out.push(b'"');
            });
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_json(bytes: Vec<u8>) {
            let line = written(|out| {
                out.push(b'"');
                json_inside(out, &bytes);
                out.push(b'"');
            });
            let back = serde_json::from_str::<String>(&line).unwrap();
            prop_assert_eq!(back, String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn seconds_go_up_with_time(second in 0..253_402_300_799_u64) {
            prop_assert!(time(second, 0) < time(second + 1, 0) || second == 253_402_300_798);
        }
    }
}
