//! How far a request may go: Max-Forwards (RFC 9110, 7.6.2), and loops, which Via tells of (7.6.3).
//! Pure.

use http::header::{MAX_FORWARDS, VIA};
use http::{HeaderMap, HeaderValue, Method, request};

use crate::headers::{PSEUDONYM, has};

/// How many proxies of our name a request has passed.
pub(super) fn passed(headers: &HeaderMap) -> usize {
    if !has(headers, &VIA) {
        return 0;
    }
    let values = headers.get_all(VIA).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).filter(is_ours).count()
}

/// Whether a member of Via, `[protocol/]version name[:port] [(comment)]`, has our name.
fn is_ours(member: &&[u8]) -> bool {
    let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name = words.nth(1).and_then(|by| by.split(|byte| *byte == b':').next());
    name.is_some_and(|name| name.eq_ignore_ascii_case(PSEUDONYM.as_bytes()))
}

/// Whether a request is an OPTIONS that may go no further. One that may is told to the next that it
/// may go one step less; what is no number is nobody's business.
pub(super) fn ends_here(request: &mut request::Parts) -> bool {
    if request.method != Method::OPTIONS {
        return false;
    }
    let mut values = request.headers.get_all(MAX_FORWARDS).iter();
    let Some(left) = values.next().filter(|_| values.next().is_none()).and_then(number) else {
        return false;
    };
    match left.checked_sub(1) {
        None => true,
        Some(less) => {
            request.headers.insert(MAX_FORWARDS, HeaderValue::from(less));
            false
        }
    }
}

/// A number, or if it is beyond what is counted with, one that is far enough.
fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok().filter(|text| !text.is_empty())?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// What is left of these; nothing if the request ends here.
    fn max_forwards(method: &str, values: &[&'static str]) -> Option<Vec<String>> {
        let mut request = Request::builder().method(method).uri("/").body(()).unwrap();
        for value in values {
            request.headers_mut().append(MAX_FORWARDS, HeaderValue::from_static(value));
        }
        let mut parts = request.into_parts().0;
        if ends_here(&mut parts) {
            return None;
        }
        let left = parts.headers.get_all(MAX_FORWARDS).iter();
        Some(left.map(|value| value.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn max_forwards_counts_down_and_ends_here() {
        let left = |values: &[&'static str]| max_forwards("OPTIONS", values).unwrap();
        assert_eq!(left(&["3"]), ["2"]);
        assert_eq!(left(&["1"]), ["0"]);
        assert_eq!(left(&["0010"]), ["9"]);
        assert_eq!(left(&["99999999999999999999999"]), ["18446744073709551614"]);
        assert_eq!(max_forwards("OPTIONS", &["0"]), None);
        assert_eq!(max_forwards("OPTIONS", &["00"]), None);
    }

    #[test]
    fn other_methods_and_other_values_are_left_alone() {
        assert_eq!(max_forwards("GET", &["0"]).unwrap(), ["0"]);
        for values in [&["-1"][..], &["+0"], &[""], &["0x0"], &["1, 0"], &["0", "0"]] {
            assert_eq!(max_forwards("OPTIONS", values).unwrap(), values);
        }
        assert_eq!(max_forwards("OPTIONS", &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn via_tells_who_was_passed() {
        let passed_by = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(VIA, HeaderValue::from_static(value));
            }
            passed(&headers)
        };
        assert_eq!(passed_by(&[]), 0);
        assert_eq!(passed_by(&["1.1 linkspan"]), 1);
        assert_eq!(passed_by(&["1.0 fred, HTTP/1.1  Linkspan:80 (here)", "1.1\tlinkspan"]), 2);
        for other in ["1.1 linkspan2", "linkspan", "1.1 my-linkspan", "1.1 other (linkspan)", ", ,"]
        {
            assert_eq!(passed_by(&[other]), 0, "{other}");
        }
    }
}
