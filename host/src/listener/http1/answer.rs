//! Writing an answer: its head, which says how it ends, and its body as it comes.

use std::error::Error;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode, response};
use http_body::{Body, Frame};

use super::line::Line;
use super::{Asked, What, is_interim, says};
use crate::listener::date;
use crate::turn;
use crate::wire::Reason;
use crate::wire::encode::{chunk_size, field, last_chunk};

/// A chunk of this or less is copied behind what is there to be written: another piece to write costs more.
const SMALL_BYTES: usize = 4 << 10;

/// What is gathered before it is written.
const GATHERED_BYTES: usize = 16 << 10;

/// An answer that is being written.
pub(super) struct Answer<B> {
    /// Its source, until that has come to its end.
    body: Option<B>,
    end: End,
    /// What is to be written first, and how much of it was.
    gathered: Vec<u8>,
    gone: usize,
    /// What is to be written then, and behind it.
    chunk: Bytes,
    behind: &'static [u8],
    /// Something was written of which the stream may keep a part.
    unflushed: bool,
    turn: turn::End,
    /// Why there is no more of it, which is to be seen once that is written which there is.
    broken: Option<io::Error>,
    /// Whether another request may follow.
    more: bool,
}

/// How the client learns where an answer ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It has no body.
    None,
    /// So much is to come.
    Length(u64),
    /// By its last chunk; whether trailers were announced.
    Chunks(bool),
    /// By that of the connection.
    Closing,
}

impl<B> Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Begins with the head of a response.
    ///
    /// # Errors
    ///
    /// That it is not a final one.
    pub(super) fn begin(response: Response<B>, asked: Asked, leaving: bool) -> io::Result<Self> {
        let (parts, body) = response.into_parts();
        let more = asked.more && !leaving;
        let mut gathered = Vec::with_capacity(room(&parts, &body));
        let (end, more) = head(&mut gathered, &parts, &body, asked, more)?;
        let body = Some(body).filter(|_| end != End::None);
        let (chunk, behind) = Default::default();
        Ok(Self {
            body,
            end,
            gathered,
            gone: 0,
            chunk,
            behind,
            unflushed: false,
            turn: turn::End::default(),
            broken: None,
            more,
        })
    }

    /// Writes it. Whether another request may follow.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        line: &Line,
    ) -> Poll<io::Result<bool>> {
        ready!(line.poll_interim(context))?;
        loop {
            self.gather(context);
            ready!(self.turn.poll(context));
            while self.has_unwritten() {
                let count = ready!(self.poll_some(context, line))?;
                self.written(count);
                self.unflushed = true;
            }
            if self.unflushed {
                ready!(line.poll_flush(context))?;
                self.unflushed = false;
                self.gathered.clear();
                self.gone = 0;
                line.flushed();
            } else if self.body.is_some() {
                return Poll::Pending;
            }
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Err(error));
            }
            if self.body.is_none() {
                line.busy.set(false);
                return Poll::Ready(Ok(self.more));
            }
        }
    }

    fn has_unwritten(&self) -> bool {
        self.gone < self.gathered.len() || !self.chunk.is_empty() || !self.behind.is_empty()
    }

    fn poll_some(&self, context: &mut Context<'_>, line: &Line) -> Poll<io::Result<usize>> {
        let gathered = self.gathered.get(self.gone..).unwrap_or_default();
        if self.chunk.is_empty() && self.behind.is_empty() {
            return line.poll_write(context, &[IoSlice::new(gathered)]);
        }
        if gathered.is_empty() && self.behind.is_empty() {
            return line.poll_write(context, &[IoSlice::new(&self.chunk)]);
        }
        let slices = [gathered, &*self.chunk, self.behind].map(IoSlice::new);
        line.poll_write(context, &slices)
    }

    fn written(&mut self, mut count: usize) {
        let gathered = count.min(self.gathered.len() - self.gone);
        self.gone += gathered;
        count -= gathered;
        let chunk = count.min(self.chunk.len());
        self.chunk.advance(chunk);
        count -= chunk;
        self.behind = self.behind.get(count..).unwrap_or_default();
    }

    /// Takes of the body what is there, as long as there is room.
    fn gather(&mut self, context: &mut Context<'_>) {
        while let Some(body) = &mut self.body
            && self.chunk.is_empty()
            && self.gathered.len() < GATHERED_BYTES
        {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else { break };
            match frame {
                Some(Ok(frame)) => {
                    let over = body.is_end_stream();
                    self.add(frame);
                    if over {
                        self.end(None);
                    }
                }
                Some(Err(error)) => {
                    self.body = None;
                    self.broken = Some(io::Error::other(error));
                }
                None => self.end(None),
            }
        }
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.data(data),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    // Nothing comes after them.
                    self.end(Some(&trailers));
                }
            }
        }
    }

    fn data(&mut self, mut data: Bytes) {
        if let End::Length(left) = &mut self.end {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        if data.is_empty() {
            return;
        }
        let chunked = matches!(self.end, End::Chunks(_));
        if chunked {
            chunk_size(&mut self.gathered, data.len());
        }
        let behind: &[u8] = if chunked { b"\r\n" } else { b"" };
        if data.len() <= SMALL_BYTES {
            self.gathered.extend_from_slice(&data);
            self.gathered.extend_from_slice(behind);
        } else {
            (self.chunk, self.behind) = (data, behind);
        }
    }

    /// The body has come to its end, with these trailers.
    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.body.take().is_none() {
            return;
        }
        match self.end {
            // The client was promised more.
            End::Length(1..) => self.broken = Some(io::ErrorKind::UnexpectedEof.into()),
            End::Chunks(announced) if self.chunk.is_empty() => {
                last_chunk(&mut self.gathered, trailers.filter(|_| announced));
            }
            End::Chunks(_) => self.behind = b"\r\n0\r\n\r\n",
            End::Length(0) | End::None | End::Closing => {}
        }
    }
}

/// About as many bytes as a head has, with a small body.
fn room<B: Body>(parts: &response::Parts, body: &B) -> usize {
    const FIELD_BYTES: usize = 48;
    const OTHER_BYTES: usize = 128;
    let small = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let small = small.filter(|bytes| *bytes <= SMALL_BYTES).unwrap_or_default();
    parts.headers.len() * FIELD_BYTES + OTHER_BYTES + small
}

/// Writes a head: the fields as they are, then what says where the body ends, and the date, if they do not
/// (RFC 9112, 6.3 and 9.3). How it ends, and whether another request may follow.
fn head<B: Body>(
    out: &mut Vec<u8>,
    parts: &response::Parts,
    body: &B,
    asked: Asked,
    more: bool,
) -> io::Result<(End, bool)> {
    let status = parts.status;
    if is_interim(status) {
        return Err(io::Error::other("no response but an interim one"));
    }
    let tunnels = asked.what == What::Tunnel && status.is_success();
    let switches = tunnels || status == StatusCode::SWITCHING_PROTOCOLS;
    let bodyless = switches || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let for_head = asked.what == What::Head;
    status_line(out, parts, asked.old);
    let (mut length, mut dated, mut announced) = (None, false, false);
    let mut said = Persistence::default();
    let chunks = !asked.old && !for_head && !bodyless;
    let known = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    for (name, value) in &parts.headers {
        match *name {
            CONTENT_LENGTH => {
                // What a HEAD is told is the length that it would be.
                let told = (!bodyless || for_head) && !switches && length.is_none();
                let said = value.to_str().ok().and_then(|text| text.parse().ok());
                let fits = for_head || known.is_none() || known == said;
                if !told || !fits {
                    continue;
                }
                length = said;
            }
            TRANSFER_ENCODING => continue,
            CONNECTION => said.add(value),
            TRAILER if !chunks => continue,
            TRAILER => announced = true,
            DATE => dated = true,
            _ => {}
        }
        field(out, name.as_str(), value.as_bytes());
    }
    let mut more = more && !switches && !said.close;
    let end = match (length.or(known), bodyless || for_head) {
        (_, true) => End::None,
        (Some(length), false) => End::Length(length),
        (None, false) if chunks => End::Chunks(announced),
        (None, false) => End::Closing,
    };
    match end {
        End::Length(_) if length.is_some() => {}
        // Writing to memory does not fail.
        End::Length(bytes) => drop(write!(out, "content-length: {bytes}\r\n")),
        // A length is told of what has one, but not of nothing.
        End::None if for_head && !bodyless && length.is_none() => {
            if let Some(bytes) = known.filter(|bytes| *bytes > 0) {
                drop(write!(out, "content-length: {bytes}\r\n"));
            }
        }
        End::Chunks(_) => field(out, TRANSFER_ENCODING.as_str(), b"chunked"),
        End::None => {}
        End::Closing => more = false,
    }
    if !switches {
        said.write(out, asked.old, more);
    }
    if !dated {
        date::with_now(|now| field(out, DATE.as_str(), now.as_bytes()));
    }
    out.extend_from_slice(b"\r\n");
    Ok((end, more))
}

fn status_line(out: &mut Vec<u8>, parts: &response::Parts, old: bool) {
    let reason = parts.extensions.get::<Reason>();
    if parts.status == StatusCode::OK && reason.is_none() && !old {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(match reason {
        Some(Reason(reason)) => reason,
        // Many parsers expect one.
        None => parts.status.canonical_reason().unwrap_or("<none>").as_bytes(),
    });
    out.extend_from_slice(b"\r\n");
}

/// What a response says of its connection.
#[derive(Default)]
struct Persistence {
    close: bool,
    keep_alive: bool,
}

impl Persistence {
    fn add(&mut self, value: &HeaderValue) {
        self.close |= says(value, "close");
        self.keep_alive |= says(value, "keep-alive");
    }

    /// Says whether the connection stays open where its client would not know.
    fn write(&self, out: &mut Vec<u8>, old: bool, more: bool) {
        match (old, more) {
            (true, true) if !self.keep_alive => field(out, CONNECTION.as_str(), b"keep-alive"),
            (false, false) if !self.close => field(out, CONNECTION.as_str(), b"close"),
            _ => {}
        }
    }
}
