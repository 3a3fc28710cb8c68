//! Informational responses, read along.
//!
//! hyper drops them, or hands them to a callback that has to be installed with each request at
//! the price of several allocations. They are rare. So the stream looks at the first bytes of
//! each response, and only if they announce an informational one it is read along here, while
//! hyper reads, judges and drops it. What does not look like one is left to hyper.

use std::cell::{Cell, RefCell};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The largest informational response that is passed on.
const HEAD_BYTES: usize = 64 * 1024;

/// Reads the beginnings of responses along.
#[derive(Debug, Default)]
pub(super) struct Interims {
    /// Whether the final response may still begin.
    expected: Cell<bool>,
    /// An informational response that has not come to its end.
    head: RefCell<Vec<u8>>,
    seen: RefCell<Vec<(StatusCode, HeaderMap)>>,
}

impl Interims {
    /// A request is about to be sent.
    pub(super) fn expect(&self) {
        self.expected.set(true);
        self.head.borrow_mut().clear();
    }

    /// These bytes were read.
    pub(super) fn read(&self, bytes: &[u8]) {
        if !self.expected.get() || bytes.is_empty() {
            return;
        }
        if self.head.borrow().is_empty() && begins(bytes) == Some(false) {
            self.expected.set(false);
            return;
        }
        self.collect(bytes);
    }

    /// Takes what was read since the last time.
    pub(super) fn drain(&self, mut each: impl FnMut(StatusCode, HeaderMap)) {
        if !self.seen.borrow().is_empty() {
            for (status, headers) in self.seen.take() {
                each(status, headers);
            }
        }
    }

    fn collect(&self, bytes: &[u8]) {
        let mut head = self.head.borrow_mut();
        head.extend_from_slice(bytes);
        while begins(&head) == Some(true)
            && let Some(end) = end(&head)
        {
            let rest = head.split_off(end);
            self.seen.borrow_mut().extend(parse(&head));
            *head = rest;
        }
        if begins(&head) == Some(false) || head.len() > HEAD_BYTES {
            self.expected.set(false);
            *head = Vec::new();
        }
    }
}

/// Whether this is the beginning of an informational response, if there is enough to tell.
/// A 101 is final.
fn begins(bytes: &[u8]) -> Option<bool> {
    let status = bytes.get(9..12)?;
    Some(bytes.starts_with(b"HTTP/1.") && status.starts_with(b"1") && status != b"101")
}

/// Where the head ends. Lines may end in a bare LF, as far as hyper is concerned.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(bytes.get(start..at), Some(b"" | b"\r")) {
            return Some(at + 1);
        }
        start = at + 1;
    }
    None
}

fn parse(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let status = StatusCode::from_bytes(lines.next()?.get(9..12)?).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some((status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of a response that arrives in pieces of `size`.
    fn seen(response: &str, size: usize) -> Vec<(u16, String)> {
        let interims = Interims::default();
        interims.expect();
        for piece in response.as_bytes().chunks(size) {
            interims.read(piece);
        }
        let mut seen = Vec::new();
        interims.drain(|status, headers| {
            let links = headers.get_all("link").iter();
            let links: Vec<_> = links.map(|link| link.to_str().unwrap()).collect();
            seen.push((status.as_u16(), links.join("|")));
        });
        seen
    }

    #[test]
    fn informational_responses_are_seen_however_they_arrive() {
        let response = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink:  a \r\n\
                        link:b\r\n\r\nHTTP/1.1 103\n\nHTTP/1.1 200 OK\r\n\r\nHTTP/1.1 103 X\r\n\r\n";
        let expected = [(100, String::new()), (103, "a|b".to_owned()), (103, String::new())];
        for size in 1..=response.len() {
            assert_eq!(seen(response, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for response in [
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nno colon\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: a\r\n",
            "gibberish that goes on\r\n\r\n",
            "HTTP/1",
        ] {
            for size in [1, 1000] {
                assert_eq!(seen(response, size), [], "{response}");
            }
        }
    }

    #[test]
    fn endless_ones_are_not_kept() {
        let interims = Interims::default();
        interims.expect();
        interims.read(b"HTTP/1.1 103 Early Hints\r\nlink: ");
        for _ in 0..100 {
            interims.read(&[b'a'; 1024]);
        }
        assert!(!interims.expected.get());
        assert_eq!(interims.head.borrow().capacity(), 0);
    }
}
