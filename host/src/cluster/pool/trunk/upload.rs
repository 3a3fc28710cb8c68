//! The body of a request on its way into a stream, as fast as the upstream grants room for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;
use tokio::task::spawn_local;
use tokio::time::Duration;

use super::Ticket;
use crate::body::{RequestBody, Upload, UploadError};
use crate::deadline::Deadline;

/// A body and the stream that it goes into. Dropped before it is through, it leaves the stream open, which
/// is reset when its response is dropped as well.
pub(super) struct Pump {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// What waits for room. Nothing waits in h2, which would keep a stream for it that the upstream need
    /// not read.
    chunk: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
    sent: u64,
}

/// What the two directions of a stream tell each other, once the upload has a task of its own.
#[derive(Default)]
pub(super) struct Bond {
    /// What came of the response's body.
    pub(super) received: Cell<u64>,
    /// The response has come to its end.
    pub(super) answered: Cell<bool>,
    /// Nobody reads it any more.
    gone: Cell<bool>,
    upload: RefCell<Option<Waker>>,
}

impl Bond {
    /// Nobody reads the response any more.
    pub(super) fn forsake(&self) {
        self.gone.set(true);
        if let Some(upload) = self.upload.take() {
            upload.wake();
        }
    }
}

impl Pump {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        let chunk = Bytes::new();
        Self { body, stream, chunk, trailers: None, ended: false, sent: 0 }
    }

    /// Sends what there is and what there is room for. Ready when there is nothing more to be sent, or the
    /// upstream has ended the stream.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            if self.stream.poll_reset(context).is_ready() {
                // Why is for whoever waits for the response.
                return Poll::Ready(Ok(()));
            }
            if !self.chunk.is_empty() {
                if !ready!(self.poll_room(context)) {
                    return Poll::Ready(Ok(()));
                }
            } else if !self.ended {
                ready!(self.poll_body(context))?;
            } else {
                if let Some(trailers) = self.trailers.take() {
                    let _ = self.stream.send_trailers(trailers);
                }
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends as much of the chunk as there is room for; false if the stream takes nothing any more.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.stream.reserve_capacity(self.chunk.len());
        if self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        let room = self.stream.capacity().min(self.chunk.len());
        let part = self.chunk.split_to(room);
        self.sent = self.sent.wrapping_add(part.len() as u64);
        let last = self.ended && self.chunk.is_empty() && self.trailers.is_none();
        Poll::Ready(self.stream.send_data(part, last).is_ok())
    }

    /// Reads on.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => {
                self.ended = true;
                let _ = self.stream.send_data(Bytes::new(), true);
            }
            Some(Err(error)) => return Poll::Ready(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => {
                    self.chunk = chunk;
                    self.ended = self.body.is_end_stream();
                    if self.ended && self.chunk.is_empty() {
                        let _ = self.stream.send_data(Bytes::new(), true);
                    }
                }
                Err(frame) => {
                    self.ended = true;
                    self.trailers = frame.into_trailers().ok();
                }
            },
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on by itself while the response is read, or also after it, as long as the upstream takes
    /// something every `patience`: a client that reads only after it has sent everything would otherwise
    /// wait for us, and we for it.
    pub(super) fn spawn(
        self,
        bond: &Rc<Bond>,
        upload: Upload,
        ticket: &Rc<Ticket>,
        patience: Duration,
    ) {
        let (bond, ticket) = (Rc::clone(bond), Rc::clone(ticket));
        spawn_local(async move {
            self.see_out(&bond, &upload, patience).await;
            drop(ticket);
        });
    }

    async fn see_out(mut self, bond: &Bond, upload: &Upload, patience: Duration) {
        let moved = |pump: &Self| pump.sent.wrapping_add(bond.received.get());
        let mut seen = moved(&self);
        let mut deadline = Deadline::default();
        deadline.set(patience);
        let through = poll_fn(|context| {
            if bond.gone.get() {
                return Poll::Ready(false);
            }
            *bond.upload.borrow_mut() = Some(context.waker().clone());
            if let Poll::Ready(sent) = self.poll(context) {
                return Poll::Ready(sent.is_ok());
            }
            loop {
                ready!(deadline.poll(context));
                deadline.set(patience);
                let moved = moved(&self);
                if moved == seen && !upload.waits_for_client() {
                    return Poll::Ready(false);
                }
                seen = moved;
            }
        });
        if !through.await {
            let whole = bond.answered.get();
            self.stream.send_reset(if whole { Reason::NO_ERROR } else { Reason::CANCEL });
        }
    }
}
