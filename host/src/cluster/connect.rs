//! Opening a connection to an endpoint.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, sleep, timeout};

use crate::cluster::peer::{Peer, Way};
use crate::socket::Stream;
use crate::tls::failure::Failure;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused(#[source] io::Error),
    /// No answer within the connect timeout, ours or the kernel's.
    #[error("connect timed out")]
    TimedOut,
    /// No way leads there.
    #[error("unreachable")]
    Unreachable(#[source] io::Error),
    /// This machine is out of descriptors, ports or memory: no fault of the endpoint.
    #[error("out of local resources")]
    Exhausted(#[source] io::Error),
    /// Anything else.
    #[error("connect failed")]
    Failed(#[source] io::Error),
    /// Who answers has not proved to be the endpoint, or could not agree on TLS with us.
    #[error(transparent)]
    Tls(Failure),
    /// There is a stream, but no HTTP/2 to be spoken over it.
    #[error("no HTTP/2 is spoken there")]
    Http2(#[source] h2::Error),
    /// TLS is spoken there, but HTTP/2 was not agreed on within.
    #[error("it does not agree to HTTP/2")]
    Unagreed,
}

impl ConnectError {
    /// Whether the endpoint is to blame, so that its health may count the failure.
    pub fn blames_endpoint(&self) -> bool {
        !matches!(self, Self::Exhausted(_))
    }

    /// The same once more, for another who has waited for the same connection.
    pub(super) fn again(&self) -> Self {
        let copy = |error: &io::Error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        match self {
            Self::Refused(error) => Self::Refused(copy(error)),
            Self::TimedOut => Self::TimedOut,
            Self::Unreachable(error) => Self::Unreachable(copy(error)),
            Self::Exhausted(error) => Self::Exhausted(copy(error)),
            Self::Failed(error) => Self::Failed(copy(error)),
            Self::Http2(error) => Self::Failed(io::Error::other(error.to_string())),
            Self::Tls(failure) => Self::Tls(failure.again()),
            Self::Unagreed => Self::Unagreed,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(&error);
        match errno {
            Some(Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS) => {
                return Self::Exhausted(error);
            }
            // A Unix socket whose backlog is full answers with this one.
            Some(Errno::AGAIN) => return Self::Refused(error),
            _ => {}
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Self::Refused(error),
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Unreachable(error)
            }
            io::ErrorKind::OutOfMemory => Self::Exhausted(error),
            _ => Self::Failed(error),
        }
    }
}

/// How long to wait for a descriptor until it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Connects to where `to` leads, sends what has to come `first`, and agrees on TLS if it is spoken there, for
/// which `protocols` are offered, best first: all of that within `patience`. TCP connections do not delay
/// small segments. When there is no descriptor left, `relieve` is to close what can be done without, and one
/// is waited for.
pub async fn connect(
    to: impl Into<Way<'_>>,
    patience: Duration,
    first: &[u8],
    protocols: &[&[u8]],
    relieve: impl Fn(),
) -> Result<Stream, ConnectError> {
    let Way { peer, tls } = to.into();
    let mut shortage = None;
    let begun = async {
        let mut stream = loop {
            match open(peer).await {
                Err(error) if is_out_of_descriptors(&error) => {
                    shortage = Some(error);
                    relieve();
                    sleep(AGAIN).await;
                }
                opened => break opened?,
            }
        };
        shortage = None;
        stream.write_all(first).await?;
        match tls {
            Some(tls) => tls.shake_hands(stream, protocols).await.map_err(ConnectError::Tls),
            None => Ok(stream),
        }
    };
    match timeout(patience, begun).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err(shortage.map_or(ConnectError::TimedOut, ConnectError::Exhausted)),
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

async fn open(peer: &Peer) -> io::Result<Stream> {
    match peer {
        Peer::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Peer::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn reaches_tcp_and_unix_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::Tcp(listener.local_addr().unwrap());
        let mut stream = connect(&peer, PATIENCE, b"first ", &[], || {}).await.unwrap();
        stream.write_all(b"tcp").await.unwrap();
        drop(stream);
        let mut seen = String::new();
        listener.accept().await.unwrap().0.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first tcp");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut stream = connect(&Peer::Unix(path), PATIENCE, b"first ", &[], || {}).await.unwrap();
        stream.write_all(b"unix").await.unwrap();
        drop(stream);
        let mut seen = String::new();
        listener.accept().await.unwrap().0.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first unix");
    }

    #[tokio::test]
    async fn tells_a_refusal_from_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::Tcp(listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(
            connect(&peer, PATIENCE, b"", &[], || {}).await,
            Err(ConnectError::Refused(_))
        ));

        let absent = Peer::Unix("/nonexistent/linkspan.sock".into());
        assert!(matches!(
            connect(&absent, PATIENCE, b"", &[], || {}).await,
            Err(ConnectError::Refused(_))
        ));

        // A listener with a full queue leaves further connections unanswered.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let peer = Peer::Tcp(socket.local_addr().unwrap().as_socket().unwrap());
        let _queued = connect(&peer, PATIENCE, b"", &[], || {}).await.unwrap();
        let silent = connect(&peer, Duration::from_millis(50), b"", &[], || {}).await;
        assert!(matches!(silent, Err(ConnectError::TimedOut)), "{silent:?}");
    }

    #[test]
    fn does_not_blame_the_endpoint_for_local_shortage() {
        let shortage = io::Error::from(rustix::io::Errno::MFILE);
        assert!(!ConnectError::from(shortage).blames_endpoint());
        let refusal = io::Error::from(rustix::io::Errno::CONNREFUSED);
        assert!(ConnectError::from(refusal).blames_endpoint());
    }
}
