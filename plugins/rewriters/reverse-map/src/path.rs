//! Paths whose beginnings are replaced, at the borders of segments.

/// That paths beginning with `from` begin with `to` on the other side. Neither ends with a slash;
/// the empty one is the beginning of all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix {
    from: String,
    to: String,
}

impl Prefix {
    pub(crate) fn new(from: &str, to: &str) -> Self {
        let plain = |path: &str| path.trim_end_matches('/').to_owned();
        Self { from: plain(from), to: plain(to) }
    }

    /// What undoes the change of a request's path, from what its client sent to what its upstream
    /// got: what both end with was not changed, and the rest was, one for the other. None if nothing
    /// was, or not a beginning.
    ///
    /// `/app` that became `/` lost its beginning, although it does not end with the slash. Where the
    /// two end in nothing that is the same, only that very path is known, and what lies below it.
    pub(crate) fn undoing(client: &str, upstream: &str) -> Option<Self> {
        if client == upstream || !client.starts_with('/') || !upstream.starts_with('/') {
            return None;
        }
        let closed = upstream.ends_with('/') && !client.ends_with('/');
        let client = if closed { format!("{client}/") } else { client.to_owned() };
        let ours: Vec<&str> = client.split('/').collect();
        let theirs: Vec<&str> = upstream.split('/').collect();
        let both = ours.iter().rev().zip(theirs.iter().rev());
        let same = both.take_while(|(one, other)| same_segment(one, other)).count();
        // What stands before the first slash is no segment.
        let same = same.min(ours.len().min(theirs.len()).saturating_sub(1));
        if same == 0 && (client.ends_with('/') || upstream.ends_with('/')) {
            return None;
        }
        let beginning = |segments: &[&str]| {
            let changed = segments.len().saturating_sub(same);
            segments.get(..changed).unwrap_or_default().join("/")
        };
        let prefix = Self::new(&beginning(&theirs), &beginning(&ours));
        (prefix.from != prefix.to).then_some(prefix)
    }

    /// How much of a path it takes.
    pub(crate) fn length(&self) -> usize {
        self.from.len()
    }

    /// Whether a path already begins as on the other side, and only looks as if it did not.
    pub(crate) fn is_applied(&self, path: &[u8]) -> bool {
        let nested = self.to.len() > self.from.len() && self.to.starts_with(&self.from);
        let rest = path.strip_prefix(self.to.as_bytes()).filter(|_| nested);
        matches!(rest, Some([] | [b'/', ..]))
    }

    /// The path on the other side, if it begins so. An empty path is the root.
    pub(crate) fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = if path.is_empty() { &b"/"[..] } else { path };
        let rest = path.strip_prefix(self.from.as_bytes())?;
        match rest {
            [] if self.to.is_empty() => Some(b"/".to_vec()),
            [] | [b'/', ..] => Some([self.to.as_bytes(), rest].concat()),
            _ => None,
        }
    }
}

/// Whether two segments say the same: one that was decoded and encoded again may be spelt otherwise.
fn same_segment(one: &str, other: &str) -> bool {
    one == other || decoded(one) == decoded(other)
}

/// Percent-decodes; escapes that are none stay.
fn decoded(segment: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped =
            behind.split_at_checked(2).filter(|_| *byte == b'%').and_then(|(two, rest)| {
                let digits =
                    str::from_utf8(two).ok().filter(|_| two.iter().all(u8::is_ascii_hexdigit));
                Some((u8::from_str_radix(digits?, 16).ok()?, rest))
            });
        let (value, behind) = escaped.unwrap_or((*byte, behind));
        decoded.push(value);
        rest = behind;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_already_begins_as_on_the_other_side_is_known() {
        for (from, to, path, applied) in [
            ("", "/app", "/app", true),
            ("", "/app", "/app/a", true),
            ("", "/app", "/apple", false),
            ("", "/app", "/a", false),
            ("/in", "/in/app", "/in/app/a", true),
            ("/in", "/app", "/app/a", false),
            ("/app", "", "/a", false),
        ] {
            assert_eq!(Prefix::new(from, to).is_applied(path.as_bytes()), applied, "{path}");
        }
    }

    fn undo(client: &str, upstream: &str) -> Option<(String, String)> {
        Prefix::undoing(client, upstream).map(|prefix| (prefix.from, prefix.to))
    }

    #[test]
    fn what_was_changed_is_what_the_paths_do_not_both_end_with() {
        for (client, upstream, from, to) in [
            ("/app/page", "/page", "", "/app"),
            ("/app/", "/", "", "/app"),
            ("/app", "/", "", "/app"),
            ("/app/a/b", "/other/a/b", "/other", "/app"),
            ("/page", "/app/page", "/app", ""),
            ("/app/app/x", "/app/x", "", "/app"),
            ("/app/caf%c3%a9/a+b", "/caf%C3%A9/a%2Bb", "", "/app"),
            ("/app", "/two", "/two", "/app"),
            ("/blog/post", "/index.php", "/index.php", "/blog/post"),
        ] {
            let expected = Some((from.to_owned(), to.to_owned()));
            assert_eq!(undo(client, upstream), expected, "{client} {upstream}");
        }
        for (client, upstream) in [
            ("/a", "/a"),
            ("/", "/index.php"),
            ("/blog/", "/index.php"),
            ("*", "/"),
            ("/a", "/%61"),
        ] {
            assert_eq!(undo(client, upstream), None, "{client} {upstream}");
        }
    }

    #[test]
    fn paths_are_mapped_at_the_borders_of_segments() {
        let apply = |from, to, path: &str| {
            let path = Prefix::new(from, to).apply(path.as_bytes());
            path.map(|path| String::from_utf8(path).unwrap())
        };
        let is = |from, to, path, expected: &str| {
            assert_eq!(apply(from, to, path).as_deref(), Some(expected), "{from} {to} {path}");
        };
        is("/app", "/front", "/app", "/front");
        is("/app/", "/front/", "/app/x", "/front/x");
        is("/app", "/", "/app", "/");
        is("/app", "", "/app/x", "/x");
        is("/", "/front", "/x", "/front/x");
        is("", "/front", "/", "/front/");
        is("", "/front", "", "/front/");
        assert_eq!(apply("/app", "/front", "/apple"), None);
        assert_eq!(apply("/app", "/front", "/"), None);
        assert_eq!(apply("/app", "/front", "/APP/x"), None);
    }

    proptest! {
        /// Whatever was put before a path, the path is found again.
        #[test]
        fn undoing_finds_the_clients_path_again(
            before in "(/[ab]{1,2}){0,3}",
            after in "(/[ab]{1,2}){0,3}",
            rest in "(/[a-d]{1,3}){1,3}/?",
        ) {
            let (client, upstream) = (format!("{before}{rest}"), format!("{after}{rest}"));
            let found = match Prefix::undoing(&client, &upstream) {
                Some(prefix) => prefix.apply(upstream.as_bytes()),
                None => Some(upstream.clone().into_bytes()),
            };
            prop_assert_eq!(found, Some(client.into_bytes()));
        }
    }
}
