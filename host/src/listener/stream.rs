//! The stream beneath a downstream connection.
//!
//! Passes bytes through and counts them, gives up on a client that takes nothing, and writes the
//! one thing that hyper's server cannot: interim responses such as 103, which may go out only
//! where one response has ended and the next has not begun. This is also where requests will be
//! judged byte by byte before hyper sees them.
//!
//! hyper flushes the stream only when it has no bytes left to write. From the first attempt to
//! write until that flush the stream counts as busy: an interim response that comes then waits
//! for the flush, and is dropped if the final response comes first. Otherwise it goes out before
//! anything else that hyper writes. This holds unless hyper is told to flush pipelined responses
//! together (`pipeline_flush`).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Duration;

use crate::deadline::Deadline;
use crate::socket::{Stream, Tally};

/// The most bytes of interim responses that wait to be written.
const INTERIM_BYTES: usize = 64 * 1024;

/// A downstream connection's stream, to be given to hyper.
pub struct Downstream {
    stream: Stream,
    shared: Rc<Shared>,
    write_timeout: Duration,
    stalled: Deadline,
}

/// What else can be done with a [`Downstream`] that hyper owns. Clones share it.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

#[derive(Default)]
struct Shared {
    read: Tally,
    written: Tally,
    /// Set once the client has taken nothing for so long that it was given up.
    stalled: Cell<Option<Duration>>,
    /// hyper may have bytes left to write.
    busy: Cell<bool>,
    /// Interim responses that go out before anything else, and those that wait for a flush.
    next: RefCell<Vec<u8>>,
    waiting: RefCell<Vec<u8>>,
}

/// The interim responses to one request. To be dropped when its final response is there.
#[must_use]
pub struct Interim {
    shared: Rc<Shared>,
    wanted: bool,
}

impl Downstream {
    /// Wraps `stream`. Writing fails once the client has taken nothing for `write_timeout`.
    pub fn new(stream: Stream, write_timeout: Duration) -> (Self, Handle) {
        let shared = Rc::<Shared>::default();
        let handle = Handle(Rc::clone(&shared));
        (Self { stream, shared, write_timeout, stalled: Deadline::default() }, handle)
    }

    /// Writes what goes out before anything else.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.next.borrow().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let shared = Rc::clone(&self.shared);
        let mut next = shared.next.borrow_mut();
        while !next.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(context, &next);
            let written = ready!(self.watch(context, polled))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            next.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Counts what was written, and the time in which nothing was.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(result) => {
                self.stalled.clear();
                if let Ok(bytes) = &result {
                    self.shared.written.add(*bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.stalled.is_set() {
                    self.stalled.set(self.write_timeout);
                }
                ready!(self.stalled.poll(context));
                self.shared.stalled.set(Some(self.write_timeout));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.shared.read.add(buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.busy.set(true);
        ready!(self.poll_next(context))?;
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.busy.set(true);
        ready!(self.poll_next(context))?;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.next.borrow_mut().append(&mut self.shared.waiting.borrow_mut());
        ready!(self.poll_next(context))?;
        self.shared.busy.set(false);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Downstream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Handle {
    /// Bytes that the client has sent.
    pub fn read_bytes(&self) -> u64 {
        self.0.read.bytes()
    }

    /// Bytes that were sent to the client.
    pub fn written_bytes(&self) -> u64 {
        self.0.written.bytes()
    }

    /// How long the client has taken nothing, if it was given up for that.
    pub fn stalled(&self) -> Option<Duration> {
        self.0.stalled.get()
    }

    /// Whether bytes for the client wait to be written.
    pub fn is_busy(&self) -> bool {
        self.0.busy.get()
    }

    /// For the interim responses to a request of this version: HTTP/1.0 knows none.
    pub fn interim(&self, version: Version) -> Interim {
        Interim { shared: Rc::clone(&self.0), wanted: version > Version::HTTP_10 }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handle")
            .field("read_bytes", &self.read_bytes())
            .field("written_bytes", &self.written_bytes())
            .finish()
    }
}

impl Interim {
    /// Sends an interim response with these headers as they are, from within the request's own
    /// future. False if it was dropped: the client knows none, it is no interim response or
    /// one that hyper sends, or too many bytes wait already.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let ours = status.is_informational()
            && status != StatusCode::CONTINUE
            && status != StatusCode::SWITCHING_PROTOCOLS;
        if !self.wanted || !ours {
            return false;
        }
        let head = encode(status, headers);
        let mut next = self.shared.next.borrow_mut();
        let mut waiting = self.shared.waiting.borrow_mut();
        if next.len() + waiting.len() + head.len() > INTERIM_BYTES {
            return false;
        }
        if self.shared.busy.get() {
            waiting.extend_from_slice(&head);
        } else {
            next.extend_from_slice(&head);
        }
        true
    }
}

impl Drop for Interim {
    fn drop(&mut self) {
        if self.wanted {
            self.shared.waiting.borrow_mut().clear();
        }
    }
}

fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

    fn pair() -> (Downstream, Handle, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (downstream, handle) = Downstream::new(Stream::Unix(ours), PATIENCE);
        (downstream, handle, theirs)
    }

    fn hint(interim: &Interim) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("link", "</a.css>".parse().unwrap());
        interim.send(StatusCode::EARLY_HINTS, &headers)
    }

    /// Writes `x` until the client has to read first.
    async fn fill(downstream: &mut Downstream) -> usize {
        let chunk = [b'x'; 4096];
        let mut filled = 0;
        loop {
            let once = poll_fn(|context| {
                Poll::Ready(Pin::new(&mut *downstream).poll_write(context, &chunk))
            });
            match once.await {
                Poll::Ready(written) => filled += written.unwrap(),
                Poll::Pending => return filled,
            }
        }
    }

    async fn everything(mut client: UnixStream) -> String {
        let mut seen = String::new();
        client.read_to_string(&mut seen).await.unwrap();
        seen
    }

    #[tokio::test]
    async fn an_interim_response_goes_out_between_responses() {
        let (mut downstream, handle, client) = pair();
        downstream.write_all(b"first").await.unwrap();
        downstream.flush().await.unwrap();

        let interim = handle.interim(Version::HTTP_11);
        assert!(hint(&interim));
        assert!(!interim.send(StatusCode::OK, &HeaderMap::new()));
        drop(interim);
        downstream.write_all(b"second").await.unwrap();
        downstream.flush().await.unwrap();

        let seen = u64::try_from("firstsecond".len() + HINT.len()).unwrap();
        assert_eq!(handle.written_bytes(), seen);
        drop(downstream);
        assert_eq!(everything(client).await, format!("first{HINT}second"));
    }

    #[tokio::test]
    async fn http_1_0_clients_get_none() {
        let (mut downstream, handle, client) = pair();
        assert!(!hint(&handle.interim(Version::HTTP_10)));
        downstream.flush().await.unwrap();
        drop(downstream);
        assert_eq!(everything(client).await, "");
    }

    #[tokio::test]
    async fn an_interim_response_never_splits_a_response() {
        let (mut downstream, handle, client) = pair();
        let filled = fill(&mut downstream).await;
        let interim = handle.interim(Version::HTTP_11);
        assert!(hint(&interim));
        let reader = tokio::spawn(everything(client));
        downstream.write_all(b"rest").await.unwrap();
        downstream.flush().await.unwrap();
        drop(interim);
        drop(downstream);
        assert_eq!(reader.await.unwrap(), format!("{}rest{HINT}", "x".repeat(filled)));
    }

    #[tokio::test]
    async fn an_interim_response_that_came_too_late_is_dropped() {
        let (mut downstream, handle, client) = pair();
        let filled = fill(&mut downstream).await;
        let interim = handle.interim(Version::HTTP_11);
        assert!(hint(&interim));
        drop(interim);
        let reader = tokio::spawn(everything(client));
        downstream.write_all(b"final").await.unwrap();
        downstream.flush().await.unwrap();
        drop(downstream);
        assert_eq!(reader.await.unwrap(), format!("{}final", "x".repeat(filled)));
    }

    #[tokio::test]
    async fn waiting_interim_responses_are_bounded() {
        let (_downstream, handle, _client) = pair();
        let interim = handle.interim(Version::HTTP_11);
        let accepted = (0..10_000).take_while(|_| hint(&interim)).count();
        assert_eq!(accepted, INTERIM_BYTES / HINT.len());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut downstream, _handle, _client) = pair();
        tokio::time::pause();
        fill(&mut downstream).await;
        let start = tokio::time::Instant::now();
        let error = downstream.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test]
    async fn bytes_are_counted() {
        let (mut downstream, handle, mut client) = pair();
        client.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(downstream.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(handle.read_bytes(), 5);
    }
}
