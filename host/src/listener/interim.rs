//! Interim responses such as 103, which hyper's server cannot send.
//!
//! By HTTP/1 they may go out only where one response has ended and the next has not begun: see
//! [`stream`](super::stream) for when that is.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use http::{HeaderMap, StatusCode};

use super::http2::Lane;

/// The most bytes of interim responses that wait to be written.
pub(super) const INTERIM_BYTES: usize = 64 * 1024;

/// The interim responses that wait on one connection.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// hyper may have bytes left to write.
    busy: Cell<bool>,
    /// Those that go out before anything else, and those that wait for a flush.
    next: RefCell<Vec<u8>>,
    waiting: RefCell<Vec<u8>>,
}

impl Queue {
    /// What goes out before anything else.
    pub(super) fn next(&self) -> RefMut<'_, Vec<u8>> {
        self.next.borrow_mut()
    }

    /// What waited for a flush goes out next.
    pub(super) fn release(&self) {
        self.next.borrow_mut().append(&mut self.waiting.borrow_mut());
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.set(busy);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }
}

/// The interim responses to one request. To be dropped when its final response is there.
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
        let head = encode(status, headers);
        let mut next = queue.next.borrow_mut();
        let mut waiting = queue.waiting.borrow_mut();
        if next.len() + waiting.len() + head.len() > INTERIM_BYTES {
            return false;
        }
        if queue.busy.get() {
            waiting.extend_from_slice(&head);
        } else {
            next.extend_from_slice(&head);
        }
        true
    }
}

impl Drop for Interim {
    fn drop(&mut self) {
        if let Way::Between(queue) = &self.0 {
            queue.waiting.borrow_mut().clear();
        }
    }
}

fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
