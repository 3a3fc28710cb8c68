//! Conditions of a request (RFC 9110, 13): whether the client has what it asks for. Pure.

use std::time::{Duration, SystemTime};

use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderValue};

/// What tells one state of a file from another.
#[derive(Debug, Default)]
pub(super) struct Validators {
    pub(super) etag: Option<HeaderValue>,
    /// The time of the last change, to a second.
    pub(super) modified: Option<SystemTime>,
}

/// What follows from the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They hold.
    Holds,
    /// The client has it: 304.
    NotModified,
    /// The client does not want it as it is now: 412.
    Failed,
}

impl Validators {
    /// Judges the conditions of a GET or HEAD, in the order of RFC 9110, 13.2.2.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(IF_MATCH) {
            if !self.matches(headers, &IF_MATCH, strongly) {
                return Verdict::Failed;
            }
        } else if let (Some(since), Some(modified)) =
            (date(headers, &IF_UNMODIFIED_SINCE), self.modified)
            && modified > since
        {
            return Verdict::Failed;
        }
        let known = if headers.contains_key(IF_NONE_MATCH) {
            self.matches(headers, &IF_NONE_MATCH, weakly)
        } else {
            let since = date(headers, &IF_MODIFIED_SINCE);
            since.zip(self.modified).is_some_and(|(since, modified)| modified <= since)
        };
        if known { Verdict::NotModified } else { Verdict::Holds }
    }

    /// Whether a range is still one of what the client has a part of: If-Range, where there is one,
    /// names the same entity tag, both strong, or exactly the time of the last change, as long as
    /// that is not so recent that another change could have had the same (13.1.5, 8.8.2.2).
    pub(super) fn range_stands(&self, headers: &HeaderMap, now: SystemTime, coded: bool) -> bool {
        let mut values = headers.get_all(IF_RANGE).iter();
        let Some(value) = values.next() else { return true };
        if values.next().is_some() {
            return false;
        }
        let bytes = value.as_bytes();
        if bytes.starts_with(b"\"") || bytes.starts_with(b"W/") {
            return self.etag.as_ref().is_some_and(|own| strongly(own.as_bytes(), bytes));
        }
        // Other codings of a file can have its date, and not its bytes.
        let known = if coded { None } else { self.modified };
        let settled = |modified: SystemTime| {
            now.duration_since(modified).is_ok_and(|age| age > Duration::from_secs(1))
        };
        known.is_some_and(|known| date(headers, &IF_RANGE) == Some(known) && settled(known))
    }

    fn matches(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        alike: fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        let mut listed = headers.get_all(name).iter().flat_map(|value| tags(value.as_bytes()));
        listed.any(|tag| {
            let own = self.etag.as_ref().map(HeaderValue::as_bytes);
            tag == b"*" || own.is_some_and(|own| alike(own, tag))
        })
    }
}

/// A date of a field that has only one.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    httpdate::parse_http_date(only.to_str().ok()?.trim()).ok()
}

fn strongly(own: &[u8], other: &[u8]) -> bool {
    own == other && !own.starts_with(b"W/")
}

fn weakly(own: &[u8], other: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    opaque(own) == opaque(other)
}

/// The members of a list of entity tags, in whose quotes there can be commas.
fn tags(list: &[u8]) -> Vec<&[u8]> {
    let mut quoted = false;
    let parts = list.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
    const BEFORE: &str = "Tue, 15 Nov 1994 08:12:30 GMT";
    const AFTER: &str = "Tuesday, 15-Nov-94 08:12:32 GMT";

    fn validators(etag: &'static str) -> Validators {
        let modified = httpdate::parse_http_date(DATE).ok();
        Validators { etag: Some(HeaderValue::from_static(etag)), modified }
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let judge = |fields: &[_]| validators("\"a,b\"").judge(&headers(fields));
        for (fields, verdict) in [
            (&[][..], Verdict::Holds),
            (&[(IF_NONE_MATCH, "\"x\", W/\"a,b\"")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "*")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], Verdict::Holds),
            (&[(IF_NONE_MATCH, "\"a\", b\"")], Verdict::Holds),
            (&[(IF_MODIFIED_SINCE, DATE)], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Verdict::Holds),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Verdict::Holds),
            (&[(IF_MATCH, "\"a,b\"")], Verdict::Holds),
            (&[(IF_MATCH, "*"), (IF_NONE_MATCH, "\"a,b\"")], Verdict::NotModified),
            (&[(IF_MATCH, "W/\"a,b\"")], Verdict::Failed),
            (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "*")], Verdict::Failed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Verdict::Holds),
            (&[(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Holds),
        ] {
            assert_eq!(judge(fields), verdict, "{fields:?}");
        }
        assert_eq!(Validators::default().judge(&headers(&[(IF_MATCH, "\"x\"")])), Verdict::Failed);
    }

    #[test]
    fn a_range_stands_if_its_condition_is_exact_and_strong() {
        let later = httpdate::parse_http_date(DATE).unwrap() + Duration::from_mins(1);
        for (etag, value, stands) in [
            ("\"a\"", "\"a\"", true),
            ("\"a\"", "\"b\"", false),
            ("\"a\"", "W/\"a\"", false),
            ("W/\"a\"", "W/\"a\"", false),
            ("\"a\"", DATE, true),
            ("\"a\"", BEFORE, false),
            ("\"a\"", AFTER, false),
            ("\"a\"", "nonsense", false),
        ] {
            let fields = headers(&[(IF_RANGE, value)]);
            assert_eq!(validators(etag).range_stands(&fields, later, false), stands, "{value}");
        }
        let dated = headers(&[(IF_RANGE, DATE)]);
        let just_now = httpdate::parse_http_date(AFTER).unwrap();
        assert!(!validators("\"a\"").range_stands(&dated, just_now, false), "too recent");
        assert!(!validators("\"a\"").range_stands(&dated, later, true), "of another coding");
        assert!(validators("\"a\"").range_stands(&HeaderMap::new(), just_now, true));
    }
}
