//! The host and the port that a client addressed.

/// The host and the port of `host`, `host:port`, `[::1]` and `[::1]:port`. Brackets belong to the
/// host.
#[must_use]
pub fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_in_brackets_begin_no_port() {
        for (authority, host, port) in [
            ("a", "a", None),
            ("a:1", "a", Some("1")),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
            ("", "", None),
        ] {
            assert_eq!(split(authority), (host, port));
        }
    }
}
