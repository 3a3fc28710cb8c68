//! What of a response is touched, and what becomes of the heads.

use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::Field;
use crate::config::{Choice, Encoded};
use crate::decode::Coding;

/// Fields that are about the bytes that have been.
const ABOUT_BYTES: [&str; 5] =
    ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"];

/// The head of a response, and what of its request matters.
pub(crate) trait Head {
    /// The status.
    fn status(&self) -> u16;
    /// The values of all fields of that name.
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
    /// If-None-Match of the request.
    fn asked(&self) -> Vec<Vec<u8>>;
}

/// What to do to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What it has to be decoded from.
    pub(crate) coding: Option<Coding>,
}

impl Choice {
    /// Whether the body of a response is replaced in. Part of one never is: what is looked for may
    /// begin or end outside of it. Nor is what its sender forbids to transform (RFC 9110, section 7.7).
    pub(crate) fn plan(&self, head: &impl Head) -> Option<Plan> {
        if head.status() == 206 || !head.values("content-range").is_empty() {
            return None;
        }
        let controls = head.values("cache-control");
        let mut controls = controls.iter().flat_map(|value| elements(value));
        if controls.any(|directive| directive.eq_ignore_ascii_case("no-transform")) {
            return None;
        }
        if !self.has_type(&head.values("content-type")) {
            return None;
        }
        let codings = head.values("content-encoding");
        let codings: Vec<_> = codings.iter().flat_map(|value| elements(value)).collect();
        match codings.as_slice() {
            [] => Some(Plan { coding: None }),
            [only] if only.eq_ignore_ascii_case("identity") => Some(Plan { coding: None }),
            [only] if self.encoded == Encoded::Decode => {
                Coding::parse(only).map(|coding| Plan { coding: Some(coding) })
            }
            _ => None,
        }
    }

    fn has_type(&self, values: &[Vec<u8>]) -> bool {
        let value = values.first().map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
        let media = value.as_deref().unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|wanted| match wanted.strip_suffix("/*") {
            _ if wanted == "*" => true,
            Some(kind) => media.split('/').next() == Some(kind) && media.contains('/'),
            None => wanted == media,
        })
    }

    /// The changes to the head of a response.
    pub(crate) fn edits(&self, head: &impl Head) -> Vec<Edit> {
        if head.status() == 304 {
            return revalidated(head).into_iter().collect();
        }
        let Some(plan) = self.plan(head) else { return Vec::new() };
        let mut edits = vec![Edit::TransformBody];
        edits.extend(ABOUT_BYTES.map(|name| Edit::Remove(name.to_owned())));
        if plan.coding.is_some() {
            edits.push(Edit::Remove("content-encoding".to_owned()));
        }
        if !self.keep_last_modified {
            edits.push(Edit::Remove("last-modified".to_owned()));
        }
        edits.extend(strong(&head.values("etag")).map(weakened));
        edits
    }

    /// Accept-Encoding with what can be decoded; nothing if it names nothing else.
    pub(crate) fn accepted(&self, values: &[Vec<u8>]) -> Option<Edit> {
        if values.is_empty() || self.encoded == Encoded::Leave {
            return None;
        }
        let elements: Vec<_> = values.iter().flat_map(|value| elements(value)).collect();
        let known = |element: &&String| {
            let name = element.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("identity") || Coding::parse(name).is_some()
        };
        let kept: Vec<_> = elements.iter().filter(known).map(String::as_str).collect();
        if kept.len() == elements.len() {
            return None;
        }
        let value = if kept.is_empty() { "identity".to_owned() } else { kept.join(", ") };
        Some(set("accept-encoding", value.into_bytes()))
    }
}

/// A client that has a replaced body keeps its weak tag.
fn revalidated(head: &impl Head) -> Option<Edit> {
    let weak = weak(strong(&head.values("etag"))?);
    let asked = head.asked();
    asked
        .iter()
        .any(|value| value.windows(weak.len()).any(|part| part == weak))
        .then(|| set("etag", weak))
}

/// The strong entity tag of a response, if it has one: of bytes that the client does not get.
fn strong(tags: &[Vec<u8>]) -> Option<&[u8]> {
    tags.first().map(Vec::as_slice).filter(|tag| tag.starts_with(b"\""))
}

fn weak(tag: &[u8]) -> Vec<u8> {
    [b"W/", tag].concat()
}

fn weakened(tag: &[u8]) -> Edit {
    set("etag", weak(tag))
}

fn set(name: &str, value: Vec<u8>) -> Edit {
    Edit::Set(Field { name: name.to_owned(), value })
}

/// The elements of a list, none of them empty.
fn elements(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let elements = text.split(',').map(|element| element.trim().to_owned());
    elements.filter(|element| !element.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    struct Given(u16, &'static [(&'static str, &'static str)]);

    impl Head for Given {
        fn status(&self) -> u16 {
            self.0
        }

        fn values(&self, name: &str) -> Vec<Vec<u8>> {
            let own = self.1.iter().filter(|field| field.0 == name);
            own.map(|field| field.1.as_bytes().to_vec()).collect()
        }

        fn asked(&self) -> Vec<Vec<u8>> {
            self.values("asked")
        }
    }

    fn choice(more: &str) -> Choice {
        let config = format!(r#"{{"rules": [{{"find": "a", "replace": "b"}}]{more}}}"#);
        Settings::parse(&config).unwrap().choice
    }

    /// The edits in short.
    fn short(edits: Vec<Edit>) -> String {
        let short = |edit| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Set(Field { name, value }) => {
                format!("{name}={}", String::from_utf8_lossy(&value))
            }
            Edit::TransformBody => "body".to_owned(),
            other => format!("{other:?}"),
        };
        edits.into_iter().map(short).collect::<Vec<_>>().join(" ")
    }

    const ALWAYS: &str = "body -accept-ranges -content-md5 -digest -content-digest -repr-digest";

    #[test]
    fn types_are_those_of_the_list() {
        let touched = |choice: &Choice, media| {
            choice.plan(&Given(200, Box::leak(Box::new([("content-type", media)])))).is_some()
        };
        let html = choice("");
        assert!(touched(&html, "text/html") && touched(&html, "Text/HTML ; charset=x"));
        assert!(!touched(&html, "text/html5") && !touched(&html, "image/png"));
        assert!(html.plan(&Given(200, &[])).is_none());
        let text = choice(r#", "types": ["text/*", "application/json"]"#);
        assert!(touched(&text, "text/css") && touched(&text, "application/json"));
        assert!(!touched(&text, "text") && !touched(&text, "texts/css"));
        assert!(choice(r#", "types": ["*"]"#).plan(&Given(404, &[])).is_some());
    }

    #[test]
    fn parts_and_unknown_codings_are_left_alone() {
        let plan = |choice: &Choice, status, coding: &'static str| {
            let fields = Box::new([("content-type", "text/html"), ("content-encoding", coding)]);
            choice.plan(&Given(status, Box::leak(fields)))
        };
        let (decode, leave) = (choice(""), choice(r#", "encoded": "leave""#));
        let with = |coding| Some(Plan { coding });
        assert_eq!(plan(&decode, 200, "X-GZip"), with(Some(Coding::Gzip)));
        assert_eq!(plan(&decode, 200, "br"), with(Some(Coding::Brotli)));
        assert_eq!(plan(&decode, 200, "deflate"), with(Some(Coding::Deflate)));
        assert_eq!(plan(&decode, 500, "identity"), with(None));
        for coding in ["zstd", "gzip, br", "gzip, gzip"] {
            assert_eq!(plan(&decode, 200, coding), None, "{coding}");
        }
        assert_eq!(plan(&leave, 200, "gzip"), None);
        assert_eq!(plan(&leave, 200, ""), with(None));
        assert_eq!(plan(&decode, 206, ""), None);
        let part = Given(200, &[("content-type", "text/html"), ("content-range", "bytes 0-1/2")]);
        assert_eq!(decode.plan(&part), None);
    }

    #[test]
    fn what_is_not_to_be_transformed_is_left_alone() {
        let plan = |control| {
            let fields = Box::new([("content-type", "text/html"), ("cache-control", control)]);
            let head = Given(200, Box::leak(fields));
            (choice("").plan(&head).is_some(), choice("").edits(&head).is_empty())
        };
        assert_eq!(plan("no-transform"), (false, true));
        assert_eq!(plan("max-age=3, No-Transform"), (false, true));
        assert_eq!(plan("no-cache, x=no-transform"), (true, false));
    }

    #[test]
    fn what_tells_of_the_bytes_goes_or_weakens() {
        let plain = Given(200, &[("content-type", "text/html"), ("etag", "\"a\"")]);
        let expected = format!("{ALWAYS} -last-modified etag=W/\"a\"");
        assert_eq!(short(choice("").edits(&plain)), expected);
        let keep = choice(r#", "keep-last-modified": true"#);
        assert_eq!(short(keep.edits(&plain)), format!("{ALWAYS} etag=W/\"a\""));
        let fields =
            &[("content-type", "text/html"), ("content-encoding", "gzip"), ("etag", "W/\"a\"")];
        let expected = format!("{ALWAYS} -content-encoding -last-modified");
        assert_eq!(short(choice("").edits(&Given(200, fields))), expected);
        assert_eq!(short(choice("").edits(&Given(200, &[("etag", "\"a\"")]))), "");
    }

    #[test]
    fn a_tag_that_was_weakened_stays_so() {
        let edits = |fields| short(choice("").edits(&Given(304, fields)));
        assert_eq!(edits(&[("etag", "\"a\""), ("asked", "\"b\", W/\"a\"")]), "etag=W/\"a\"");
        assert_eq!(edits(&[("etag", "\"a\""), ("asked", "\"a\"")]), "");
        assert_eq!(edits(&[("asked", "W/\"a\"")]), "");
    }

    #[test]
    fn upstreams_are_asked_for_what_can_be_decoded() {
        let accepted = |choice: &Choice, value: &str| {
            choice.accepted(&[value.as_bytes().to_vec()]).map(|edit| short(vec![edit]))
        };
        let decode = choice("");
        assert_eq!(accepted(&decode, "gzip, br;q=0.5, deflate, identity;q=0"), None);
        let narrowed = accepted(&decode, "zstd, gzip;q=0.5,*;q=0.1, BR");
        assert_eq!(narrowed.as_deref(), Some("accept-encoding=gzip;q=0.5, BR"));
        assert_eq!(accepted(&decode, "zstd").as_deref(), Some("accept-encoding=identity"));
        assert!(decode.accepted(&[]).is_none());
        assert_eq!(accepted(&choice(r#", "encoded": "leave""#), "zstd"), None);
    }
}
