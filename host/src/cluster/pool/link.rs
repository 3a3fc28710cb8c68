//! One upstream connection, driven by whoever uses it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::header::UPGRADE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Duration, Instant};

use super::Shelf;
use super::gated::{Gated, Meter};
use super::wakeups::Wakeups;
use crate::body::{DownloadLimits, RequestBody, Transport, Upload, UpstreamBody};
use crate::cluster::peer::Peer;
use crate::deadline::Deadline;
use crate::proxy_protocol::Subject;
use crate::socket::Stream;
use crate::tunnel::End;
use crate::wire::Asked;

/// The largest response head.
const HEAD_BYTES: usize = 64 << 10;
/// The most that is read or written at once: hyper takes a head that fills it for one too large.
const BUFFER_BYTES: usize = HEAD_BYTES + 1;

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
    peer: Peer,
    /// Why it is closed, should it be dropped now.
    pub(super) fate: Fate,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its request ended before its response did, or either of them is not whole.
    Dropped,
    /// The upstream closed it.
    Closed,
    /// It was idle for longer than `idle-timeout`.
    Idle,
    /// There are `max-idle-per-endpoint` others.
    Surplus,
    /// The endpoint is no longer configured.
    Gone,
    /// The client that it told of has left.
    Forsaken,
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Dropped => "its exchange broke off",
            Self::Closed => "the upstream closed it",
            Self::Idle => "idle for idle-timeout",
            Self::Surplus => "more than max-idle-per-endpoint",
            Self::Gone => "its endpoint is gone",
            Self::Forsaken => "its client has left",
        }
    }
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
    pub(super) async fn open(stream: Stream, peer: &Peer) -> Result<Box<Self>, hyper::Error> {
        let (gated, meter) = Gated::new(stream, HEAD_BYTES);
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER_BYTES);
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
            peer: peer.clone(),
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

    /// Whether an idle connection can take a request, as far as is known without asking the
    /// kernel. Closing it, and bytes that nobody asked for, show here.
    pub(super) fn is_open(&mut self) -> bool {
        self.driver.look();
        self.sender.is_ready() && self.meter.is_even()
    }

    /// It has been idle for a while.
    pub(super) fn rest(&self) {
        self.driver.wakeups.leave_task();
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
        let upgrade = request.headers().contains_key(UPGRADE);
        self.meter.ask(Asked { head, upgrade });
        self.meter.limit(read_bytes);
        let mut answer = pin!(self.sender.try_send_request(request));
        self.deadline.set(response_timeout);
        let mut sent = 0;
        poll_fn(|context| {
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
        .await
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

    /// Goes back to the pool, unless more came than was asked for.
    fn park(mut self: Box<Self>) {
        if self.meter.is_even()
            && let Some(home) = self.home.take()
        {
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
        let parts = self.driver.switched.take()?.into_parts();
        let (stream, kept) = parts.io.into_inner().into_parts();
        let mut early = BytesMut::from(parts.read_buf);
        early.extend_from_slice(&kept);
        Some(End { stream, early: early.freeze() })
    }
}

/// A connection and its waker.
struct Driver {
    connection: Option<Connection<TokioIo<Gated>, RequestBody>>,
    /// The same once it is over, if another protocol goes on from there.
    switched: Option<Connection<TokioIo<Gated>, RequestBody>>,
    meter: Rc<Meter>,
    wakeups: Arc<Wakeups>,
    waker: Waker,
}

/// Which of two is polled first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Connection,
    Step,
}

impl Driver {
    /// Polls the connection and `step`, which waits for something that comes through it, in turn
    /// as long as one of them wakes the other.
    fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        first: Turn,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        /// More rounds than any exchange needs; beyond it other tasks get their turn.
        const ROUNDS: usize = 8;
        self.wakeups.begin(context.waker());
        let mut turn = first;
        for _ in 0..ROUNDS {
            if turn == Turn::Connection {
                self.wakeups.clear();
                self.poll_connection();
            }
            let polled = step(&mut Context::from_waker(&self.waker));
            if polled.is_ready() {
                self.wakeups.end();
                return polled;
            }
            if turn == Turn::Connection && !self.wakeups.noted() {
                break;
            }
            turn = Turn::Connection;
        }
        if self.wakeups.end() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Polls an idle connection if something happened to it.
    fn look(&mut self) {
        if self.wakeups.noted() {
            self.wakeups.clear();
            self.poll_connection();
        }
    }

    /// A connection that is over is dropped, upon which whoever waits for it hears of it.
    fn poll_connection(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let polled = Pin::new(connection).poll(&mut Context::from_waker(&self.waker));
        if let Poll::Ready(ended) = polled {
            if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection");
            }
            self.switched = self.connection.take().filter(|_| self.meter.has_switched());
        }
    }
}
