//! Heads that do not keep what they were read into.

use bytes::BytesMut;
use http::uri::PathAndQuery;
use http::{HeaderValue, request};

/// Copies the values and the target of a head. Without that they are parts of the buffer that hyper has
/// read the head into, which is many times as large, and which it replaces if it cannot use it again.
pub fn detach(head: &mut request::Parts) {
    let bytes = head.headers.values().map(HeaderValue::len).sum();
    let mut copy = BytesMut::with_capacity(bytes);
    head.headers.values().for_each(|value| copy.extend_from_slice(value.as_bytes()));
    let mut copy = copy.freeze();
    for value in head.headers.values_mut() {
        if let Ok(mut detached) = HeaderValue::from_maybe_shared(copy.split_to(value.len())) {
            detached.set_sensitive(value.is_sensitive());
            *value = detached;
        }
    }
    // What stands before a path is rare, and would not come out as it was.
    if head.uri.scheme().is_none()
        && head.uri.authority().is_none()
        && let Some(target) = head.uri.path_and_query()
        && let Ok(detached) = target.as_str().parse::<PathAndQuery>()
    {
        head.uri = detached.into();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Uri};

    use super::*;

    #[test]
    fn a_head_is_the_same_without_its_buffer() {
        let buffer = Bytes::from(b"/a%20b?c=d one \xe9two".to_vec());
        for target in [0..10, 0..2] {
            let uri = Uri::from_maybe_shared(buffer.slice(target.clone())).unwrap();
            let (mut head, ()) = Request::get(uri).body(()).unwrap().into_parts();
            let values = [buffer.slice(11..14), buffer.slice(15..), buffer.slice(4..4)];
            for value in &values {
                let mut value = HeaderValue::from_maybe_shared(value.clone()).unwrap();
                value.set_sensitive(value == "one");
                head.headers.append("x-value", value);
            }
            let same = values.clone().map(|value| value.to_vec());
            drop(values);
            assert!(!buffer.is_unique());

            detach(&mut head);
            let found: Vec<_> = head.headers.get_all("x-value").iter().collect();
            assert!(found.iter().map(|value| value.as_bytes()).eq(same.iter().map(Vec::as_slice)));
            assert!(found[0].is_sensitive() && !found[1].is_sensitive());
            assert_eq!(head.uri.to_string().as_bytes(), &buffer[target]);
            assert!(buffer.is_unique());
        }
    }
}
