//! A body that takes blocking to make, as the bytes of a file do.
//!
//! Each chunk is made on the runtime's blocking pool, and only when it is asked for: whoever reads
//! slowly has one chunk waiting, and a disk that is slow holds up no worker.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Duration;

use super::BodyError;
use crate::deadline::Deadline;

/// The most room that a chunk has.
const ROOM_BYTES: usize = 64 << 10;

/// Where chunks come from.
pub trait Chunks: Send {
    /// The next chunk, not empty; none at the end. May block. `room` is empty, and made by the thread that
    /// drops the chunk: allocators keep what other threads free.
    ///
    /// # Errors
    ///
    /// What keeps it from being made. Nothing is asked for after that.
    fn next(&mut self, room: Vec<u8>) -> io::Result<Option<Bytes>>;
}

/// A body of chunks that take blocking.
#[must_use]
pub struct FileBody {
    state: State,
    /// How many bytes are still to come; unknown if that is seen at the end.
    left: Option<u64>,
    /// The most that a chunk may have.
    most: usize,
    /// The longest that a chunk is waited for.
    patience: Duration,
    silence: Deadline,
}

enum State {
    Waiting(Box<dyn Chunks>),
    Reading(JoinHandle<Read>),
    Over,
}

/// Where more chunks come from, and the one that was asked for.
type Read = (Box<dyn Chunks>, io::Result<Option<Bytes>>);

impl FileBody {
    /// What these chunks are, of so many bytes together if that is known. Each may take as long as
    /// `patience`.
    pub fn new(chunks: Box<dyn Chunks>, length: Option<u64>, patience: Duration) -> Self {
        let state = if length == Some(0) { State::Over } else { State::Waiting(chunks) };
        Self { state, left: length, most: ROOM_BYTES, patience, silence: Deadline::default() }
    }

    /// Chunks may have so many bytes from now on.
    pub fn limit(&mut self, bytes: usize) {
        self.most = bytes.min(ROOM_BYTES);
    }

    /// The room for the next chunk.
    fn room(&self) -> Vec<u8> {
        let left = self.left.and_then(|left| usize::try_from(left).ok());
        Vec::with_capacity(left.unwrap_or(self.most).min(self.most))
    }

    /// Counts a chunk. More than was announced must not pass: the client would take it for the next
    /// response.
    fn take(&mut self, chunk: Bytes) -> Result<Frame<Bytes>, BodyError> {
        if let Some(left) = self.left {
            let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let Some(left) = left.checked_sub(bytes) else {
                return Err(self.fail(io::ErrorKind::InvalidData.into()));
            };
            self.left = Some(left);
            if left == 0 {
                self.state = State::Over;
            }
        }
        Ok(Frame::data(chunk))
    }

    fn fail(&mut self, error: io::Error) -> BodyError {
        self.state = State::Over;
        BodyError::File(error)
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let State::Waiting(_) = self.state
            && let State::Waiting(mut chunks) = std::mem::replace(&mut self.state, State::Over)
        {
            let room = self.room();
            self.state = State::Reading(spawn_blocking(move || {
                let next = chunks.next(room);
                (chunks, next)
            }));
        }
        let this = &mut *self;
        let State::Reading(reading) = &mut this.state else { return Poll::Ready(None) };
        let Poll::Ready(read) = Pin::new(reading).poll(context) else {
            if !this.silence.is_set() {
                this.silence.set(this.patience);
            }
            ready!(this.silence.poll(context));
            return Poll::Ready(Some(Err(this.fail(io::ErrorKind::TimedOut.into()))));
        };
        this.silence.clear();
        Poll::Ready(match read {
            Ok((chunks, Ok(Some(chunk)))) => {
                this.state = State::Waiting(chunks);
                Some(this.take(chunk))
            }
            Ok((_, Ok(None))) if this.left.is_some() => {
                Some(Err(this.fail(io::ErrorKind::UnexpectedEof.into())))
            }
            Ok((_, Ok(None))) => {
                this.state = State::Over;
                None
            }
            Ok((_, Err(error))) => Some(Err(this.fail(error))),
            Err(gone) => Some(Err(this.fail(io::Error::other(gone)))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        // What has not begun need not; what has ends with its chunk, and closes the file.
        if let State::Reading(reading) = &self.state {
            reading.abort();
        }
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileBody").field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    struct Given(Vec<io::Result<Option<Bytes>>>);

    impl Chunks for Given {
        fn next(&mut self, _room: Vec<u8>) -> io::Result<Option<Bytes>> {
            self.0.remove(0)
        }
    }

    async fn read(
        chunks: Vec<io::Result<Option<&'static str>>>,
        length: Option<u64>,
    ) -> Result<Bytes, BodyError> {
        let bytes =
            |chunk: Option<&'static str>| chunk.map(|text| Bytes::from_static(text.as_bytes()));
        let chunks = chunks.into_iter().map(|chunk| chunk.map(bytes)).collect();
        let patience = Duration::from_mins(1);
        FileBody::new(Box::new(Given(chunks)), length, patience)
            .collect()
            .await
            .map(|all| all.to_bytes())
    }

    #[tokio::test]
    async fn chunks_are_asked_for_until_they_are_over() {
        let chunks = || vec![Ok(Some("ab")), Ok(Some("c")), Ok(None)];
        assert_eq!(read(chunks(), None).await.unwrap(), "abc");
        assert_eq!(read(chunks(), Some(3)).await.unwrap(), "abc");
        assert_eq!(read(Vec::new(), Some(0)).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_chunk_that_does_not_come_is_an_error() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Chunks for Stuck {
            fn next(&mut self, _room: Vec<u8>) -> io::Result<Option<Bytes>> {
                let _gone = self.0.recv();
                Ok(None)
            }
        }
        let (free, stuck) = std::sync::mpsc::channel();
        let body = FileBody::new(Box::new(Stuck(stuck)), None, Duration::from_millis(10));
        let BodyError::File(error) = body.collect().await.unwrap_err() else { unreachable!() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(free);
    }

    #[tokio::test]
    async fn what_is_shorter_or_longer_than_announced_is_an_error() {
        let chunks = || vec![Ok(Some("ab")), Ok(Some("c")), Ok(None)];
        for length in [1, 4] {
            assert!(read(chunks(), Some(length)).await.is_err(), "{length}");
        }
        let broken = vec![Ok(Some("ab")), Err(io::ErrorKind::Other.into())];
        assert!(read(broken, None).await.is_err());
    }
}
