//! A request on its way to an upstream.
//!
//! Head and small data go into one buffer, and with it in one system call; large data goes from where it
//! is. What of a body is not asked for waits at the client.
//!
//! An upstream may answer and close without having taken the whole request. Writing then fails, but
//! the answer is there to be read. So such a failure is none: writing waits for ever, and what can still
//! be read, or its end, decides.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite as _;

use super::Outgoing;
use super::link::Failure;
use crate::body::RequestBody;
use crate::headers::has;
use crate::socket::Stream;
use crate::wire::encode;

/// What hardly a head goes beyond.
const HEAD: usize = 1 << 10;

/// Up to which size data is copied to where the head is.
const SMALL: usize = 4 << 10;

/// As soon as so much has been gathered, it is written.
const ENOUGH: usize = 16 << 10;

/// One request after the other, over one connection.
#[derive(Default)]
pub(super) struct Sending {
    /// What is to be written first.
    buffer: Vec<u8>,
    /// How much of that is written.
    place: usize,
    /// Data that follows.
    data: Bytes,
    /// What follows that.
    tail: &'static [u8],
    rest: Rest,
    body: RequestBody,
    state: State,
    written: u64,
}

/// What there is to be sent beyond what has been taken of the body.
#[derive(Default)]
enum Rest {
    #[default]
    Nothing,
    /// So many bytes.
    Sized(u64),
    /// Chunks, and then trailers of such names.
    Chunked(Vec<HeaderName>),
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All is written.
    #[default]
    Done,
    /// There is something to be written, or to come.
    Open,
    /// Something is written that may not have gone to the network.
    Unflushed,
    /// The upstream takes nothing any more.
    Deaf,
}

impl Sending {
    /// Begins with a request. The one before has to be done.
    pub(super) fn begin(&mut self, request: Outgoing<'_>) {
        let Outgoing { head, host, consent, offer, body } = request;
        let fields = &head.headers;
        let length = body.size_hint().exact();
        let coded = has(fields, &TRANSFER_ENCODING);
        self.rest = match length {
            _ if body.is_end_stream() => Rest::Nothing,
            Some(length) if !coded => Rest::Sized(length),
            _ => Rest::Chunked(announced(fields)),
        };
        let chunked = matches!(self.rest, Rest::Chunked(_));
        let mut buffer = Vec::with_capacity(HEAD);
        encode::request_line(&mut buffer, &head.method, &head.uri);
        let (mut hosted, mut sized) = (host.is_none(), false);
        for (name, value) in fields {
            let mut value = value;
            match *name {
                HOST => match host {
                    Some(_) if hosted => continue,
                    Some(host) => (hosted, value) = (true, host),
                    None => {}
                },
                EXPECT if !consent => continue,
                CONNECTION | UPGRADE if offer.is_some() => continue,
                TRANSFER_ENCODING => continue,
                CONTENT_LENGTH if chunked => continue,
                CONTENT_LENGTH => sized = true,
                _ => {}
            }
            encode::field(&mut buffer, name.as_str(), value.as_bytes());
        }
        if let Some(host) = host.filter(|_| !hosted) {
            encode::field(&mut buffer, HOST.as_str(), host.as_bytes());
        }
        if let Some(offer) = offer {
            let nominated: &[u8] =
                if fields.contains_key(TE) { b"te, upgrade" } else { b"upgrade" };
            encode::field(&mut buffer, CONNECTION.as_str(), nominated);
            encode::field(&mut buffer, UPGRADE.as_str(), offer.as_bytes());
        }
        match &self.rest {
            Rest::Sized(length) if !sized => {
                encode::field(&mut buffer, "content-length", length.to_string().as_bytes());
            }
            Rest::Chunked(_) => encode::field(&mut buffer, "transfer-encoding", b"chunked"),
            Rest::Nothing | Rest::Sized(_) => {}
        }
        buffer.extend_from_slice(b"\r\n");
        (self.buffer, self.place) = (buffer, 0);
        (self.body, self.state) = (body, State::Open);
    }

    /// Whether all of the request is written.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much was written, in all.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Writes as much as there is, and as can be written. Ready when it is done.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if matches!(self.state, State::Done) {
            return Poll::Ready(Ok(()));
        }
        if matches!(self.state, State::Deaf) {
            return Poll::Pending;
        }
        loop {
            let waits = self.gather(context)?;
            match ready!(self.poll_write(stream, context)) {
                Ok(()) => {}
                Err(error) if is_closed(&error) => {
                    self.state = State::Deaf;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(Failure::Broken(error))),
            }
            if matches!(self.rest, Rest::Nothing) {
                let written = self.written;
                *self = Self { written, ..Self::default() };
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Takes what there is of the body, up to what is enough. Whether more has yet to come from the client.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<bool, Failure> {
        while self.data.is_empty() && self.tail.is_empty() && self.buffer.len() < ENOUGH {
            if matches!(self.rest, Rest::Nothing) {
                break;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(error))) => return Err(Failure::Upload(error)),
                Poll::Ready(Some(Ok(frame))) => self.add(frame)?,
                Poll::Ready(None) => self.end(None)?,
            }
        }
        Ok(false)
    }

    fn add(&mut self, frame: Frame<Bytes>) -> Result<(), Failure> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                return match (frame.into_trailers(), &self.rest) {
                    (Ok(trailers), Rest::Chunked(_)) => self.end(Some(trailers)),
                    _ => Ok(()),
                };
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        let mut tail: &[u8] = b"";
        match &mut self.rest {
            Rest::Nothing => return Ok(()),
            Rest::Sized(left) => {
                let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *left = left.checked_sub(bytes).ok_or_else(|| broken("more than announced"))?;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
            }
            Rest::Chunked(_) => {
                encode::chunk_size(&mut self.buffer, data.len());
                tail = b"\r\n";
                if self.body.is_end_stream() {
                    tail = b"\r\n0\r\n\r\n";
                    self.rest = Rest::Nothing;
                }
            }
        }
        if data.len() <= SMALL {
            self.buffer.extend_from_slice(&data);
            self.buffer.extend_from_slice(tail);
        } else {
            (self.data, self.tail) = (data, tail);
        }
        Ok(())
    }

    /// Nothing follows but trailers.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Failure> {
        match mem::take(&mut self.rest) {
            Rest::Nothing | Rest::Sized(0) => Ok(()),
            Rest::Sized(_) => Err(broken("less than announced")),
            Rest::Chunked(names) => {
                let announced = trailers.map(|trailers| only(trailers, &names));
                encode::last_chunk(&mut self.buffer, announced.as_ref());
                Ok(())
            }
        }
    }

    /// Writes what has been gathered.
    fn poll_write(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let first = self.buffer.get(self.place..).unwrap_or_default();
            let written = if !self.data.is_empty() || !self.tail.is_empty() {
                let slices = [first, &self.data, self.tail].map(IoSlice::new);
                let from = usize::from(first.is_empty());
                let slices = slices.get(from..).unwrap_or_default();
                ready!(Pin::new(&mut *stream).poll_write_vectored(context, slices))?
            } else if !first.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(context, first))?
            } else {
                break;
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written = self.written.wrapping_add(u64::try_from(written).unwrap_or(0));
            if !stream.is_plain() {
                self.state = State::Unflushed;
            }
            self.advance(written);
        }
        self.buffer.clear();
        self.place = 0;
        if self.state == State::Unflushed {
            ready!(Pin::new(stream).poll_flush(context))?;
            self.state = State::Open;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let first = written.min(self.buffer.len().saturating_sub(self.place));
        self.place += first;
        let data = (written - first).min(self.data.len());
        self.data.advance(data);
        self.tail = self.tail.get(written - first - data..).unwrap_or_default();
    }
}

/// The trailers that a head announces: no others are sent.
fn announced(fields: &HeaderMap) -> Vec<HeaderName> {
    let lines = fields.get_all(TRAILER).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()).collect()
}

fn only(mut trailers: HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let others: Vec<_> = trailers.keys().filter(|name| !names.contains(name)).cloned().collect();
    others.iter().for_each(|name| drop(trailers.remove(name)));
    trailers
}

fn broken(what: &str) -> Failure {
    Failure::Broken(io::Error::other(format!("the body of the request is {what}")))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
