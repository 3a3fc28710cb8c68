//! Byte ranges (RFC 9110, 14). Pure.

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// The most parts that an answer has. More are hardly meant to be read, and cost more than they save.
const MOST: usize = 16;

/// What a client asks for of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it; also what is not understood, or not worth parts.
    Whole,
    /// Parts: at least one, none of them empty, none in another.
    Parts(Vec<Range<u64>>),
    /// Only what it does not have.
    None,
}

/// What the Range of a GET asks for of so many bytes.
pub(super) fn of(headers: &HeaderMap, length: u64) -> Ranges {
    let mut values = headers.get_all(RANGE).iter();
    let Some(value) = values.next().filter(|_| values.next().is_none()) else {
        return Ranges::Whole;
    };
    let listed = value.to_str().ok().and_then(specs);
    let Some(listed) = listed else { return Ranges::Whole };
    // Of an empty file the end is all there is, and no part can tell where it is from.
    let ends = |spec: &Spec| matches!(spec, Spec::Last(count) if *count > 0);
    if length == 0 && listed.iter().any(ends) {
        return Ranges::Whole;
    }
    let parts: Vec<_> = listed.iter().filter_map(|spec| spec.of(length)).collect();
    if parts.is_empty() {
        return Ranges::None;
    }
    let parts = joined(parts);
    let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
    if parts.len() > MOST || parts.len() > 1 && bytes >= length {
        return Ranges::Whole;
    }
    Ranges::Parts(parts)
}

#[derive(Debug, Clone, Copy)]
enum Spec {
    /// From a byte to another, that included.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl Spec {
    fn of(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        Some(range).filter(|range| range.start < range.end)
    }
}

/// The ranges of a field; none if it is not made of byte ranges.
fn specs(value: &str) -> Option<Vec<Spec>> {
    let (unit, list) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let members = list.split(',').map(|member| member.trim_matches([' ', '\t']));
    let specs: Option<Vec<_>> = members.filter(|member| !member.is_empty()).map(spec).collect();
    specs.filter(|specs| !specs.is_empty())
}

fn spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        return number(last).map(Spec::Last);
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    (first <= last).then_some(Spec::Between(first, last))
}

/// Digits; what is too large is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The parts with those joined that overlap or touch, in the order of the first of each; as they
/// were asked for if none does.
fn joined(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_unstable_by_key(|part| part.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for part in sorted {
        match merged.last_mut().filter(|last| part.start <= last.end) {
            Some(last) => last.end = last.end.max(part.end),
            None => merged.push(part),
        }
    }
    if merged.len() == parts.len() { parts } else { merged }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ranges(value: &str, length: u64) -> Ranges {
        let value = HeaderValue::from_str(value).unwrap();
        of(&HeaderMap::from_iter([(RANGE, value)]), length)
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one part is meant")]
    fn ranges_are_those_of_the_rfc() {
        let parts = |parts: &[Range<u64>]| Ranges::Parts(parts.to_vec());
        for (value, expected) in [
            ("bytes=0-", parts(&[0..1000])),
            ("bytes=0-0", parts(&[0..1])),
            ("Bytes=500-599", parts(&[500..600])),
            ("bytes=-500", parts(&[500..1000])),
            ("bytes=-5000", parts(&[0..1000])),
            ("bytes=990-99999999999999999999999", parts(&[990..1000])),
            ("bytes=0-9, 20-29", parts(&[0..10, 20..30])),
            ("bytes=20-29,0-9", parts(&[20..30, 0..10])),
            ("bytes=0-9,5-19,20-29", parts(&[0..30])),
            ("bytes=2000-,0-9", parts(&[0..10])),
            ("bytes=1000-", Ranges::None),
            ("bytes=-0", Ranges::None),
            ("bytes=99999999999999999999999-", Ranges::None),
            ("bytes=0-,0-5", parts(&[0..1000])),
            ("bytes=0-499,501-", parts(&[0..500, 501..1000])),
            ("bytes=9-5", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("bytes 0-5", Ranges::Whole),
            ("lines=0-5", Ranges::Whole),
        ] {
            assert_eq!(ranges(value, 1000), expected, "{value}");
        }
        assert_eq!(ranges("bytes=0-", 0), Ranges::None);
        assert_eq!(ranges("bytes=-5", 0), Ranges::Whole);
        let many: Vec<_> = (0..20).map(|n| format!("{}-{}", n * 10, n * 10 + 1)).collect();
        assert_eq!(ranges(&format!("bytes={}", many.join(",")), 1000), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_within_and_apart(value in "bytes=([0-9]{0,4}-[0-9]{0,4},?){1,20}", length in 0..5000_u64) {
            if let Ranges::Parts(mut parts) = ranges(&value, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MOST);
                parts.sort_by_key(|part| part.start);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(parts.windows(2).all(|two| two[0].end < two[1].start));
            }
        }
    }
}
