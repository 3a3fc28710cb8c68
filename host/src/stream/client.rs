//! The client's side of a connection, as long as no upstream is at its other end.

use std::future::{pending, poll_fn};
use std::io;
use std::time::Duration;

use bytes::BufMut as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::time::{Instant, timeout, timeout_at};

use crate::socket::Stream;

/// The most that is read at once.
const READ_BYTES: usize = 16 << 10;

/// For how long, and how much of it, what a client still sends is read when it has got its last byte: a
/// connection that is closed with bytes unread is reset, and that byte may be lost.
const LINGER: Duration = Duration::from_secs(1);
/// See [`LINGER`].
const LINGER_BYTES: u64 = 64 << 10;

/// A client.
pub(super) struct Client {
    /// There until it is relayed.
    stream: Option<Stream>,
    /// No more will come.
    ended: bool,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream: Some(stream), ended: false }
    }

    /// Whether no more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its connection is known to be broken.
    pub(super) fn is_gone(&self) -> bool {
        self.stream.as_ref().is_none_or(Stream::has_failed)
    }

    /// Waits until its connection is broken, as by a reset.
    pub(super) async fn breaks(&self) {
        match &self.stream {
            Some(stream) => stream.fails().await,
            None => pending().await,
        }
    }

    /// Waits for bytes until a time, and adds as many as there is room for. False if it is too late.
    pub(super) async fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        room: usize,
        until: Instant,
    ) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(true) };
        let room = room.min(READ_BYTES);
        let read = async {
            // Who sends nothing has no room kept for it.
            poll_fn(|context| stream.poll_ready(context, Interest::READABLE)).await?;
            bytes.reserve(room);
            stream.read_buf(&mut bytes.limit(room)).await
        };
        match timeout_at(until, read).await {
            Ok(count) => {
                self.ended = count? == 0;
                Ok(true)
            }
            Err(_elapsed) => Ok(false),
        }
    }

    /// Sends it something until a time. False if it does not take it.
    pub(super) async fn send(&mut self, bytes: &[u8], until: Instant) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(true) };
        match timeout_at(until, stream.write_all(bytes)).await {
            Ok(written) => written.map(|()| true),
            Err(_elapsed) => Ok(false),
        }
    }

    /// The stream, to be relayed.
    pub(super) fn take(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// The stream, when that is over and nothing is missing.
    pub(super) fn put(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// Has it read what it has got, and closes.
    pub(super) async fn leave(self) {
        if let Some(stream) = self.stream {
            // It is of no interest whether it has.
            let _ = timeout(LINGER, linger(stream)).await;
        }
    }
}

async fn linger(mut stream: Stream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES);
    let mut waste = [0; 512];
    while rest.read(&mut waste).await? > 0 {}
    Ok(())
}
