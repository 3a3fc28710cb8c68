//! A client that sends whatever a case says, and keeps all that comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::parsers::{Message, Next, next_response};

/// A connection to the proxy.
#[derive(Debug)]
pub(super) struct Talk {
    stream: TcpStream,
    heard: Vec<u8>,
    end: End,
    /// How long it waits for anything.
    patience: Duration,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet.
    Open,
    /// Everything that was sent could be read.
    Closed,
    /// What was sent may be lost.
    Reset,
}

/// What came back, as far as it is understood.
#[derive(Debug)]
pub(super) struct Answers {
    /// Final responses that came to their end.
    pub(super) whole: Vec<Message>,
    /// The statuses of interim ones.
    pub(super) interim: Vec<u16>,
    /// The head of one that did not.
    pub(super) part: Option<Message>,
    /// Bytes after the last whole one.
    pub(super) rest: usize,
}

impl Talk {
    pub(super) fn connect(address: SocketAddr, patience: Duration) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), patience)
    }

    pub(super) fn over(stream: TcpStream, patience: Duration) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
        Self { stream, heard: Vec::new(), end: End::Open, patience }
    }

    /// Writes from a thread of its own: whoever is refused may be answered before all is sent.
    pub(super) fn send(&self, bytes: impl Into<Vec<u8>>, then_half_closes: bool) {
        let (bytes, mut stream) = (bytes.into(), self.stream.try_clone().unwrap());
        thread::spawn(move || {
            let written = stream.write_all(&bytes);
            if written.is_ok() && then_half_closes {
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
    }

    /// Writes what fits at once.
    pub(super) fn write(&self, bytes: &[u8]) {
        // Who listens sees whether it is closed by now.
        let _ = (&self.stream).write_all(bytes);
    }

    /// Says that nothing more will be sent.
    pub(super) fn half_close(&self) {
        // It may be closed by now.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Reads until what came is enough, or the connection ends, or patience does.
    pub(super) fn listen(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + self.patience;
        let mut bytes = vec![0; 64 << 10];
        while self.end == End::Open && !enough(self) && Instant::now() < deadline {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.end = End::Closed,
                Ok(read) => self.heard.extend(&bytes[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_reset) => self.end = End::Reset,
            }
        }
    }

    /// All that came.
    pub(super) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Reads for so long, or until the connection ends.
    pub(super) fn listen_for_a_while(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        self.listen(|_| Instant::now() >= deadline);
    }

    /// Reads until so many final responses have come, or the connection ends.
    pub(super) fn listen_for(&mut self, methods: &[&str]) {
        self.listen(|talk| talk.answers(methods).is_ok_and(|a| a.whole.len() >= methods.len()));
    }

    /// Reads until the connection ends.
    pub(super) fn listen_to_end(&mut self) {
        self.listen(|_| false);
    }

    /// What came, as answers to requests with these methods; any further ones as to GET.
    pub(super) fn answers(&self, methods: &[&str]) -> Result<Answers, String> {
        let mut answers =
            Answers { whole: Vec::new(), interim: Vec::new(), part: None, rest: self.heard.len() };
        loop {
            let bytes = &self.heard[self.heard.len() - answers.rest..];
            let method = methods.get(answers.whole.len()).unwrap_or(&"GET");
            match next_response(bytes, method, self.end == End::Closed) {
                _ if bytes.is_empty() => return Ok(answers),
                Next::Whole(message, length) => {
                    answers.rest -= length;
                    match message.status() {
                        status @ 100..200 => answers.interim.push(status),
                        _ => answers.whole.push(message),
                    }
                }
                Next::Part(head) => {
                    answers.part = head;
                    return Ok(answers);
                }
                Next::Malformed(why) => return Err(format!("no answer: {why}")),
            }
        }
    }
}
