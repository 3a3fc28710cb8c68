//! Interim responses such as 103.
//!
//! By HTTP/1 they may go out only where one response has ended and the next has not begun; requests are
//! answered one by one, so that is wherever one is being served.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use http::{HeaderMap, StatusCode};

use super::http2::Lane;
use crate::wire::encode::fields;

/// The most bytes of interim responses that wait to be written.
pub(super) const INTERIM_BYTES: usize = 64 * 1024;

/// The interim responses that wait on one connection.
#[derive(Debug, Default)]
pub(super) struct Queue(RefCell<Vec<u8>>);

impl Queue {
    /// What goes out before anything else.
    pub(super) fn next(&self) -> RefMut<'_, Vec<u8>> {
        self.0.borrow_mut()
    }

    /// Adds a head. False if too many bytes wait already.
    pub(super) fn put(&self, head: &[u8]) -> bool {
        let mut next = self.next();
        let fits = next.len() + head.len() <= INTERIM_BYTES;
        if fits {
            next.extend_from_slice(head);
        }
        fits
    }
}

/// The interim responses to one request.
#[must_use]
pub struct Interim(Way);

/// How they go out.
enum Way {
    /// Not at all: the client knows none.
    None,
    /// Between the responses of a connection.
    Between(Rc<Queue>),
    /// By the request's own stream.
    Own(Rc<Lane>),
}

impl Interim {
    pub(super) fn new(queue: Rc<Queue>, wanted: bool) -> Self {
        Self(if wanted { Way::Between(queue) } else { Way::None })
    }

    /// By the stream of a request of HTTP/2.
    pub(super) fn own(lane: Rc<Lane>) -> Self {
        Self(Way::Own(lane))
    }

    /// Sends an interim response with these headers as they are, from within the request's own
    /// future. False if it was dropped: the client knows none, it is no interim response or
    /// one that is sent otherwise, or too many bytes wait already.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let ours = status.is_informational()
            && status != StatusCode::CONTINUE
            && status != StatusCode::SWITCHING_PROTOCOLS;
        if !ours {
            return false;
        }
        let queue = match &self.0 {
            Way::None => return false,
            Way::Between(queue) => queue,
            Way::Own(lane) => return lane.interim(status, headers),
        };
        queue.put(&encode(status, headers))
    }
}

fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    head.extend_from_slice(b"\r\n");
    fields(&mut head, headers);
    head.extend_from_slice(b"\r\n");
    head
}
