//! One upstream connection, driven by whoever uses it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::header::UPGRADE;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Duration, Instant};

use super::driver::{Driver, Turn};
use super::fate::Fate;
use super::gated::{Gated, Meter};
use super::shelf::Shelf;
use super::wakeups::Wakeups;
use crate::body::{DownloadLimits, RequestBody, Transport, Upload, UpstreamBody};
use crate::cluster::peer::Peer;
use crate::deadline::Deadline;
use crate::proxy_protocol::Subject;
use crate::socket::Stream;
use crate::tunnel::End;
use crate::wire::{Asked, Limits};

/// The most that is read or written at once, unless heads may be larger.
const BUFFER_BYTES: usize = 64 << 10;
/// The most fields that hyper has room for without an allocation.
const FIELDS: usize = 100;

/// A connection, its sender, and what they need. Boxed once, then moved between the pool, the
/// request and the response body.
pub(super) struct Link {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    meter: Rc<Meter>,
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
    /// Why it is closed, should it be dropped now.
    pub(super) fate: Fate,
}

impl Drop for Link {
    fn drop(&mut self) {
        // A response that says so ends its connection.
        let closed = self.fate == Fate::Dropped && self.driver.connection.is_none();
        let why = if closed { Fate::Closed } else { self.fate }.words();
        tracing::trace!(endpoint = %self.peer, why, "connection closed");
    }
}

/// Why there is no response.
pub(super) enum Failure {
    /// The request was not even begun.
    Unsent(Box<Request<RequestBody>>, hyper::Error),
    Broken(hyper::Error),
    Timeout,
}

impl From<TrySendError<Request<RequestBody>>> for Failure {
    fn from(mut error: TrySendError<Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error()),
            None => Self::Broken(error.into_error()),
        }
    }
}

impl Link {
    pub(super) async fn open(
        stream: Stream,
        peer: &Peer,
        heads: Limits,
    ) -> Result<Box<Self>, hyper::Error> {
        let (gated, meter) = Gated::new(stream, heads);
        let mut builder = Builder::new();
        // hyper takes a head that fills its buffer for one too large.
        builder.max_buf_size(heads.head_bytes.max(BUFFER_BYTES) + 1);
        if heads.fields > FIELDS {
            builder.max_headers(heads.fields);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(gated)).await?;
        let wakeups = Wakeups::new();
        let waker = Waker::from(Arc::clone(&wakeups));
        Ok(Box::new(Self {
            sender,
            driver: Driver {
                connection: Some(connection),
                switched: None,
                meter: Rc::clone(&meter),
                wakeups,
                waker,
            },
            meter,
            deadline: Deadline::default(),
            upload: Upload::empty(),
            patience: Duration::ZERO,
            told: None,
            home: None,
            idle_since: Instant::now(),
            heads,
            peer: peer.clone(),
            spent: false,
            fate: Fate::Dropped,
        }))
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
        self.driver.look();
        self.sender.is_ready() && self.meter.is_even()
    }

    /// Whether nothing has come to an idle connection, not even the end, as far as the system knows.
    pub(super) fn is_quiet(&self) -> bool {
        self.meter.is_quiet()
    }

    /// Whether bytes came that nobody asked for.
    pub(super) fn has_unasked(&self) -> bool {
        self.meter.has_unasked()
    }

    /// It has been idle for a while.
    pub(super) fn rest(&self) {
        self.driver.wakeups.leave_task();
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
        self.meter.read_bytes()
    }

    /// Sends `request` and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        (response_timeout, read_bytes): (Duration, usize),
        mut interim: impl FnMut(StatusCode, HeaderMap),
    ) -> Result<Response<Incoming>, Failure> {
        self.upload = request.body().upload();
        self.patience = response_timeout;
        let head = request.method() == Method::HEAD;
        let overlooked = !request.body().is_end_stream()
            && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let upgrade = request.headers().contains_key(UPGRADE);
        self.meter.ask(Asked { head, upgrade });
        self.meter.limit(read_bytes);
        let mut answer = pin!(self.sender.try_send_request(request));
        self.deadline.set(response_timeout);
        let mut sent = 0;
        let response = poll_fn(|context| {
            self.driver.drive(context, Turn::Connection, |context| {
                self.meter.interims(|status, headers| match status {
                    StatusCode::CONTINUE => self.upload.proceed(),
                    _ => interim(status, headers),
                });
                if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                    return Poll::Ready(answer.map_err(Failure::from));
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
        })
        .await?;
        // hyper takes HTTP/1.0 for all that the upstream understands, and would send it no body but one
        // of known length. One that answers before it has the whole request may take the rest for another,
        // and some do so with bodies of requests that seldom have any.
        self.spent = response.version() < Version::HTTP_11 || !self.upload.finished() || overlooked;
        Ok(response)
    }

    /// The body of the response that this connection has begun to deliver.
    ///
    /// If the upstream answers before it has taken the whole request, a task drives the
    /// connection: a client that reads only after it has sent everything would otherwise wait for
    /// us, and we for it.
    pub(super) fn into_body(
        self: Box<Self>,
        incoming: Incoming,
        limits: DownloadLimits,
    ) -> UpstreamBody {
        self.upload.refuse();
        if self.meter.has_switched() {
            return UpstreamBody::switched(incoming, self, limits);
        }
        if incoming.is_end_stream() || self.upload.finished() || self.upload.held() {
            return UpstreamBody::lent(incoming, self, limits);
        }
        let reader = Rc::new(());
        self.spawn(Rc::downgrade(&reader));
        UpstreamBody::detached(incoming, reader, limits)
    }

    /// Drives the connection in a task until it is idle or closed.
    fn spawn(self: Box<Self>, reader: Weak<()>) {
        tokio::task::spawn_local(self.see_out(reader));
    }

    async fn see_out(mut self: Box<Self>, reader: Weak<()>) {
        let this = &mut *self;
        let mut seen = this.meter.total_bytes();
        this.deadline.set(this.patience);
        let idle = poll_fn(|context| {
            this.driver.drive(context, Turn::Connection, |context| {
                if this.sender.is_ready() || this.sender.is_closed() {
                    return Poll::Ready(this.sender.is_ready());
                }
                loop {
                    ready!(this.deadline.poll(context));
                    this.deadline.set(this.patience);
                    // A client may be slow to send and slow to read. That nothing moves although
                    // the client waits for neither is the upstream's doing.
                    let total = this.meter.total_bytes();
                    let ours = this.upload.waits_for_client()
                        || (this.upload.finished() && reader.strong_count() > 0);
                    if total == seen && !ours {
                        return Poll::Ready(false);
                    }
                    seen = total;
                }
            })
        })
        .await;
        if idle {
            self.park();
        }
    }

    /// Goes back to the pool, unless more came than was asked for, or it must not be used again.
    fn park(mut self: Box<Self>) {
        let Some(home) = self.home.take() else { return };
        if !self.meter.is_even() {
            self.fate = Fate::Talkative;
            home.beware(&self);
        } else if !self.spent {
            self.upload = Upload::empty();
            self.driver.wakeups.park();
            home.put(self);
        }
    }
}

impl Transport for Link {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // What has arrived is taken before the connection is polled for more.
        self.driver.drive(context, Turn::Step, |context| Pin::new(&mut *body).poll_frame(context))
    }

    fn limit(&mut self, bytes: usize) {
        self.meter.limit(bytes);
    }

    fn release(self: Box<Self>) {
        if self.sender.is_ready() {
            self.park();
        } else if self.driver.connection.is_some() && !self.upload.held() {
            // The response is over, the request is not: an upstream that reads on gets the rest.
            self.spawn(Weak::new());
        }
    }

    fn switch(mut self: Box<Self>) -> Option<End> {
        self.driver.poll_connection();
        if self.meter.is_busy() {
            // What hyper has not written of the request would be missing before the rest.
            return None;
        }
        let parts = self.driver.switched.take()?.into_parts();
        let (stream, kept) = parts.io.into_inner().into_parts()?;
        let mut early = BytesMut::from(parts.read_buf);
        early.extend_from_slice(&kept);
        Some(End { stream, early: early.freeze() })
    }
}
