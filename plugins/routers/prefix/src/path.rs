//! A path as prefixes are compared with it, and as an upstream gets what follows one.
//!
//! Upstreams do not agree on what a path means: what separates, whether several slashes are one, how
//! far `..` goes up, where a name ends. A prefix that is to keep requests in, or out, must not depend
//! on that. So for the comparison whatever may separate does, slashes are merged and parameters left
//! out, and a path with dot segments, in any spelling, is forwarded without them: nothing is left to
//! be understood otherwise. Of a long path only as much is kept as the longest prefix needs.

use linkspan_plugin_common::segments::{
    Kind, Segment, after_separator, decoded, has_dots, segments,
};
use std::borrow::Cow;

/// The longest path that dot segments are taken out of. It is what nginx and Apache take at all.
const MOST_RESOLVED_BYTES: usize = 8 << 10;

/// A path, taken apart.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    /// What the upstream gets: as it came, unless there were dot segments.
    text: Cow<'a, str>,
    /// Escapes resolved, slashes merged, parameters left out. A separator in it is always a slash.
    decoded: Vec<u8>,
    /// The end of each segment: in `decoded`, and in `text`.
    ends: Vec<(usize, usize)>,
}

/// What is wrong with a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has a `%00`, where some upstreams end a name.
    Zero,
    /// It has dot segments, and is longer than those are taken out of.
    TooLong,
}

impl<'a> Path<'a> {
    /// Takes a path apart, as far as it may begin with a prefix of that many bytes at most; nothing
    /// if it is none, as in `OPTIONS *`.
    pub(crate) fn parse(path: &'a str, most: usize) -> Result<Option<Self>, Refused> {
        if !path.starts_with('/') {
            return Ok(None);
        }
        if decoded(path.as_bytes()).any(|byte| byte == 0) {
            return Err(Refused::Zero);
        }
        let text: Cow<'a, str> = match has_dots(path) {
            true if path.len() > MOST_RESOLVED_BYTES => return Err(Refused::TooLong),
            true => without_dots(path).into(),
            false => path.into(),
        };
        let (mut decoded, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        for segment in segments(&text) {
            at += segment.separator.len() + segment.text.len();
            if !decoded.ends_with(b"/") {
                decoded.push(b'/');
            }
            if segment.kind() != Kind::Empty {
                // One byte more tells that the segment is longer than any prefix.
                decoded.extend(segment.name().take(most.saturating_add(1)));
                ends.push((decoded.len(), at));
            }
            if decoded.len() > most {
                break;
            }
        }
        Ok(Some(Self { text, decoded, ends }))
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

/// The path with `.` and `..` followed, as RFC 3986 (5.2.4) has it after slashes are merged.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<Segment<'_>> = Vec::new();
    let mut ends_in_slash = false;
    for segment in segments(path) {
        let kind = segment.kind();
        ends_in_slash = kind != Kind::Name;
        match kind {
            Kind::Name => kept.push(segment),
            Kind::Up => _ = kept.pop(),
            Kind::Here | Kind::Empty => {}
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

    fn parse(path: &str) -> Path<'_> {
        Path::parse(path, usize::MAX).unwrap().unwrap()
    }

    fn compared(path: &str) -> String {
        String::from_utf8(parse(path).decoded).unwrap()
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
            ("/a\\b%5Cc%5c", "/a/b/c/", None),
            ("/a;v=1/b%3Bv", "/a/b", None),
            ("/a/;v/;w", "/a/", None),
            ("/a;v/..;w/b;x", "/b", Some("/b;x")),
            ("/a\\..\\b%5C.;v", "/b/", Some("/b/")),
        ] {
            assert_eq!(compared(path), expected, "{path}");
            assert_eq!(parse(path).changed(), forwarded, "{path}");
        }
        assert!(
            ["*", "", "\\a"]
                .map(|path| Path::parse(path, 9))
                .iter()
                .all(|it| matches!(it, Ok(None)))
        );
    }

    #[test]
    fn prefixes_end_with_segments() {
        let all = |path| -> Vec<(String, usize)> {
            let path = parse(path);
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
            assert_eq!(parse(path).moved(rest, to), expected, "{path} {to}");
        }
    }

    #[test]
    fn of_a_long_path_only_what_prefixes_need_is_kept() {
        let long = format!("/app/{}", "a/".repeat(32_000));
        let path = Path::parse(&long, 6).unwrap().unwrap();
        assert_eq!((path.decoded.as_slice(), path.ends.len()), (&b"/app/a/a"[..], 3));
        let name = format!("/{}", "n".repeat(64_000));
        assert_eq!(Path::parse(&name, 6).unwrap().unwrap().decoded.len(), 8);
        let dots = Path::parse(&format!("{long}.."), 6).err();
        assert_eq!(dots, Some(Refused::TooLong), "the dots are looked for in all of it");
        assert_eq!(Path::parse(&format!("{long}%00"), 6).err(), Some(Refused::Zero));
        assert_eq!(Path::parse("/a/..%00/b", 6).err(), Some(Refused::Zero));
        assert!(parse(&format!("/{}", "a/../".repeat(1_600))).changed().is_some());
    }

    proptest! {
        /// What is forwarded has no dot segments, is understood as it was compared, and a moved path
        /// cannot leave the place that it was moved to.
        #[test]
        fn dots_lead_nowhere(
            pieces in prop::collection::vec(prop::sample::select(
                &[
                    "/", "%2F", "%2f", "\\", "%5C", ".", "..", "%2e", "%2E", "a", "b", "%20", "%",
                    ";", "%3b", "%25",
                ][..]
            ), 0..16),
        ) {
            let path = format!("/{}", pieces.concat());
            let parsed = parse(&path);
            prop_assert!(!has_dots(&parsed.text), "{}", parsed.text);
            prop_assert!(parsed.text.starts_with('/'));
            let again = parse(&parsed.text);
            prop_assert_eq!(again.changed(), None);
            prop_assert_eq!(&again.decoded, &parsed.decoded);
            for (prefix, rest) in parsed.prefixes() {
                prop_assert!(parsed.decoded.starts_with(prefix));
                let moved = parsed.moved(rest, "/new");
                prop_assert!(moved == "/new" || moved.starts_with("/new/"), "{}", moved);
                prop_assert!(!moved.starts_with("/new//") && !has_dots(&moved), "{}", moved);
            }
        }
    }
}
