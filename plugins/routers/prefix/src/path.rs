//! A path as prefixes are compared with it, and as an upstream gets what follows one.
//!
//! Upstreams do not agree on what a path means: whether `%2F` separates, whether several slashes are
//! one, how far `..` goes up. A prefix that is to keep requests in, or out, must not depend on that.
//! So for the comparison `%2F` separates and slashes are merged, and a path with dot segments, also
//! with encoded ones, is forwarded without them: nothing is left to be understood otherwise.

use linkspan_plugin_common::path::push_decoded;
use std::borrow::Cow;

/// A path, taken apart.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    /// What the upstream gets: as it came, unless there were dot segments.
    text: Cow<'a, str>,
    /// Escapes resolved, slashes merged. A separator in it is always a slash.
    decoded: Vec<u8>,
    /// The end of each segment: in `decoded`, and in `text`.
    ends: Vec<(usize, usize)>,
}

/// A segment, and the slash or `%2F` before it.
#[derive(Clone, Copy)]
struct Segment<'a> {
    separator: &'a str,
    text: &'a str,
}

impl<'a> Path<'a> {
    /// Takes a path apart; nothing if it is none, as in `OPTIONS *`.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let has_dots = segments(path).any(|segment| segment.is(b".") || segment.is(b".."));
        let text: Cow<'a, str> = if has_dots { without_dots(path).into() } else { path.into() };
        let (mut decoded, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        for segment in segments(&text) {
            at += segment.separator.len() + segment.text.len();
            if !decoded.ends_with(b"/") {
                decoded.push(b'/');
            }
            if !segment.text.is_empty() {
                push_decoded(&mut decoded, segment.text);
                ends.push((decoded.len(), at));
            }
        }
        Some(Self { text, decoded, ends })
    }

    /// All that prefixes of it look like, the shortest first: `/`, `/a`, `/a/`, `/a/b` of `/a/b`. Each
    /// with the place where the rest of the text begins.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let root = (self.decoded.get(..1).unwrap_or_default(), 0);
        let others = self.ends.iter().flat_map(|(end, rest)| {
            // A slash only follows where the path goes on, or ends with one.
            [*end, end + 1].into_iter().filter_map(|end| Some((self.decoded.get(..end)?, *rest)))
        });
        [root].into_iter().chain(others)
    }

    /// The path to forward, if it is not the one that came.
    pub(crate) fn changed(&self) -> Option<&str> {
        match &self.text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        }
    }

    /// The path with another beginning in place of what stands before `rest`. Where they meet, there
    /// is one slash.
    pub(crate) fn moved(&self, rest: usize, to: &str) -> String {
        let rest = self.text.get(rest..).unwrap_or_default();
        let mut text = to.trim_end_matches('/').to_owned();
        let mut inner = rest;
        while let Some(after) = after_separator(inner) {
            inner = after;
        }
        if inner.len() < rest.len() {
            text.push('/');
            text.push_str(inner);
            text
        } else {
            to.to_owned()
        }
    }
}

impl Segment<'_> {
    /// Whether it is that, once decoded.
    fn is(&self, bytes: &[u8]) -> bool {
        // Three characters for each byte at most.
        self.text.len() <= 3 * bytes.len() && {
            let mut decoded = Vec::new();
            push_decoded(&mut decoded, self.text);
            decoded == bytes
        }
    }
}

/// What follows a slash or `%2F` at the beginning of a text.
fn after_separator(text: &str) -> Option<&str> {
    let encoded = || text.strip_prefix("%2F").or_else(|| text.strip_prefix("%2f"));
    text.strip_prefix('/').or_else(encoded)
}

fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let inner = after_separator(rest)?;
        let end = inner.char_indices().map(|(at, _)| at);
        let mut end = end.filter(|at| inner.get(*at..).and_then(after_separator).is_some());
        let end = end.next().unwrap_or(inner.len());
        let (separator, _) = rest.split_at(rest.len() - inner.len());
        let (text, after) = inner.split_at(end);
        rest = after;
        Some(Segment { separator, text })
    })
}

/// The path with `.` and `..` followed, as RFC 3986 (5.2.4) has it after slashes are merged.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<Segment<'_>> = Vec::new();
    let mut ends_in_slash = false;
    for segment in segments(path) {
        let up = segment.is(b"..");
        ends_in_slash = up || segment.is(b".") || segment.text.is_empty();
        if up {
            kept.pop();
        } else if !ends_in_slash {
            kept.push(segment);
        }
    }
    let mut text = String::new();
    for segment in kept {
        text.push_str(if text.is_empty() { "/" } else { segment.separator });
        text.push_str(segment.text);
    }
    if ends_in_slash || text.is_empty() {
        text.push('/');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compared(path: &str) -> String {
        String::from_utf8(Path::parse(path).unwrap().decoded).unwrap()
    }

    #[test]
    fn a_path_is_compared_as_an_upstream_may_understand_it() {
        for (path, expected, forwarded) in [
            ("/", "/", None),
            ("/a/b", "/a/b", None),
            ("/a/b/", "/a/b/", None),
            ("//a///b//", "/a/b/", None),
            ("/%61%20b", "/a b", None),
            ("/a%2Fb%2f", "/a/b/", None),
            ("/a%252Fb", "/a%2Fb", None),
            ("/a/./b", "/a/b", Some("/a/b")),
            ("/a/../b", "/b", Some("/b")),
            ("/a/%2E%2e/b%20c", "/b c", Some("/b%20c")),
            ("/a/.%2e%2Fb", "/b", Some("/b")),
            ("/a%2F..%2Fb%2Fc", "/b/c", Some("/b%2Fc")),
            ("/a//../b", "/b", Some("/b")),
            ("/../../a", "/a", Some("/a")),
            ("/a/..", "/", Some("/")),
            ("/a/b/.", "/a/b/", Some("/a/b/")),
            ("/a/b/..", "/a/", Some("/a/")),
            ("/.../.a/a.", "/.../.a/a.", None),
            ("/a/%2e%2", "/a/.%2", None),
        ] {
            assert_eq!(compared(path), expected, "{path}");
            assert_eq!(Path::parse(path).unwrap().changed(), forwarded, "{path}");
        }
        assert!(Path::parse("*").is_none() && Path::parse("").is_none());
    }

    #[test]
    fn prefixes_end_with_segments() {
        let all = |path| -> Vec<(String, usize)> {
            let path = Path::parse(path).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            path.prefixes().map(|(prefix, rest)| (text(prefix), rest)).collect()
        };
        let expected = [("/", 0), ("/a", 2), ("/a/", 2), ("/a/b", 6)];
        assert_eq!(all("/a%2Fb"), expected.map(|(text, rest)| (text.to_owned(), rest)));
        let expected = [("/", 0), ("/a", 3), ("/a/", 3)];
        assert_eq!(all("//a//"), expected.map(|(text, rest)| (text.to_owned(), rest)));
        assert_eq!(all("/"), [("/".to_owned(), 0)]);
    }

    #[test]
    fn where_old_and_new_meet_there_is_one_slash() {
        for (path, rest, to, expected) in [
            ("/a/b", 2, "/", "/b"),
            ("/a", 2, "/", "/"),
            ("/a/", 2, "/", "/"),
            ("/a//b", 2, "/", "/b"),
            ("/a%2Fb%2Fc", 2, "/", "/b%2Fc"),
            ("/a/b", 2, "/new", "/new/b"),
            ("/a", 2, "/new", "/new"),
            ("/a/", 2, "/new", "/new/"),
            ("/a", 2, "/new/", "/new/"),
            ("/a/b", 2, "/new/", "/new/b"),
            ("/b", 0, "/new", "/new/b"),
            ("/", 0, "/new", "/new/"),
        ] {
            assert_eq!(Path::parse(path).unwrap().moved(rest, to), expected, "{path} {to}");
        }
    }

    proptest! {
        /// What is forwarded has no dot segments, is understood as it was compared, and a moved path
        /// cannot leave the place that it was moved to.
        #[test]
        fn dots_lead_nowhere(
            pieces in prop::collection::vec(prop::sample::select(
                &["/", "%2F", "%2f", ".", "..", "%2e", "%2E", "a", "b", "%20", "%", ";", "%25"][..]
            ), 0..16),
        ) {
            let path = format!("/{}", pieces.concat());
            let parsed = Path::parse(&path).unwrap();
            let dots = |text: &str| segments(text).any(|each| each.is(b".") || each.is(b".."));
            prop_assert!(!dots(&parsed.text), "{}", parsed.text);
            prop_assert!(parsed.text.starts_with('/'));
            let again = Path::parse(&parsed.text).unwrap();
            prop_assert_eq!(again.changed(), None);
            prop_assert_eq!(&again.decoded, &parsed.decoded);
            for (prefix, rest) in parsed.prefixes() {
                prop_assert!(parsed.decoded.starts_with(prefix));
                let moved = parsed.moved(rest, "/new");
                prop_assert!(moved == "/new" || moved.starts_with("/new/"), "{}", moved);
                prop_assert!(!moved.starts_with("/new//") && !dots(&moved), "{}", moved);
            }
        }
    }
}
