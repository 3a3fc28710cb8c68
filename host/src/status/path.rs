//! Percent-encoded paths: compared and decoded.

/// Whether a request's path is one that is configured. The request's is decoded for that, without
/// a copy; a `%` without two hexadecimal digits stands for itself.
#[must_use]
pub fn is_at(path: &str, configured: &str) -> bool {
    Decoded(path.as_bytes()).eq(configured.bytes())
}

/// A decoded part of a path; none if that is not UTF-8.
#[must_use]
pub fn decoded(part: &str) -> Option<String> {
    String::from_utf8(Decoded(part.as_bytes()).collect()).ok()
}

struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let Some(byte) = byte(*high, *low)
        {
            self.0 = rest;
            return Some(byte);
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_as_decoded() {
        for same in ["/proxy-status", "/proxy%2Dstatus", "/%70roxy-statu%73"] {
            assert!(is_at(same, "/proxy-status"), "{same}");
        }
        for other in
            ["/proxy-status/", "/Proxy-status", "/proxy-statu", "/", "", "/proxy%252Dstatus"]
        {
            assert!(!is_at(other, "/proxy-status"), "{other}");
        }
        assert!(is_at("/caf%C3%A9%20", "/café "));
        assert!(is_at("/100%", "/100%") && is_at("/%zz%4", "/%zz%4"));
    }

    #[test]
    fn what_is_no_text_is_not_decoded() {
        assert_eq!(decoded("unix:%2Frun%2Fa.sock").as_deref(), Some("unix:/run/a.sock"));
        assert_eq!(decoded("%FF"), None);
    }
}
