//! One connection to a server, with one request in flight at most.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::wire::{Broken, Progress, Reply, Request};
use crate::metrics::{ServerConnection, ServerMetrics};
use crate::socket::Stream;

/// What a buffer begins with, and is cut back to.
const BUFFER: usize = 4 << 10;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    _open: ServerConnection,
}

/// Why there is no answer over a connection, which is to be dropped then.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It broke before a byte of the answer was there.
    #[error("the connection broke before an answer")]
    Unanswered(#[source] io::Error),
    /// It broke within the answer.
    #[error("the connection broke within an answer")]
    Cut(#[source] io::Error),
    /// What came is no answer.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Connection {
    /// Connects over TCP.
    pub(super) async fn tcp(address: SocketAddr, metrics: &Arc<ServerMetrics>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(Stream::Tcp(stream), metrics))
    }

    /// Connects to a Unix socket.
    pub(super) async fn unix(path: &Path, metrics: &Arc<ServerMetrics>) -> io::Result<Self> {
        Ok(Self::new(Stream::Unix(UnixStream::connect(path).await?), metrics))
    }

    fn new(stream: Stream, metrics: &Arc<ServerMetrics>) -> Self {
        Self { stream, buffer: Vec::with_capacity(BUFFER), _open: metrics.connection() }
    }

    /// Whether nothing has come since the last answer: neither an end nor a byte that nobody asked for,
    /// which would be taken for the next answer. The system is asked, because the runtime may not
    /// have noticed yet.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.stream, &mut byte[..], flags), Err(Errno::AGAIN))
    }

    /// Asks, and reads the answer. The connection must not be used again if this fails, or is not
    /// waited for to its end.
    pub(super) async fn ask(
        &mut self,
        request: &Request<'_>,
        key: &str,
        max_value: usize,
    ) -> Result<Reply, Fault> {
        self.buffer.clear();
        request.write(key, &mut self.buffer);
        self.stream.write_all(&self.buffer).await.map_err(Fault::Unanswered)?;
        self.buffer.clear();
        loop {
            match request.read(key, &self.buffer, max_value)? {
                Progress::Complete(reply) => {
                    self.buffer.clear();
                    self.buffer.shrink_to(BUFFER);
                    return Ok(reply);
                }
                Progress::More(bytes) => self.fill(bytes + 1).await?,
            }
        }
    }

    /// Reads until there may be so many bytes.
    async fn fill(&mut self, most: usize) -> Result<(), Fault> {
        let before = self.buffer.len();
        // What is announced need not come: room is made for what does, and a bit.
        self.buffer.reserve((most - before.min(most)).min(before.max(BUFFER)));
        let room = u64::try_from(most.saturating_sub(before)).unwrap_or(u64::MAX);
        let read = (&mut self.stream).take(room).read_buf(&mut self.buffer).await;
        let broke = |error| match before {
            0 => Fault::Unanswered(error),
            _ => Fault::Cut(error),
        };
        match read {
            Ok(0) => Err(broke(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(broke(error)),
        }
    }
}
