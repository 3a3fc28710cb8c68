//! Origins: servers that answer as they are told, and remember what they were asked.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;
use socket2::{Domain, SockRef, Socket, Type};

use super::eventually;
use super::message::{Head, Message, reply};
use super::tls::Tls;
use super::wire::{Framing, Wire};

/// A server on a port of its own. Dropped, it cuts off what is open.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// One connection to an origin, as a script sees it. Closed when the script ends.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The connections that came before it.
    pub(crate) number: usize,
    /// Whether TLS ends without a word.
    breaks_off: bool,
    wire: Wire,
    shared: Arc<Shared>,
}

/// An address that nobody else can have and where nobody listens yet.
#[derive(Debug)]
pub(crate) struct Down {
    socket: Socket,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<Message>,
    /// The connections that are open, and whether each waits for a request.
    open: HashMap<usize, (TcpStream, bool)>,
}

impl Origin {
    /// Answers everything with 200 and this body.
    pub(crate) fn replying(body: &str) -> Self {
        let reply = reply(200, &[], body);
        Self::answering(move |_| reply.clone())
    }

    /// Answers everything with 200 and what was in the request's body.
    pub(crate) fn echo() -> Self {
        Self::answering(|request| reply(200, &[], &request.body))
    }

    /// Answers each request with what is made of it, and keeps connections alive.
    pub(crate) fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::scripted(move |peer| peer.answer(&answer))
    }

    /// Reads one request per connection, writes these bytes whatever it was, and closes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::scripted(move |peer| {
            if peer.request().is_some() {
                // Who has heard enough may close early.
                let _ = peer.write(&bytes);
            }
        })
    }

    /// Runs a script for each connection, each in a thread.
    pub(crate) fn scripted(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Down::new().up(script)
    }

    /// The same over TLS.
    pub(crate) fn secured(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        Down::new().up_with(Some(config), script)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that were read, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.shared.lock().requests.clone()
    }

    /// The only request that was read.
    #[track_caller]
    pub(crate) fn request(&self) -> Message {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// How many requests were read.
    pub(crate) fn hits(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// How many connections were accepted, those that are closed included.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Waits until so many requests were read.
    #[track_caller]
    pub(crate) fn wait_for(&self, requests: usize) {
        eventually("requests", || (self.hits() >= requests).then_some(()));
    }

    /// Accepts no more, ends connections that wait for a request, and lets the others finish.
    /// The address stays taken, and refuses.
    pub(crate) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.close_listener();
        for (stream, idle) in self.shared.lock().open.values() {
            if *idle {
                // What was on its way is still read, as a server that gives up waiting would.
                let _ = stream.shutdown(Shutdown::Read);
            }
        }
        eventually("an origin's connections to end", || {
            (self.open_connections() == 0).then_some(())
        });
    }

    /// Accepts no more and cuts off what is open.
    pub(crate) fn kill(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.close_listener();
        self.cut_connections();
    }

    /// Cuts off what is open, but goes on accepting.
    pub(crate) fn cut_connections(&self) {
        for (stream, _) in self.shared.lock().open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn close_listener(&mut self) {
        // Wakes the thread that accepts.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Down {
    pub(crate) fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).unwrap()
    }

    /// The same at an address; none if somebody has it.
    pub(crate) fn at(address: SocketAddr) -> Option<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).ok()?;
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Some(Self { socket, address })
    }

    /// Several on one port.
    pub(crate) fn together(addresses: &[&str]) -> Vec<Self> {
        let at = |address: &&str, port| Self::at(SocketAddr::new(address.parse().unwrap(), port));
        let together = || {
            let first = at(addresses.first()?, 0)?;
            let port = first.address.port();
            let rest = addresses.iter().skip(1).map(|address| at(address, port));
            std::iter::once(Some(first)).chain(rest).collect()
        };
        eventually("a port that is free at each address", together)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a server there.
    pub(crate) fn up(self, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Origin {
        self.up_with(None, script)
    }

    /// The same, which speaks TLS if it is told how.
    pub(crate) fn up_with(
        self,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Origin {
        self.socket.listen(128).unwrap();
        let listener = TcpListener::from(self.socket);
        let accepting = listener.try_clone().unwrap();
        let shared = Arc::<Shared>::default();
        let (script, of_thread) = (Arc::new(script), Arc::clone(&shared));
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let mut peer = Peer::new(stream, &of_thread);
                let (script, tls) = (Arc::clone(&script), tls.clone());
                thread::spawn(move || {
                    let tls = tls.map(|config| Tls::server(&config));
                    // Who does not come to terms about TLS has had no conversation.
                    if tls.is_none_or(|tls| peer.wire.secure(tls).is_ok()) {
                        script(&mut peer);
                    }
                });
            }
        });
        Origin { address: self.address, listener, shared, acceptor: Some(acceptor) }
    }
}

impl Peer {
    fn new(stream: TcpStream, shared: &Arc<Shared>) -> Self {
        let mut seen = shared.lock();
        let number = seen.connections;
        seen.connections += 1;
        seen.open.insert(number, (stream.try_clone().unwrap(), false));
        let wire = Wire::new(stream);
        Self { number, breaks_off: false, wire, shared: Arc::clone(shared) }
    }

    /// Reads and records the next request; none if there will not be one.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let head = self.request_head()?;
        Some(self.request_body(head))
    }

    /// Reads the next request's head, without recording it.
    pub(crate) fn request_head(&mut self) -> Option<Head> {
        self.set_idle(true);
        let head = self.wire.head();
        self.set_idle(false);
        head
    }

    /// Reads the body that follows a head, and records the request.
    pub(crate) fn request_body(&mut self, head: Head) -> Message {
        let framing = Framing::of_request(&head);
        let request = self.wire.message(head, framing);
        self.record(request.clone());
        request
    }

    /// Counts a request that was not read in the usual way.
    pub(crate) fn record(&self, request: Message) {
        self.shared.lock().requests.push(request);
    }

    /// Answers requests until the other side or [`Origin::stop`] ends it.
    pub(crate) fn answer(&mut self, answer: impl Fn(&Message) -> Vec<u8>) {
        while let Some(request) = self.request() {
            let answered = request.complete && self.wire.write(answer(&request)).is_ok();
            if !answered || request.closes() || self.shared.stopping.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Says nothing until the other side closes.
    pub(crate) fn hang(&mut self) {
        let _ = self.wire.rest();
    }

    /// Will end TLS without saying so.
    pub(crate) fn break_off(&mut self) {
        self.breaks_off = true;
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) {
        self.shared.lock().open.remove(&self.number);
        self.wire.reset_on_close();
    }

    fn set_idle(&self, idle: bool) {
        let mut seen = self.shared.lock();
        let Some(entry) = seen.open.get_mut(&self.number) else { return };
        entry.1 = idle;
        if idle && self.shared.stopping.load(Ordering::SeqCst) {
            let _ = entry.0.shutdown(Shutdown::Read);
        }
    }
}

impl Deref for Peer {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.breaks_off {
            // Who has gone already need not be told.
            let _ = self.wire.end();
        }
        self.shared.lock().open.remove(&self.number);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}
