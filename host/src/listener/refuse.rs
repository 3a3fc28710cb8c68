//! What a client gets whose address has as many connections as it may.
//!
//! It is told in HTTP, before it has asked anything: so it can tell a limit from a fault. For some
//! time what it sends is read, because a connection that is closed with bytes unread is reset, and
//! the answer may be lost. Only so many are told at a time; others are closed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::places::Seat;
use crate::socket::{Stream, Unregistered};

const ANSWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    server: linkspan\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 22\r\n\
    connection: close\r\n\
    \r\n\
    429 Too Many Requests\n";

/// How many are told at a time.
const MOST: usize = 128;

/// How long each of them is read from, and how much.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;

/// Those who are being told.
#[derive(Debug, Clone)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }

    /// Tells a client, in a task of its own, unless there are too many. Meanwhile it has this seat.
    pub(super) fn refuse(&self, stream: Unregistered, seat: Seat) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let Ok(stream) = stream.register() else { return };
        tokio::spawn(async move {
            tell(stream, ANSWER).await;
            drop((permit, seat));
        });
    }
}

/// Sends a client an answer, and closes when it has had time to read that.
pub(super) async fn tell(stream: Stream, answer: &[u8]) {
    // It is of no interest whether it has listened.
    let _ = timeout(LINGER, send(stream, answer)).await;
}

async fn send(mut stream: Stream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES);
    let mut waste = [0; 1024];
    while rest.read(&mut waste).await? > 0 {}
    Ok(())
}
