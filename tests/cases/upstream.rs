//! An upstream that keeps every byte that reaches it, and answers as it is told.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Origin, Peer, eventually, reply};

use super::parsers::{Message, Next, next_request};

/// What becomes of a connection once the scripted bytes are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// It ends at once.
    Closes,
    /// It stays, and further requests are answered.
    Stays,
}

/// How requests are answered.
#[derive(Debug, Clone)]
pub(super) enum Script {
    /// With 200, and method and target as the body.
    Plainly,
    /// The same, but one with this target late.
    Slowly(&'static str),
    /// The first of all with these bytes; all that come later plainly.
    First(Vec<u8>, Then),
}

/// The upstream. What reached it can be read once no connection is open.
#[derive(Debug)]
pub(super) struct Upstream {
    origin: Origin,
    /// By connection.
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Upstream {
    pub(super) fn start(script: Script) -> Self {
        let fresh = AtomicBool::new(true);
        Self::scripted(move |peer, recorder| {
            while let Some(request) = recorder.request(peer) {
                let first = fresh.swap(false, Ordering::SeqCst);
                let answered = match &script {
                    Script::First(bytes, then) if first => {
                        let answered = peer.write(bytes).is_ok();
                        answered && matches!(then, Then::Stays)
                    }
                    Script::Slowly(target) if request.line.contains(target) => {
                        // It has nothing to say meanwhile, and neither does the proxy.
                        assert!(peer.is_quiet_for(Duration::from_millis(100)));
                        peer.write(plain(&request)).is_ok()
                    }
                    _ => peer.write(plain(&request)).is_ok(),
                };
                if !answered {
                    return;
                }
            }
        })
    }

    /// One that runs a script for each connection.
    pub(super) fn scripted(
        script: impl Fn(&mut Peer, &mut Recorder) + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let of_origin = Arc::clone(&seen);
        let origin = Origin::scripted(move |peer| {
            let seen = Arc::clone(&of_origin);
            script(peer, &mut Recorder { seen, buffer: Vec::new(), connection: peer.number });
        });
        Self { origin, seen }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All that reached it, by connection, after the proxy has gone.
    #[track_caller]
    pub(super) fn bytes(&self) -> Vec<Vec<u8>> {
        eventually("the upstream's connections to end", || {
            (self.origin.open_connections() == 0).then_some(())
        });
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a connection, and writes down what it reads.
pub(super) struct Recorder {
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    buffer: Vec<u8>,
    connection: usize,
}

impl Recorder {
    /// The next request; none if the connection ends instead, or brings something else.
    pub(super) fn request(&mut self, peer: &Peer) -> Option<Message> {
        loop {
            match next_request(&self.buffer) {
                Next::Whole(message, length) => {
                    self.buffer.drain(..length);
                    return Some(message);
                }
                Next::Part(_) => {}
                Next::Malformed(_) => return None,
            }
            if !self.read(peer) {
                return None;
            }
        }
    }

    /// The head of the next request, however much of its body has come.
    pub(super) fn head(&mut self, peer: &Peer) -> Option<Message> {
        loop {
            match next_request(&self.buffer) {
                Next::Whole(message, _) | Next::Part(Some(message)) => return Some(message),
                Next::Part(None) => {}
                Next::Malformed(_) => return None,
            }
            if !self.read(peer) {
                return None;
            }
        }
    }

    /// Reads until the other side closes.
    pub(super) fn rest(&mut self, peer: &Peer) {
        while self.read(peer) {}
    }

    fn read(&mut self, peer: &Peer) -> bool {
        let mut bytes = [0; 16 << 10];
        let read = peer.stream().read(&mut bytes).unwrap_or(0);
        self.buffer.extend(&bytes[..read]);
        let mut seen = self.seen.lock().unwrap();
        if seen.len() <= self.connection {
            seen.resize(self.connection + 1, Vec::new());
        }
        seen[self.connection].extend(&bytes[..read]);
        read > 0
    }
}

/// The plain answer: what was asked for.
pub(super) fn plain(request: &Message) -> Vec<u8> {
    reply(200, &[], asked(&request.line))
}

/// Method and target of a request's first line.
pub(super) fn asked(line: &str) -> &str {
    line.rsplit_once(' ').map_or(line, |(asked, _version)| asked)
}
