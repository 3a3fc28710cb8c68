//! The body of a client's request: its limits, its repetition, and when it may start.
//!
//! An [`Upload`] is what a client sends; each attempt at an upstream reads it through a
//! [`RequestBody`] of its own. What was read is recorded up to a limit, so that a further attempt
//! can start over; beyond the limit the record is dropped and there is one attempt only. Chunks
//! are recorded as copies, because keeping a chunk keeps the whole buffer that it was read into,
//! and a client that sends single bytes could make us keep thousands of them.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Duration;

use super::patience::{Patience, UploadLimits};
use super::received::{Lost, Received};
use crate::deadline::Deadline;
use crate::wire::Fault;

/// How long a client waits for the upstream's consent before its body is asked for anyway, as
/// clients do themselves.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Why a request body ends early.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is larger than allowed.
    #[error("the request body is too large")]
    TooLarge,
    /// The client sent nothing for as long as the body timeout.
    #[error("the client fell silent within its request body")]
    Silent,
    /// The client sends too slowly.
    #[error("the client sends its request body too slowly")]
    Slow,
    /// What the client sent is not HTTP.
    #[error("the client's request body is malformed")]
    Malformed(Fault),
    /// The client went away.
    #[error("the client broke off its request body")]
    Broken(#[source] Lost),
    /// It ended before, or a later attempt reads it.
    #[error("the request body is gone")]
    Gone,
}

/// A request body as the client sends it. Clones share it.
#[derive(Clone)]
pub struct Upload(Option<Rc<RefCell<Source>>>);

struct Source {
    incoming: Received,
    limits: UploadLimits,
    length: Option<u64>,
    /// Set while the client waits for consent.
    hold: Option<Hold>,
    /// All that was received, unless it was too much.
    record: Option<Vec<u8>>,
    received: u64,
    trailers: Option<HeaderMap>,
    state: State,
    patience: Patience,
    /// Which reader counts: the latest.
    reader: u32,
    /// How much that reader got.
    read: u64,
    trailers_read: bool,
    /// What lives as long as the body does.
    kept: Option<Box<dyn Any>>,
}

#[derive(Default)]
struct Hold {
    patience: Deadline,
    /// The final response came first: there is nothing left to wait for.
    refused: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

impl Upload {
    /// No body.
    pub fn empty() -> Self {
        Self(None)
    }

    /// What the client sends, refused at once if it announces too much.
    pub fn new(incoming: impl Into<Received>, limits: UploadLimits) -> Result<Self, UploadError> {
        let incoming = incoming.into();
        if incoming.is_end_stream() {
            return Ok(Self::empty());
        }
        let length = incoming.size_hint().exact();
        if length.is_some_and(|length| length > limits.max_body_bytes) {
            return Err(UploadError::TooLarge);
        }
        let patience = Patience::new(&limits);
        Ok(Self(Some(Rc::new(RefCell::new(Source {
            incoming,
            limits,
            length,
            hold: None,
            record: Some(Vec::new()),
            received: 0,
            trailers: None,
            state: State::Open,
            patience,
            reader: 0,
            read: 0,
            trailers_read: false,
            kept: None,
        })))))
    }

    /// Keeps something alive as long as the body has a reader. Without a body, not at all.
    pub fn keep(&self, what: Box<dyn Any>) {
        self.edit(|source| source.kept = Some(what));
    }

    /// The client expects `100 Continue`, which it gets when the body is asked for: not before
    /// [`proceed`](Self::proceed) or one second of waiting.
    pub fn hold(&self) {
        self.edit(|source| source.hold = Some(Hold::default()));
    }

    /// The upstream sent `100 Continue`.
    pub fn proceed(&self) {
        let waker = |source: &mut Source| source.hold.take().and_then(|hold| hold.waker);
        self.edit(|source| waker(source).into_iter().for_each(Waker::wake));
    }

    /// The final response came: a client that still waits for consent is never asked for its body.
    pub fn refuse(&self) {
        self.edit(|source| {
            source.patience.lift_rate();
            if let Some(hold) = &mut source.hold {
                hold.refused = true;
            }
        });
    }

    /// A body that reads from the start. Bodies made before it fail from now on.
    pub fn body(&self) -> RequestBody {
        let Some(source) = &self.0 else { return RequestBody::empty() };
        let mut edited = source.borrow_mut();
        edited.reader = edited.reader.wrapping_add(1);
        edited.read = 0;
        edited.trailers_read = false;
        RequestBody(Some(Reader { source: Rc::clone(source), number: edited.reader }))
    }

    /// Whether a further [`body`](Self::body) would get all of it: nothing was read yet, or all
    /// that was read is on record.
    pub fn replayable(&self) -> bool {
        self.look(true, |source| source.record.is_some() && source.state != State::Failed)
    }

    /// How much the client has sent, as far as it was asked for.
    pub fn received_bytes(&self) -> u64 {
        self.look(0, |source| source.received)
    }

    /// Whether all of it can be read ahead and handed over later: it is known to be no more than is
    /// recorded, and the client does not wait for consent.
    pub fn fits(&self) -> bool {
        self.look(false, |source| {
            let length = source.length.and_then(|length| usize::try_from(length).ok());
            let short = length.is_some_and(|length| length <= source.limits.replay_bytes);
            short && source.hold.is_none() && source.record.is_some()
        })
    }

    /// Whether there is one, and the client has sent all of it.
    pub fn is_received(&self) -> bool {
        self.look(false, |source| source.state == State::Complete)
    }

    /// Whether the current body has handed over everything.
    pub fn finished(&self) -> bool {
        self.look(true, Source::is_read)
    }

    /// How much the current body has handed over.
    pub fn read_bytes(&self) -> u64 {
        self.look(0, |source| source.read)
    }

    /// Whether the next chunk has to come from the client: it is not the upstream that is slow.
    pub fn waits_for_client(&self) -> bool {
        self.look(false, |source| source.patience.waits() || source.hold.is_some())
    }

    /// Whether the client still waits for consent.
    pub fn held(&self) -> bool {
        self.look(false, |source| source.hold.is_some())
    }

    fn look<T>(&self, without: T, read: impl FnOnce(&Source) -> T) -> T {
        self.0.as_ref().map_or(without, |source| read(&source.borrow()))
    }

    fn edit(&self, write: impl FnOnce(&mut Source)) {
        if let Some(source) = &self.0 {
            write(&mut source.borrow_mut());
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upload").field(&self.received_bytes()).finish()
    }
}

/// One reading of an [`Upload`], or no body at all.
#[derive(Default)]
#[must_use]
pub struct RequestBody(Option<Reader>);

struct Reader {
    source: Rc<RefCell<Source>>,
    number: u32,
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(None)
    }

    /// What this body reads.
    pub fn upload(&self) -> Upload {
        Upload(self.0.as_ref().map(|reader| Rc::clone(&reader.source)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(reader) = &self.0 else { return Poll::Ready(None) };
        let mut source = reader.source.borrow_mut();
        if source.reader != reader.number || source.state == State::Failed {
            return Poll::Ready(Some(Err(UploadError::Gone)));
        }
        if source.read < source.received {
            return Poll::Ready(Some(source.replay()));
        }
        if source.state == State::Complete {
            return Poll::Ready(source.replay_trailers().map(Ok));
        }
        let polled = ready!(source.poll_client(context));
        if let Some(Err(_)) = &polled {
            source.state = State::Failed;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|reader| {
            let source = reader.source.borrow();
            source.reader == reader.number && source.is_read()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(reader) = &self.0 else { return SizeHint::with_exact(0) };
        let source = reader.source.borrow();
        match source.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(source.read)),
            None => SizeHint::default(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RequestBody").field(&self.upload()).finish()
    }
}

impl Source {
    fn is_read(&self) -> bool {
        self.state == State::Complete
            && self.read == self.received
            && (self.trailers_read || self.trailers.is_none())
    }

    /// What the record holds beyond what was read.
    fn replay(&mut self) -> Result<Frame<Bytes>, UploadError> {
        let start = usize::try_from(self.read).unwrap_or(usize::MAX);
        let rest = self.record.as_ref().and_then(|record| record.get(start..));
        let Some(rest) = rest else { return Err(UploadError::Gone) };
        let rest = Bytes::copy_from_slice(rest);
        self.read = self.received;
        Ok(Frame::data(rest))
    }

    fn replay_trailers(&mut self) -> Option<Frame<Bytes>> {
        if std::mem::replace(&mut self.trailers_read, true) {
            return None;
        }
        self.trailers.clone().map(Frame::trailers)
    }

    fn poll_client(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(hold) = &mut self.hold {
            if !hold.patience.is_set() {
                hold.patience.set(CONTINUE_PATIENCE);
            }
            if hold.refused || hold.patience.poll(context).is_pending() {
                hold.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.hold = None;
        }
        let Poll::Ready(polled) = Pin::new(&mut self.incoming).poll_frame(context) else {
            return self.patience.poll(context).map(|lost| Some(Err(lost)));
        };
        let data = polled.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.patience.came(data.map_or(0, Bytes::len));
        Poll::Ready(match polled {
            None => {
                self.state = State::Complete;
                None
            }
            Some(Ok(frame)) => Some(self.receive(frame)),
            Some(Err(error)) => {
                let fault = Fault::of(&error).map(UploadError::Malformed);
                Some(Err(fault.unwrap_or(UploadError::Broken(error))))
            }
        })
    }

    fn receive(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, UploadError> {
        if let Some(trailers) = frame.trailers_mut() {
            (self.limits.filter_trailers)(trailers);
            self.trailers = Some(trailers.clone());
            self.trailers_read = true;
            self.state = State::Complete;
            return Ok(frame);
        }
        let Some(data) = frame.data_ref() else { return Ok(frame) };
        self.received = self.received.saturating_add(data.len() as u64);
        self.read = self.received;
        if self.received > self.limits.max_body_bytes {
            return Err(UploadError::TooLarge);
        }
        self.keep(data);
        if self.incoming.is_end_stream() {
            self.state = State::Complete;
        }
        Ok(frame)
    }

    /// Adds `data` to the record, or gives the record up: at once if the announced length shows
    /// that it will not fit.
    fn keep(&mut self, data: &Bytes) {
        let Some(record) = &mut self.record else { return };
        let room = self.limits.replay_bytes.saturating_sub(record.len());
        let announced = self.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if data.len() > room || announced > self.limits.replay_bytes {
            self.record = None;
        } else {
            record.extend_from_slice(data);
        }
    }
}
