//! One enum for every kind of byte stream, downstream and upstream.
//!
//! What goes on below TLS is asked of the stream that it is spoken over: resets, errors, addresses. The
//! kernel moves bytes only between streams that are what they seem ([`is_plain`](Stream::is_plain)).

pub mod bind;
pub mod path;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net as unix;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

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
    /// TLS over one of the others.
    Tls(Box<TlsStream<Self>>),
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
    /// The system's, and that TLS is spoken over it, whose state cannot be handed over.
    pub fn unregister(self) -> io::Result<Unregistered> {
        match self {
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
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
            Self::Tls(stream) => stream.get_ref().0.local_address(),
        }
    }

    /// Whether closing it, by whatever way, resets the connection, so that the peer can tell that
    /// something is missing.
    pub fn resets(&self, resets: bool) {
        match self {
            // Without it the peer sees an orderly end.
            Self::Tcp(stream) => {
                let _ = SockRef::from(stream).set_linger(resets.then_some(Duration::ZERO));
            }
            Self::Unix(_) => {}
            Self::Tls(stream) => stream.get_ref().0.resets(resets),
        }
    }

    /// The TLS session of a client, if one is spoken to in TLS.
    #[must_use]
    pub fn session(&self) -> Option<&ServerConnection> {
        match self {
            Self::Tls(stream) => match &**stream {
                TlsStream::Server(stream) => Some(stream.get_ref().1),
                TlsStream::Client(_) => None,
            },
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// The protocol that was agreed on for what is said in TLS (RFC 7301), if one was.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Whether what is read of its descriptor is what it conveys, and not TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// What the kernel may keep of what it cannot send yet: without a limit it keeps more.
    pub fn limit_unsent(&self, bytes: u32) {
        match self {
            Self::Tcp(stream) => {
                let _ = SockRef::from(stream).set_tcp_notsent_lowat(bytes);
            }
            Self::Unix(_) => {}
            Self::Tls(stream) => stream.get_ref().0.limit_unsent(bytes),
        }
    }

    /// Ready when it may be read, or written. TLS may have less to be read then than a byte.
    pub fn poll_ready(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        match (self, interest.is_writable()) {
            (Self::Tls(stream), is_writable) => {
                let (below, session) = stream.get_ref();
                if !is_writable && !session.wants_read() {
                    return Poll::Ready(Ok(()));
                }
                below.poll_ready(context, interest)
            }
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
    /// That it would block, and those of what is done. That it is TLS, for which none of that can stand.
    pub fn try_io<T>(
        &self,
        interest: Interest,
        attempt: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, attempt),
            Self::Unix(stream) => stream.try_io(interest, attempt),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether the connection is known to be broken, as by a reset.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Tls(stream) => return stream.get_ref().0.has_failed(),
        };
        !matches!(error, Ok(None))
    }

    /// What TLS is spoken over, or else itself.
    fn below(&self) -> &Self {
        match self {
            Self::Tls(stream) => stream.get_ref().0.below(),
            plain => plain,
        }
    }

    /// Waits until the connection is broken, as by a reset.
    pub async fn fails(&self) {
        // If that cannot be known it is as good as broken.
        let _ = match self.below() {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
            Self::Tls(_) => return,
        };
    }

    /// Waits for bytes, and copies what there is without taking it; nothing is its end. Not of TLS, whose
    /// bytes say nothing.
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

    /// What there is to be read, as far as the runtime knows: the system is asked only if something may be
    /// there, of which a byte is taken.
    #[must_use]
    pub fn glance(&mut self) -> Peeked {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(stream) => return peek_within(stream),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peeked::Nothing,
            Ok(1..) => Peeked::Bytes,
            Ok(0) | Err(_) => Peeked::End,
        }
    }

    /// What there is to be read. Asks the system, which knows before the runtime does. Of TLS a byte is taken
    /// if there is one.
    #[must_use]
    pub fn peek(&mut self) -> Peeked {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = match self {
            Self::Tcp(stream) => recv(stream, &mut byte, flags),
            Self::Unix(stream) => recv(stream, &mut byte, flags),
            Self::Tls(stream) => {
                let below = stream.get_mut().0.peek();
                return if below == Peeked::Bytes { peek_within(stream) } else { below };
            }
        };
        match peeked {
            Err(Errno::AGAIN) => Peeked::Nothing,
            Ok((_, 1..)) => Peeked::Bytes,
            Ok(_) | Err(_) => Peeked::End,
        }
    }
}

/// What TLS makes of the bytes that have come: they may be about itself.
fn peek_within(stream: &mut TlsStream<Stream>) -> Peeked {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(stream).poll_read(&mut context, &mut buffer) {
        Poll::Pending => Peeked::Nothing,
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Peeked::Bytes,
        Poll::Ready(_) => Peeked::End,
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
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
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
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
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
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
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
