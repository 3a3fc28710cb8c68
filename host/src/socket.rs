//! One enum for every kind of byte stream, downstream and upstream.
//!
//! A new kind, such as TLS, is a case more here and nowhere else.

pub mod bind;
pub mod path;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net as unix;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// How many bytes went through a stream in one direction.
#[derive(Debug, Default)]
pub struct Tally(Cell<u64>);

impl Tally {
    /// Counts some.
    pub fn add(&self, bytes: usize) {
        self.0.set(self.0.get().wrapping_add(u64::try_from(bytes).unwrap_or(0)));
    }

    /// How many there were.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.get()
    }
}

/// What a stream has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peeked {
    /// Nothing yet.
    Nothing,
    /// Bytes.
    Bytes,
    /// Its end.
    End,
}

/// An open byte stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A byte stream that is on its way to another thread's runtime; non-blocking.
#[derive(Debug)]
pub enum Unregistered {
    /// TCP.
    Tcp(net::TcpStream),
    /// A Unix socket.
    Unix(unix::UnixStream),
}

impl Unregistered {
    /// The stream within the runtime of the thread that calls.
    ///
    /// # Errors
    ///
    /// If the system gives no room for it in the event queue.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Stream {
    /// Takes it out of its runtime.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn unregister(self) -> io::Result<Unregistered> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Unregistered::Tcp),
            Self::Unix(stream) => stream.into_std().map(Unregistered::Unix),
        }
    }

    /// Where its client has connected to, if that is an address.
    #[must_use]
    pub fn local_address(&self) -> Option<net::SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Whether closing it, by whatever way, resets the connection, so that the peer can tell that
    /// something is missing.
    pub fn resets(&self, resets: bool) {
        if let Self::Tcp(stream) = self {
            // Without it the peer sees an orderly end.
            let _ = SockRef::from(stream).set_linger(resets.then_some(Duration::ZERO));
        }
    }

    /// Ready when it may be read, or written.
    pub fn poll_ready(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        match (self, interest.is_writable()) {
            (Self::Tcp(stream), false) => stream.poll_read_ready(context),
            (Self::Tcp(stream), true) => stream.poll_write_ready(context),
            (Self::Unix(stream), false) => stream.poll_read_ready(context),
            (Self::Unix(stream), true) => stream.poll_write_ready(context),
        }
    }

    /// Does something to it that a system call of ours does. If that would block, it counts as not ready.
    ///
    /// # Errors
    ///
    /// That it would block, and those of what is done.
    pub fn try_io<T>(
        &self,
        interest: Interest,
        attempt: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, attempt),
            Self::Unix(stream) => stream.try_io(interest, attempt),
        }
    }

    /// Whether the connection is known to be broken, as by a reset.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }

    /// Waits until the connection is broken, as by a reset.
    pub async fn fails(&self) {
        // If that cannot be known it is as good as broken.
        let _ = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
        };
    }

    /// Waits for bytes, and copies what there is without taking it; nothing is its end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn look(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        loop {
            poll_fn(|context| self.poll_ready(context, Interest::READABLE)).await?;
            let looked = self.try_io(Interest::READABLE, || {
                recv(self, &mut *bytes, flags).map(|(_, count)| count).map_err(io::Error::from)
            });
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return looked,
            }
        }
    }

    /// What there is to be read. Asks the system, which knows before the runtime does.
    #[must_use]
    pub fn peek(&self) -> Peeked {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = match self {
            Self::Tcp(stream) => recv(stream, &mut byte, flags),
            Self::Unix(stream) => recv(stream, &mut byte, flags),
        };
        match peeked {
            Err(Errno::AGAIN) => Peeked::Nothing,
            Ok((_, 1..)) => Peeked::Bytes,
            Ok(_) | Err(_) => Peeked::End,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
