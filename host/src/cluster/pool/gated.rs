//! The stream beneath an upstream connection: judges what comes before hyper sees it, counts bytes, and
//! sets informational responses apart.
//!
//! hyper drops informational responses, or hands them to a callback that has to be installed with each
//! request at the price of several allocations; so it does not get them. What comes without having been
//! asked for is the end of the connection, as far as hyper is concerned: the response before it is
//! whole.
//!
//! An upstream may answer and close without having taken the whole request. Writing then fails, but
//! the answer is there to be read; hyper would give it up. So such a failure is kept from hyper:
//! writing waits for ever, and what can still be read, or its end, decides.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::{Peeked, Stream, Tally};
use crate::wire::{Asked, Fault, Limits, Reading, Responses, Sluice, Source};

/// What went through a connection.
#[derive(Debug)]
pub(super) struct Meter {
    /// Absent once it goes on as something else.
    stream: RefCell<Option<Stream>>,
    read: Tally,
    written: Tally,
    /// How much is read at a time.
    most: Cell<usize>,
    gate: RefCell<Responses>,
    interims: RefCell<Vec<(StatusCode, HeaderMap)>>,
    unasked: Cell<bool>,
    /// Not all that hyper has to write is written: it flushes when it is.
    busy: Cell<bool>,
}

impl Meter {
    fn new(stream: Stream, limits: Limits) -> Self {
        Self {
            stream: RefCell::new(Some(stream)),
            read: Tally::default(),
            written: Tally::default(),
            most: Cell::new(usize::MAX),
            gate: RefCell::new(Responses::new(limits)),
            interims: RefCell::default(),
            unasked: Cell::default(),
            busy: Cell::default(),
        }
    }

    /// Whether bytes for the upstream wait to be written.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Whether there is nothing to be read, not even the end. For a connection that is idle: the runtime
    /// may hear only later of what is there by now.
    pub(super) fn is_quiet(&self) -> bool {
        let peeked = self.stream.borrow_mut().as_mut().map_or(Peeked::End, Stream::peek);
        if peeked == Peeked::Bytes {
            self.unasked.set(true);
        }
        peeked == Peeked::Nothing
    }

    /// Whether bytes came that nobody asked for.
    pub(super) fn has_unasked(&self) -> bool {
        self.unasked.get()
    }

    /// So much is read at a time from now on.
    pub(super) fn limit(&self, bytes: usize) {
        self.most.set(bytes);
    }

    /// A request is about to be sent.
    pub(super) fn ask(&self, asked: Asked) {
        self.gate.borrow_mut().ask(asked);
    }

    /// Whether nothing came but what was asked for, and all of that.
    pub(super) fn is_even(&self) -> bool {
        self.gate.borrow().is_idle()
    }

    /// Whether another protocol has begun.
    pub(super) fn has_switched(&self) -> bool {
        self.gate.borrow().has_switched()
    }

    /// Takes the informational responses that came since the last time.
    pub(super) fn interims(&self, mut each: impl FnMut(StatusCode, HeaderMap)) {
        if !self.interims.borrow().is_empty() {
            for (status, headers) in self.interims.take() {
                each(status, headers);
            }
        }
    }

    fn interim(&self, head: &[u8]) {
        self.interims.borrow_mut().extend(parse(head));
    }

    /// Bytes from the upstream.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read.bytes()
    }

    /// Bytes in both directions.
    pub(super) fn total_bytes(&self) -> u64 {
        self.read.bytes().wrapping_add(self.written.bytes())
    }
}

fn parse(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    // The gate has counted them.
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).ok()?;
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.try_append(name, HeaderValue::from_bytes(field.value).ok()?).ok()?;
    }
    Some((StatusCode::from_u16(response.code?).ok()?, headers))
}

/// The stream of a [`Meter`], for hyper.
pub(super) struct Gated {
    meter: Rc<Meter>,
    sluice: Sluice,
    /// The upstream takes nothing any more.
    deaf: bool,
}

impl Gated {
    /// For heads within these limits.
    pub(super) fn new(stream: Stream, heads: Limits) -> (Self, Rc<Meter>) {
        let meter = Rc::new(Meter::new(stream, heads));
        let sluice = Sluice::default();
        (Self { meter: Rc::clone(&meter), sluice, deaf: false }, meter)
    }

    /// The stream, and what was read of it and not handed on.
    pub(super) fn into_parts(mut self) -> Option<(Stream, Vec<u8>)> {
        Some((self.meter.stream.take()?, mem::take(&mut self.sluice).into_kept()))
    }

    /// Polls the stream.
    fn poll<T>(
        &self,
        poll: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.meter.stream.borrow_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Counts what was written, and keeps from hyper that nothing more can be.
    fn watch(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(error)) if closed(&error) => {
                self.deaf = true;
                Poll::Pending
            }
            Poll::Ready(Ok(bytes)) => {
                self.meter.written.add(bytes);
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

impl Drop for Gated {
    /// hyper is done: the stream is closed, although its meter may still be asked.
    fn drop(&mut self) {
        self.meter.stream.take();
    }
}

fn closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { meter, sluice, .. } = &mut *self;
        let mut stream = meter.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Ready(Ok(())) };
        let mut source = Source {
            stream,
            read: &mut |bytes| meter.read.add(bytes),
            interim: &mut |head| meter.interim(head),
        };
        sluice.limit(meter.most.get());
        match sluice.read(&mut source, &mut *meter.gate.borrow_mut(), context, buffer)? {
            Reading::Ready => Poll::Ready(Ok(())),
            Reading::Pending => Poll::Pending,
            Reading::Fault(Fault::Unasked) => {
                meter.unasked.set(true);
                Poll::Ready(Ok(()))
            }
            Reading::Fault(fault) => Poll::Ready(Err(fault.into())),
        }
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meter.busy.set(true);
        if self.deaf {
            return Poll::Pending;
        }
        let polled = self.poll(|stream| stream.poll_write(context, bytes));
        self.watch(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.meter.busy.set(true);
        if self.deaf {
            return Poll::Pending;
        }
        let polled = self.poll(|stream| stream.poll_write_vectored(context, slices));
        self.watch(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.meter.stream.borrow().as_ref().is_some_and(Stream::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll(|stream| stream.poll_flush(context)).map_ok(|()| 0);
        ready!(self.watch(polled))?;
        self.meter.busy.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(context))
    }
}
