//! One upstream connection, driven by whoever uses it.

use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, Method, StatusCode, Version, response};
use http_body::{Body as _, Frame};
use tokio::time::{Duration, Instant};

use super::Outgoing;
use super::answer::{Answer, says_close};
use super::detached::{self, Detached};
use super::fate::Fate;
use super::sending::Sending;
use super::shelf::Shelf;
use crate::body::{BodyError, DownloadLimits, Transport, Upload, UploadError, UpstreamBody};
use crate::cluster::peer::Peer;
use crate::deadline::Deadline;
use crate::headers::has;
use crate::proxy_protocol::Subject;
use crate::socket::{Peeked, Stream};
use crate::tunnel::End;
use crate::turn;
use crate::wire::{Asked, Fault, Limits, Part};

/// A connection, and what goes through it. Boxed once, then moved between the pool, the
/// request and the response body.
pub(super) struct Link {
    /// Absent once it goes on as something else.
    stream: Option<Stream>,
    sending: Sending,
    answer: Answer,
    deadline: Deadline,
    /// What is being sent, until the connection is idle again.
    upload: Upload,
    /// How long the upstream may take nothing of what is left to send once it has answered.
    patience: Duration,
    /// What it has told of first; whoever else comes is not to be taken for that.
    pub(super) told: Option<Weak<Subject>>,
    /// Where it goes when it is idle; absent while it is there.
    pub(super) home: Option<Rc<Shelf>>,
    pub(super) idle_since: Instant,
    /// What bounds the heads of its responses.
    pub(super) heads: Limits,
    peer: Peer,
    /// It must not serve another request.
    spent: bool,
    /// The response says that the connection ends with it.
    last: bool,
    /// Bytes came that nobody asked for.
    unasked: bool,
    /// Why it is closed, should it be dropped now.
    pub(super) fate: Fate,
}

impl Drop for Link {
    fn drop(&mut self) {
        let closed = self.fate == Fate::Dropped && self.answer.has_ended();
        let why = if closed { Fate::Closed } else { self.fate }.words();
        tracing::trace!(endpoint = %self.peer, why, "connection closed");
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of the request was written.
    Unsent,
    /// The connection has ended, or is ended, before the head has.
    Closed,
    Broken(io::Error),
    Fault(Fault),
    Upload(UploadError),
    Timeout,
}

/// A request that is about to be sent.
pub(super) struct Begun {
    /// It has a body, which some do not look for.
    overlooked: bool,
    response_timeout: Duration,
}

impl Link {
    pub(super) fn new(stream: Stream, peer: &Peer, heads: Limits) -> Box<Self> {
        Box::new(Self {
            stream: Some(stream),
            sending: Sending::default(),
            answer: Answer::new(heads),
            deadline: Deadline::default(),
            upload: Upload::empty(),
            patience: Duration::ZERO,
            told: None,
            home: None,
            idle_since: Instant::now(),
            heads,
            peer: peer.clone(),
            spent: false,
            last: false,
            unasked: false,
            fate: Fate::Dropped,
        })
    }

    /// Whether it has told of just this, or of nothing.
    pub(super) fn tells_of(&self, subject: Option<&Rc<Subject>>) -> bool {
        let told = self.told.as_ref().map(Weak::as_ptr);
        told == subject.map(Rc::as_ptr)
    }

    /// Whether what it has told of is gone.
    pub(super) fn is_forsaken(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.strong_count() == 0)
    }

    /// Whether an idle connection is open, as far as is known without asking the system. Closing it,
    /// and bytes that nobody asked for, show here.
    pub(super) fn is_open(&mut self) -> bool {
        let glance = self.stream.as_mut().map_or(Peeked::End, Stream::glance);
        self.is_nothing(glance)
    }

    /// Whether nothing has come to an idle connection, not even the end, as far as the system knows.
    pub(super) fn is_quiet(&mut self) -> bool {
        let peeked = self.stream.as_mut().map_or(Peeked::End, Stream::peek);
        self.is_nothing(peeked)
    }

    fn is_nothing(&mut self, peeked: Peeked) -> bool {
        self.unasked |= peeked == Peeked::Bytes;
        peeked == Peeked::Nothing
    }

    /// Whether bytes came that nobody asked for.
    pub(super) fn has_unasked(&self) -> bool {
        self.unasked
    }

    /// It has been idle for a while: lets go of the task that used it last, whose memory the timer keeps.
    pub(super) fn rest(&mut self) {
        self.deadline = Deadline::default();
    }

    /// Says that its endpoint cannot be told to be over with a response.
    pub(super) fn warn(&self) {
        tracing::warn!(
            endpoint = %self.peer,
            "it sends bytes after its responses that nobody has asked for, so that for a minute no \
             connection to it serves a second request"
        );
    }

    /// Traces what becomes of it.
    pub(super) fn tell(&self, what: &str) {
        tracing::trace!(endpoint = %self.peer, "{what}");
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.answer.read_bytes()
    }

    /// Bytes in both directions.
    fn total_bytes(&self) -> u64 {
        self.answer.read_bytes().wrapping_add(self.sending.written_bytes())
    }

    /// Begins to send `request`: what is left to do does without it.
    pub(super) fn begin(
        &mut self,
        request: Outgoing<'_>,
        response_timeout: Duration,
        read_bytes: usize,
    ) -> Begun {
        let (head, body) = (&request.head, &request.body);
        self.upload = body.upload();
        self.patience = response_timeout;
        let asked = Asked {
            head: head.method == Method::HEAD,
            upgrade: request.offer.is_some() || has(&head.headers, &UPGRADE),
        };
        let overlooked = !body.is_end_stream()
            && matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        self.answer.ask(asked);
        self.answer.limit(read_bytes);
        self.sending.begin(request);
        self.deadline.set(response_timeout);
        Begun { overlooked, response_timeout }
    }

    /// Sends what was begun and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        Begun { overlooked, response_timeout }: Begun,
        mut interim: impl FnMut(StatusCode, HeaderMap),
    ) -> Result<response::Parts, Failure> {
        let before = self.sending.written_bytes();
        let (mut begun, mut sent, mut turn) = (false, 0, turn::End::default());
        let response = poll_fn(|context| {
            if begun {
                if let Poll::Ready(answer) = self.poll_answer(context, &mut interim) {
                    let unsent = self.sending.written_bytes() == before;
                    return Poll::Ready(match answer {
                        Err(Failure::Closed) if unsent => Err(Failure::Unsent),
                        answer => answer,
                    });
                }
            } else {
                ready!(turn.poll(context));
                begun = true;
                // What comes before anything was asked for is no answer, and as a rule the end.
                if self.hears(context) {
                    return Poll::Ready(Err(Failure::Unsent));
                }
            }
            if let Poll::Ready(Err(failure)) = self.poll_send(context) {
                return Poll::Ready(Err(failure));
            }
            // The clock starts anew with each chunk that the upstream takes.
            let read = self.upload.read_bytes();
            if read != sent {
                sent = read;
                self.deadline.set(response_timeout);
            }
            while self.deadline.poll(context).is_ready() {
                if !self.upload.waits_for_client() {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                self.deadline.set(response_timeout);
            }
            Poll::Pending
        })
        .await?;
        // Whoever speaks HTTP/1.0 says when a connection ends, or not. One that answers before it has the whole
        // request may take the rest for another, and some do so with bodies of requests that seldom have any.
        self.spent = response.version < Version::HTTP_11 || !self.upload.finished() || overlooked;
        self.last = says_close(&response.headers);
        Ok(response)
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        interim: &mut impl FnMut(StatusCode, HeaderMap),
    ) -> Poll<Result<response::Parts, Failure>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(Failure::Closed)) };
        loop {
            let (head, is_interim) = ready!(self.answer.poll_head(stream, context))?;
            match head.status {
                _ if !is_interim => return Poll::Ready(Ok(head)),
                StatusCode::CONTINUE => self.upload.proceed(),
                status => interim(status, head.headers),
            }
        }
    }

    /// Whether something comes although nothing is waited for, be it the end.
    fn hears(&mut self, context: &mut Context<'_>) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        self.answer.poll_fill(stream, context).is_ready()
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match &mut self.stream {
            Some(stream) => self.sending.poll(stream, context),
            None => Poll::Ready(Err(Failure::Closed)),
        }
    }

    /// The body of the response that this connection has begun to deliver. One that is there already needs
    /// no connection.
    pub(super) fn into_body(mut self: Box<Self>, limits: DownloadLimits) -> UpstreamBody {
        self.upload.refuse();
        if self.answer.has_switched() {
            return UpstreamBody::connection(self, limits);
        }
        if let Some(whole) = self.answer.whole() {
            self.release();
            return UpstreamBody::whole(whole.data, whole.sized, limits);
        }
        if self.upload.finished() || self.upload.held() {
            return UpstreamBody::connection(self, limits);
        }
        UpstreamBody::connection(Box::new(Detached::new(self)), limits)
    }

    /// What comes next of the body.
    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        Poll::Ready(match ready!(self.answer.poll_part(stream, context)) {
            Ok(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Part::End | Part::More) => None,
            Err(error) => Some(Err(BodyError::Broken(error))),
        })
    }

    /// The clock begins for what is left of the request. How much has gone through until now.
    pub(super) fn begin_rest(&mut self) -> u64 {
        self.deadline.set(self.patience);
        self.total_bytes()
    }

    /// Sends what is left of the request, while the body of the response `reads` or is over. Whether all of
    /// it is sent, or the connection is of no use any more.
    pub(super) fn poll_rest(
        &mut self,
        context: &mut Context<'_>,
        reads: bool,
        seen: &mut u64,
    ) -> Poll<bool> {
        if let Poll::Ready(sent) = self.poll_send(context) {
            return Poll::Ready(sent.is_ok());
        }
        if !reads && self.hears(context) {
            return Poll::Ready(false);
        }
        loop {
            ready!(self.deadline.poll(context));
            self.deadline.set(self.patience);
            // A client may be slow to send and slow to read. That nothing moves although
            // the client waits for neither is the upstream's doing.
            let total = self.total_bytes();
            let ours = self.upload.waits_for_client() || (self.upload.finished() && reads);
            if total == *seen && !ours {
                return Poll::Ready(false);
            }
            *seen = total;
        }
    }

    /// Goes back to the pool, unless more came than was asked for, or it must not be used again.
    pub(super) fn park(mut self: Box<Self>) {
        let Some(home) = self.home.take() else { return };
        if self.answer.keeps() {
            self.fate = Fate::Talkative;
        } else if self.last {
            self.fate = Fate::Closed;
        } else if !self.spent && !self.answer.has_ended() {
            self.upload = Upload::empty();
            self.answer.rest();
            home.put(self);
        }
    }
}

impl Transport for Link {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The body has been handed over, which is not to say that it is written.
        if !self.sending.is_done()
            && let Poll::Ready(Err(Failure::Broken(error))) = self.poll_send(context)
        {
            return Poll::Ready(Some(Err(BodyError::Broken(error))));
        }
        self.poll_body(context)
    }

    fn is_over(&self) -> bool {
        self.answer.is_over()
    }

    fn left_bytes(&self) -> Option<u64> {
        self.answer.left_bytes()
    }

    fn limit(&mut self, bytes: usize) {
        self.answer.limit(bytes);
    }

    fn release(self: Box<Self>) {
        if self.sending.is_done() {
            self.park();
        } else if !self.answer.has_ended() && !self.upload.held() {
            // The response is over, the request is not: an upstream that reads on gets the rest.
            detached::see_out(self);
        }
    }

    fn switch(mut self: Box<Self>) -> Option<End> {
        if !matches!(self.poll_send(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))) {
            // What is not written of the request would be missing before the rest.
            return None;
        }
        let stream = self.stream.take()?;
        Some(End { stream, early: self.answer.take_kept() })
    }
}
