//! One end of a connection, spoken to in bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::message::{Head, Message, field};
use super::tls::Tls;

/// A connection with what was read from it but not yet looked at.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// What is spoken over it, if it is TLS.
    tls: Option<Tls>,
    buffer: Vec<u8>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// That of a request.
    pub(crate) fn of_request(head: &Head) -> Self {
        if head.is_chunked() { Self::Chunked } else { Self::Length(head.length().unwrap_or(0)) }
    }

    /// That of the response to a request with this method.
    pub(crate) fn of_response(head: &Head, method: &str) -> Self {
        if method == "HEAD" || matches!(head.status(), 100..=199 | 204 | 304) {
            return Self::Length(0);
        }
        if head.is_chunked() {
            return Self::Chunked;
        }
        head.length().map_or(Self::UntilClose, Self::Length)
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A Unix socket delays nothing.
        let _ = stream.set_nodelay(true);
        Self { stream, tls: None, buffer: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Speaks TLS from now on, after a handshake, or says why not.
    pub(crate) fn secure(&mut self, mut tls: Tls) -> io::Result<()> {
        tls.begin(&self.stream)?;
        self.tls = Some(tls);
        Ok(())
    }

    /// What is spoken over it, if it is TLS.
    pub(crate) fn tls(&mut self) -> Option<&mut Tls> {
        self.tls.as_mut()
    }

    /// Says in TLS that nothing more comes.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.end(&self.stream))
    }

    /// Writes everything, or says why not.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.write(&self.stream, bytes.as_ref()),
            None => self.stream.write_all(bytes.as_ref()),
        }
    }

    /// Writes everything.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes).unwrap();
    }

    /// The next head; none if the other side has closed instead.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Option<Head> {
        loop {
            let end = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let bytes: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(Head::parse(&bytes));
            }
            if self.fill().unwrap_or(0) == 0 {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert!(self.buffer.is_empty(), "half a head: {rest:?}");
                return None;
            }
        }
    }

    /// The body that follows a head.
    pub(crate) fn message(&mut self, head: Head, framing: Framing) -> Message {
        let mut message = Message { head, ..Message::default() };
        // What breaks off is told by `complete`.
        message.complete = self.body(framing, &mut message).is_ok();
        message
    }

    fn body(&mut self, framing: Framing, message: &mut Message) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.take(length, &mut message.body),
            Framing::UntilClose => loop {
                message.body.append(&mut self.buffer);
                if self.fill()? == 0 {
                    return Ok(());
                }
            },
            Framing::Chunked => loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
                let size = size.map_err(io::Error::other)?;
                if size == 0 {
                    return self.trailers(&mut message.trailers);
                }
                self.take(size, &mut message.body)?;
                self.line()?;
            },
        }
    }

    fn trailers(&mut self, trailers: &mut Vec<(String, String)>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            trailers.push(field(&line));
        }
    }

    /// A line without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            }
            self.more()?;
        }
    }

    /// Whatever has come, or comes next; nothing if the other side has closed instead.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            // A reset is an end, too.
            let _ = self.fill();
        }
        std::mem::take(&mut self.buffer)
    }

    /// So many bytes; as many as came, if the other side breaks off.
    pub(crate) fn take(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let mut left = length;
        loop {
            let ready = left.min(self.buffer.len());
            into.extend(self.buffer.drain(..ready));
            left -= ready;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// Reads so many bytes and throws them away.
    pub(crate) fn skip(&mut self, length: usize) -> io::Result<()> {
        let mut left = length;
        loop {
            let ready = left.min(self.buffer.len());
            self.buffer.drain(..ready);
            left -= ready;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// All that comes until the other side closes or resets.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => panic!("nobody closes the connection"),
                Err(_reset) => break,
            }
        }
        std::mem::take(&mut self.buffer)
    }

    /// Reads until the other side closes: whether that is an end in order.
    pub(crate) fn ends_in_order(&mut self) -> bool {
        loop {
            self.buffer.clear();
            match self.fill() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Waits until the other side closes, and asserts that it sends nothing before.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// Whether nothing comes and nobody closes for a while. The only wait that is meant to elapse.
    pub(crate) fn is_quiet_for(&mut self, duration: Duration) -> bool {
        self.stream.set_read_timeout(Some(duration)).unwrap();
        let filled = self.fill();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.buffer.is_empty() && filled.is_err_and(|error| is_timeout(&error))
    }

    /// Has closing reset the connection.
    pub(crate) fn reset_on_close(&mut self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn more(&mut self) -> io::Result<()> {
        if self.fill()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let before = self.buffer.len();
        self.buffer.resize(before + (64 << 10), 0);
        let read = match (self.buffer.get_mut(before..).unwrap_or_default(), &mut self.tls) {
            (room, Some(tls)) => tls.read(&self.stream, room),
            (room, None) => self.stream.read(room),
        };
        self.buffer.truncate(before + read.as_ref().map_or(0, |bytes| *bytes));
        read
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
