//! Bodies of responses on their way through the rewriters that asked to transform them.
//!
//! Everything is pulled: a plugin is called when the client has room for what it may give, and the
//! next piece of the body is asked for when the plugin has taken the last one and has no more to
//! give. What is held in between is one piece. Where a plugin fails, the body ends with an error, so
//! that the client can tell, and the upstream's connection is closed.
//!
//! Trailers follow the last output, without those that are about the bytes of the body.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};

use crate::body::{Body, BodyError};
use crate::log::access::calls::Calls;
use crate::plugin::{Rejected, Session, Transformed};
use crate::relay::record::Record;

/// The most bytes of a chunk that a plugin is given.
const CHUNK_BYTES: usize = 64 << 10;

/// Trailers that are about the bytes before a transformation.
const ABOUT_BYTES: [&str; 5] = ["content-digest", "content-md5", "digest", "etag", "repr-digest"];

/// The same body, transformed by all of these, the first one next to the upstream.
pub(super) fn transformed(body: Body, sessions: Vec<Session>, record: &mut Record) -> Body {
    sessions.into_iter().fold(body, |source, session| {
        Body::made(Stage {
            source: Some(source),
            rest: Bytes::new(),
            trailers: None,
            more: false,
            turn: Turn::Ours(session),
            transformation: record.transformation(),
        })
    })
}

/// What plugins did to the body of one response, told when that is over.
#[derive(Debug, Default)]
pub(crate) struct Transformation {
    /// Whether calls are written down at all.
    measured: bool,
    calls: RefCell<Calls>,
    failure: RefCell<Option<String>>,
}

impl Transformation {
    /// Nothing yet. Calls are kept if somebody reads of them.
    pub(crate) fn new(measured: bool) -> Rc<Self> {
        Rc::new(Self { measured, ..Self::default() })
    }

    /// The calls that were made.
    pub(crate) fn take_calls(&self) -> Calls {
        self.calls.take()
    }

    /// Which plugin failed, and how.
    pub(crate) fn failure(&self) -> String {
        self.failure.borrow().clone().unwrap_or_default()
    }

    fn called(&self, session: &Session) {
        if self.measured
            && let Some(label) = session.label()
        {
            self.calls.borrow_mut().add(label, session.cost());
        }
    }
}

/// A body with one plugin that transforms it.
struct Stage {
    /// Where it comes from, up to its end.
    source: Option<Body>,
    /// What of it the plugin has not been given yet.
    rest: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether the plugin has more to give before it is given anything.
    more: bool,
    turn: Turn,
    transformation: Rc<Transformation>,
}

/// Whose turn it is.
enum Turn {
    /// Ours: to give the plugin something, or to find something.
    Ours(Session),
    /// The plugin's.
    Plugin(Call),
    /// Nobody's: the body is over.
    Over,
}

/// A call that is being made.
type Call = Pin<Box<dyn Future<Output = (Session, Result<Transformed, Rejected>)>>>;

/// What comes of the source.
enum Piece {
    Data(Bytes),
    End,
}

impl Stage {
    /// The next call to make; waits for the source where that has to give something first.
    fn poll_call(
        &mut self,
        context: &mut Context<'_>,
        session: Session,
    ) -> Poll<Result<(), BodyError>> {
        if !self.more && self.rest.is_empty() && self.source.is_some() {
            match self.poll_source(context) {
                Poll::Ready(Ok(Piece::Data(data))) => self.rest = data,
                Poll::Ready(Ok(Piece::End)) => self.source = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.turn = Turn::Ours(session);
                    return Poll::Pending;
                }
            }
        }
        let finishing = self.source.is_none() && self.rest.is_empty();
        self.turn = Turn::Plugin(if finishing {
            Box::pin(session.finish())
        } else {
            let length = if self.more { 0 } else { self.rest.len().min(CHUNK_BYTES) };
            Box::pin(session.transform(&self.rest.split_to(length)))
        });
        Poll::Ready(Ok(()))
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        loop {
            let Some(source) = &mut self.source else { return Poll::Ready(Ok(Piece::End)) };
            let frame = match ready!(Pin::new(source).poll_frame(context)) {
                None => return Poll::Ready(Ok(Piece::End)),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Ok(Piece::Data(data))),
                Err(other) => {
                    let mut trailers = other.into_trailers().unwrap_or_default();
                    for name in ABOUT_BYTES {
                        trailers.remove(name);
                    }
                    self.trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
                }
            }
        }
    }

    /// Takes what a call gave.
    fn take(
        &mut self,
        session: Session,
        result: Result<Transformed, Rejected>,
    ) -> Result<Bytes, BodyError> {
        self.transformation.called(&session);
        match result {
            Ok(output) => {
                let over = self.source.is_none() && self.rest.is_empty() && !session.is_open();
                self.more = output.more;
                if !over {
                    self.turn = Turn::Ours(session);
                }
                Ok(output.bytes)
            }
            Err(rejected) => {
                let text = format!("rewriter {} failed: {rejected}", session.name());
                self.transformation.failure.replace(Some(text));
                self.source = None;
                self.trailers = None;
                Err(BodyError::Transformed)
            }
        }
    }
}

impl http_body::Body for Stage {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.turn, Turn::Over) {
                Turn::Over => {
                    let trailers = self.trailers.take();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Turn::Ours(session) => {
                    if let Err(error) = ready!(self.poll_call(context, session)) {
                        self.source = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Turn::Plugin(mut call) => {
                    let Poll::Ready((session, result)) = call.as_mut().poll(context) else {
                        self.turn = Turn::Plugin(call);
                        return Poll::Pending;
                    };
                    match self.take(session, result) {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.turn, Turn::Over) && self.trailers.is_none()
    }
}
