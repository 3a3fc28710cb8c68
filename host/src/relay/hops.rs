//! How far a request may go: Max-Forwards (RFC 9110, 7.6.2). Pure.

use http::header::MAX_FORWARDS;
use http::{HeaderValue, Method, request};

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
}
