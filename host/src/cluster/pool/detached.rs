//! A connection whose upstream has answered before it has taken the whole request.
//!
//! A task sends the rest, while the body of the answer is read by whoever reads it: a client that
//! reads only after it has sent everything would otherwise wait for us, and we for it. When the request is
//! sent the body goes on by itself; when the body is over the task looks out for the end of the connection,
//! too.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;

use super::link::Link;
use crate::body::{BodyError, Transport};
use crate::tunnel::End;

/// The body's part of it.
pub(super) struct Detached(Rc<Shared>);

struct Shared {
    /// Absent once it is of no use to one of the two.
    link: RefCell<Option<Box<Link>>>,
    /// The task has not ended.
    sends: Cell<bool>,
    /// The body has not.
    reads: Cell<bool>,
    /// Wakes the task.
    sender: RefCell<Option<Waker>>,
    /// Wakes who reads the body.
    reader: RefCell<Option<Waker>>,
}

impl Detached {
    /// Sends the rest of the request in a task, for which a `LocalRuntime` or `LocalSet` must be around.
    pub(super) fn new(link: Box<Link>) -> Self {
        Self(spawn(link, true))
    }
}

/// The same for a connection whose response is over.
pub(super) fn see_out(link: Box<Link>) {
    spawn(link, false);
}

fn spawn(link: Box<Link>, reads: bool) -> Rc<Shared> {
    let shared = Rc::new(Shared {
        link: RefCell::new(Some(link)),
        sends: Cell::new(true),
        reads: Cell::new(reads),
        sender: RefCell::default(),
        reader: RefCell::default(),
    });
    tokio::task::spawn_local(send(Rc::clone(&shared)));
    shared
}

async fn send(shared: Rc<Shared>) {
    let mut seen = shared.link.borrow_mut().as_mut().map_or(0, |link| link.begin_rest());
    let sent = poll_fn(|context| {
        let mut link = shared.link.borrow_mut();
        let Some(link) = &mut *link else { return Poll::Ready(false) };
        let polled = link.poll_rest(context, shared.reads.get(), &mut seen);
        if polled.is_pending() {
            keep(&shared.sender, context);
        }
        polled
    })
    .await;
    shared.sends.set(false);
    if sent && shared.reads.get() {
        return;
    }
    let link = shared.link.take();
    if let Some(link) = link
        && sent
    {
        link.park();
    }
    wake(&shared.reader);
}

fn keep(slot: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

impl Transport for Detached {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut link = self.0.link.borrow_mut();
        let Some(link) = &mut *link else {
            let error = io::ErrorKind::ConnectionAborted.into();
            return Poll::Ready(Some(Err(BodyError::Broken(error))));
        };
        let polled = link.poll_body(context);
        if polled.is_pending() {
            keep(&self.0.reader, context);
        }
        polled
    }

    fn is_over(&self) -> bool {
        self.0.link.borrow().as_ref().is_some_and(|link| link.is_over())
    }

    fn left_bytes(&self) -> Option<u64> {
        self.0.link.borrow().as_ref().and_then(|link| link.left_bytes())
    }

    fn limit(&mut self, bytes: usize) {
        if let Some(link) = &mut *self.0.link.borrow_mut() {
            link.limit(bytes);
        }
    }

    fn release(self: Box<Self>) {
        self.0.reads.set(false);
        if !self.0.sends.get()
            && let Some(link) = self.0.link.take()
        {
            link.release();
        }
    }

    fn switch(self: Box<Self>) -> Option<End> {
        None
    }
}

impl Drop for Detached {
    /// A body that is left before its end takes the connection along.
    fn drop(&mut self) {
        if self.0.reads.replace(false) {
            drop(self.0.link.take());
        }
        wake(&self.0.sender);
    }
}
