//! Which file is meant: from the value of a field to paths below roots. Pure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode;

use super::{How, Outcome, Refusal, Wish};
use crate::config::{Root, Sendfile};

/// A file below a root.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) root: Arc<Root>,
    /// Relative, without `.` and `..`; empty if it is the root itself.
    pub(super) path: PathBuf,
}

/// Where the file may be, in the order in which it is looked for; at least one place.
///
/// The rules are lighttpd's (1.4, `x-sendfile-docroot`): the value is percent-decoded, has to be
/// UTF-8 and not blank, and is simplified before it is compared with the roots. A path that does not
/// begin with a slash is looked for below each of the roots.
pub(super) fn targets(wish: &Wish, sendfile: &Sendfile) -> Result<Vec<Target>, Refusal> {
    let refuse = |outcome, why: &str| Refusal::new(outcome, format!("{wish}: {why}"));
    let malformed = |why| refuse(Outcome::Malformed, why);
    if wish.several {
        return Err(malformed("it stands there several times"));
    }
    let value = match wish.how {
        How::Path => wish.value.as_bytes(),
        // A path of a request can have a query, which says nothing about the file.
        How::Redirect => wish.value.as_bytes().split(|byte| *byte == b'?').next().unwrap_or(b""),
    };
    let text = percent_decode(value)
        .decode_utf8()
        .map_err(|_not_utf8| malformed("percent-decoded, it is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(malformed("it is blank"));
    }
    if text.contains('\0') {
        return Err(malformed("it has a NUL"));
    }
    let found = match wish.how {
        How::Path => below_roots(&text, sendfile),
        How::Redirect => below_prefix(&text, sendfile),
    };
    if found.is_empty() {
        let what = match wish.how {
            How::Path => "it is outside of every root",
            How::Redirect => "none of `sendfile-prefixes` covers it",
        };
        return Err(refuse(Outcome::Forbidden, what));
    }
    if text.ends_with('/') || text.ends_with("/.") || text.ends_with("/..") {
        return Err(refuse(Outcome::Missing, "it names a directory"));
    }
    Ok(found)
}

fn below_roots(text: &str, sendfile: &Sendfile) -> Vec<Target> {
    let (simple, climbs) = simplified(text);
    let all = sendfile.directories();
    if text.starts_with('/') {
        let absolute = Path::new("/").join(simple);
        let below = |root: &Arc<Root>| {
            let path = root.below(&absolute)?.to_owned();
            Some(Target { root: Arc::clone(root), path })
        };
        all.filter_map(below).collect()
    } else if climbs {
        Vec::new()
    } else {
        all.map(|root| Target { root: Arc::clone(root), path: simple.clone() }).collect()
    }
}

/// The longest prefix decides, as it does among nginx's locations.
fn below_prefix(text: &str, sendfile: &Sendfile) -> Vec<Target> {
    if !text.starts_with('/') {
        return Vec::new();
    }
    let path = format!("/{}", simplified(text).0.display());
    let covering = sendfile.prefixes.iter().filter_map(|(prefix, root)| {
        let rest = path.strip_prefix(&**prefix)?;
        Some((prefix.len(), Target { root: Arc::clone(root), path: rest.into() }))
    });
    covering.max_by_key(|(length, _)| *length).map(|(_, target)| target).into_iter().collect()
}

/// A path without `.`, `..` and slashes of no meaning, relative; and whether it leads to above where
/// it starts.
fn simplified(text: &str) -> (PathBuf, bool) {
    let (mut parts, mut climbs) = (Vec::new(), false);
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => climbs |= parts.pop().is_none(),
            part => parts.push(part),
        }
    }
    (parts.iter().collect(), climbs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// Two roots and two prefixes below a directory.
    fn layout() -> (TempDir, Sendfile) {
        let directory = tempfile::tempdir().unwrap();
        let root = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Arc::new(Root::open(&path).unwrap())
        };
        let prefixes = vec![("/p/".into(), root("p")), ("/p/q/".into(), root("q"))];
        let roots = vec![root("a"), root("b")];
        (directory, Sendfile { roots, prefixes, ..Sendfile::default() })
    }

    fn wish(how: How, value: &[u8]) -> Wish {
        Wish { how, value: HeaderValue::from_bytes(value).unwrap(), several: false }
    }

    /// Where a value is looked for, as the names of roots and paths below them.
    fn found(how: How, value: &str, at: &(TempDir, Sendfile)) -> Result<String, Outcome> {
        let value = value.replace('~', at.0.path().to_str().unwrap());
        let shown = |target: &Target| {
            let root = target.root.path().file_name().unwrap().to_string_lossy();
            format!("{root}:{}", target.path.display())
        };
        let targets = targets(&wish(how, value.as_bytes()), &at.1);
        targets
            .map(|targets| targets.iter().map(shown).collect::<Vec<_>>().join(" "))
            .map_err(|refusal| refusal.outcome)
    }

    #[test]
    fn a_path_is_below_a_root_once_it_is_simplified() {
        let at = layout();
        for (value, expected) in [
            ("~/a/x", Ok("a:x")),
            ("~/a//./x/../y%20z", Ok("a:y z")),
            ("~/%61/100%.txt", Ok("a:100%.txt")),
            ("~/q/x?y", Ok("q:x?y")),
            ("~/a/../b/x", Ok("b:x")),
            ("sub/x", Ok("a:sub/x b:sub/x p:sub/x q:sub/x")),
            ("~/ab/x", Err(Outcome::Forbidden)),
            ("~/a/../../../../../../../etc/passwd", Err(Outcome::Forbidden)),
            ("~/a/%2e%2e/x", Err(Outcome::Forbidden)),
            ("/proc/self/environ", Err(Outcome::Forbidden)),
            ("../a/x", Err(Outcome::Forbidden)),
            ("~/a/x/", Err(Outcome::Missing)),
            ("~/a/", Err(Outcome::Missing)),
            ("~/a", Ok("a:")),
            ("", Err(Outcome::Malformed)),
            ("%20 ", Err(Outcome::Malformed)),
            ("~/a/%ff", Err(Outcome::Malformed)),
            ("~/a/a.txt%00.png", Err(Outcome::Malformed)),
        ] {
            assert_eq!(found(How::Path, value, &at), expected.map(str::to_owned), "{value}");
        }
    }

    #[test]
    fn the_longest_prefix_of_a_redirect_decides() {
        let at = layout();
        for (value, expected) in [
            ("/p/x", Ok("p:x")),
            ("/p/q/x?token=/../y", Ok("q:x")),
            ("/p/q/../x%20y", Ok("p:x y")),
            ("/p/%71/x", Ok("q:x")),
            ("/px", Err(Outcome::Forbidden)),
            ("/p/../x", Err(Outcome::Forbidden)),
            ("@named", Err(Outcome::Forbidden)),
            ("p/x", Err(Outcome::Forbidden)),
            ("?x", Err(Outcome::Malformed)),
        ] {
            assert_eq!(found(How::Redirect, value, &at), expected.map(str::to_owned), "{value}");
        }
    }

    #[test]
    fn what_stands_there_twice_is_not_understood() {
        let at = layout();
        let twice = Wish { several: true, ..wish(How::Path, b"x") };
        assert_eq!(targets(&twice, &at.1).unwrap_err().outcome, Outcome::Malformed);
    }

    proptest! {
        #[test]
        fn no_value_leads_up(value in "(/|\\.|\\.\\.|a|%2e|%2f|%|~|b){0,12}", redirect: bool) {
            let at = layout();
            let how = if redirect { How::Redirect } else { How::Path };
            let value = value.replace('~', at.0.path().to_str().unwrap());
            let wish = wish(how, value.as_bytes());
            for target in targets(&wish, &at.1).unwrap_or_default() {
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(target.path.components().all(plain), "{:?}", target.path);
            }
        }

        #[test]
        fn no_bytes_are_too_odd(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let at = layout();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = targets(&Wish { how: How::Path, value, several: false }, &at.1);
            }
        }
    }
}
