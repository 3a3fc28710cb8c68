//! A tunnel whose one end is a stream of HTTP/2.
//!
//! What comes from one side goes to the other, until both have ended, as in every
//! [tunnel](crate::tunnel). What the client sends gives it room for more when the upstream has taken it,
//! and of the upstream is read what the client has room for.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::translated;
use super::websocket::Challenge;
use crate::body::Body;
use crate::deadline::Deadline;
use crate::listener::http2::Lane;
use crate::relay::error::Error;
use crate::relay::reply;
use crate::relay::switch::{Agreement, Switch, cut};
use crate::socket::Stream;
use crate::tunnel::{Ended, Side};

/// The most that is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// Keeps a tunnel to its end, once the upstream has met the challenge.
pub(super) async fn keep(
    lane: &Lane,
    agreement: Agreement,
    challenge: Challenge,
    (response, received): (Response<Body>, RecvStream),
) {
    let (mut head, _) = response.into_parts();
    let Agreement { switch, mut record } = agreement;
    if !challenge.is_met(&mut head.headers) {
        let error = Error::Malformed("the upstream's Sec-WebSocket-Accept is wrong".into());
        let refusal = reply::error(&error).map(|_text| ());
        record.head(refusal.status());
        record.fail(error);
        let _ = lane.respond(translated(refusal), true);
        return;
    }
    head.status = StatusCode::OK;
    record.head(head.status);
    let head = translated(Response::from_parts(head, ()));
    let Ok(stream) = lane.respond(head, false) else { return };
    let Switch { upstream, silence, limit } = switch;
    upstream.stream.resets(true);
    let _open = record.tunnel();
    let mut tunnel = Tunnel {
        up: Up { received, waiting: Bytes::new(), state: State::Open },
        down: Down { stream, waiting: upstream.early, over: false },
        upstream: upstream.stream,
    };
    let mut deadline = Deadline::default();
    deadline.set(silence);
    let ended = poll_fn(|context| {
        let mut moved = false;
        let polled = tunnel.poll(context, &mut |side, bytes| {
            moved = true;
            record.passed(side, bytes);
        });
        if moved {
            deadline.set(silence);
        }
        if polled.is_ready() {
            return polled;
        }
        deadline.poll(context).map(|()| Ended::Silent)
    });
    let ended = ended.await;
    if ended == Ended::Complete {
        tunnel.upstream.resets(false);
        lane.line().answered();
    } else {
        tunnel.down.stream.send_reset(Reason::CANCEL);
    }
    let endpoint = record.endpoint.as_ref().map(|endpoint| &**endpoint.label());
    let cut = cut(ended, endpoint.unwrap_or("the upstream"), &limit);
    record.tunnel_ended(cut);
}

struct Tunnel {
    up: Up,
    down: Down,
    upstream: Stream,
}

/// From the client.
struct Up {
    received: RecvStream,
    waiting: Bytes,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    /// The client has ended its side.
    Ending,
    /// The upstream knows.
    Over,
}

/// To the client.
struct Down {
    stream: SendStream<Bytes>,
    waiting: Bytes,
    /// The upstream has ended its side, and the client was told.
    over: bool,
}

type Passed<'p> = &'p mut dyn FnMut(Side, usize);

impl Tunnel {
    fn poll(&mut self, context: &mut Context<'_>, passed: Passed<'_>) -> Poll<Ended> {
        if self.down.stream.poll_reset(context).is_ready() {
            return Poll::Ready(broken(Side::Downstream, io::ErrorKind::ConnectionReset));
        }
        let up = self.up.poll(context, &mut self.upstream, passed);
        let down = self.down.poll(context, &mut self.upstream, passed);
        for polled in [&up, &down] {
            if let Poll::Ready(Err(ended)) = polled {
                return Poll::Ready(*ended);
            }
        }
        if up.is_ready() && down.is_ready() { Poll::Ready(Ended::Complete) } else { Poll::Pending }
    }
}

fn broken(side: Side, kind: io::ErrorKind) -> Ended {
    Ended::Broken(side, kind)
}

impl Up {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        upstream: &mut Stream,
        passed: Passed<'_>,
    ) -> Poll<Result<(), Ended>> {
        let failed = |error: io::Error| broken(Side::Upstream, error.kind());
        loop {
            while !self.waiting.is_empty() {
                let polled = Pin::new(&mut *upstream).poll_write(context, &self.waiting);
                let count = ready!(polled).map_err(failed)?;
                if count == 0 {
                    return Poll::Ready(Err(broken(Side::Upstream, io::ErrorKind::WriteZero)));
                }
                let _ = self.waiting.split_to(count.min(self.waiting.len()));
                // A stream that is over has no window any more.
                let _ = self.received.flow_control().release_capacity(count);
                passed(Side::Downstream, count);
            }
            ready!(Pin::new(&mut *upstream).poll_flush(context)).map_err(failed)?;
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(Pin::new(&mut *upstream).poll_shutdown(context)).map_err(failed)?;
                    self.state = State::Over;
                }
                State::Open => match ready!(self.received.poll_data(context)) {
                    Some(Ok(data)) => self.waiting = data,
                    None => self.state = State::Ending,
                    Some(Err(_)) => {
                        let kind = io::ErrorKind::ConnectionReset;
                        return Poll::Ready(Err(broken(Side::Downstream, kind)));
                    }
                },
            }
        }
    }
}

thread_local! {
    /// What is read, until it is known how much that is.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

/// What the upstream has sent; nothing at its end.
fn read(context: &mut Context<'_>, upstream: &mut Stream) -> Poll<Result<Bytes, Ended>> {
    PIECE.with_borrow_mut(|piece| {
        let mut buffer = ReadBuf::new(piece);
        let polled = Pin::new(upstream).poll_read(context, &mut buffer);
        ready!(polled).map_err(|error| broken(Side::Upstream, error.kind()))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
}

impl Down {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        upstream: &mut Stream,
        passed: Passed<'_>,
    ) -> Poll<Result<(), Ended>> {
        let gone = || broken(Side::Downstream, io::ErrorKind::ConnectionReset);
        while !self.over {
            if self.waiting.is_empty() {
                self.waiting = ready!(read(context, upstream))?;
                if self.waiting.is_empty() {
                    self.stream.send_data(Bytes::new(), true).map_err(|_gone| gone())?;
                    self.over = true;
                    break;
                }
            }
            if self.stream.capacity() == 0 {
                self.stream.reserve_capacity(self.waiting.len());
            }
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Err(gone())),
                }
            }
            let room = self.stream.capacity().min(self.waiting.len());
            let data = self.waiting.split_to(room);
            passed(Side::Upstream, data.len());
            self.stream.send_data(data, false).map_err(|_gone| gone())?;
        }
        Poll::Ready(Ok(()))
    }
}
