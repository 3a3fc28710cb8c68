//! Accepting connections: one thread owns every listening socket, holds the limits, and hands each
//! connection to the worker that has fewest.
//!
//! No SO_REUSEPORT: the kernel balances badly with it, and closing one of its sockets resets what
//! queues there. A listener that is at its limit stops accepting, so that clients wait in the
//! kernel's queue. So do all of them when clients have their share of the descriptors, and running out
//! of these is waited out, too. An address that is at its limit is told so.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};

use super::descriptors;
use super::door::Door;
use super::places::{Books, Line, Room, Seats, Ticket};
use super::refuse::Refusals;
use super::shortage::{BACK_OFF, Seldom, Shortage};
use super::socket::{self, Handle};
use crate::background;
use crate::config::{self, Name, Opening};
use crate::memory::Load;
use crate::metrics::{ELSEWHERE, ListenerMetrics, Refusal};
use crate::socket::Unregistered;

/// What connections are handed on in is this thread's to give back: so often is it looked at.
const TIDY: Duration = Duration::from_secs(1);

/// Connections that wait for their worker to take them.
pub const INBOX: usize = 1024;

/// A connection that a listener has accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: Unregistered,
    /// What is known of it.
    pub caller: Caller,
}

/// Who is at the other end of a connection, as far as its acceptor can tell.
#[derive(Debug)]
pub struct Caller {
    /// Who has connected; none at a Unix socket, where nobody has an address.
    pub peer: Option<SocketAddr>,
    /// Whether a PROXY header comes first. Until it has, nobody knows whose connection it is.
    pub header: bool,
    /// Where it has come in, and can be turned away.
    pub door: Arc<Door>,
    /// Its places among the limits, given back when this is dropped.
    pub ticket: Ticket,
}

/// A worker's end: where its connections go, and how many it has.
#[derive(Debug, Clone)]
pub struct Desk {
    inbox: mpsc::Sender<Accepted>,
    load: Arc<AtomicUsize>,
}

impl Desk {
    /// A desk, and what comes in there.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Accepted>) {
        let (inbox, connections) = mpsc::channel(INBOX);
        (Self { inbox, load: Arc::default() }, connections)
    }
}

/// The acceptor's thread. Dropping it closes every listening socket.
#[derive(Debug)]
pub struct Acceptor {
    orders: Option<mpsc::Sender<Order>>,
    listeners: BTreeMap<Name, watch::Sender<config::Listener>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Order {
    socket: Handle,
    door: Arc<Door>,
    settings: watch::Receiver<config::Listener>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no event queue.
    pub fn start(desks: Vec<Desk>) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel(64);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            // What it gives workers to do can wait until they have done what they have.
            background::interrupt_nobody();
            runtime.block_on(serve(incoming, &Arc::from(desks)));
        };
        let thread = thread::Builder::new().name("linkspan-accept".to_owned()).spawn(run)?;
        Ok(Self { orders: Some(orders), listeners: BTreeMap::new(), thread: Some(thread) })
    }

    /// Accepts on a socket from now on, and counts there.
    pub async fn listen(
        &mut self,
        settings: &config::Listener,
        metrics: Arc<ListenerMetrics>,
        socket: Handle,
    ) {
        let door = Arc::new(Door::new(settings, metrics));
        let (sender, settings_seen) = watch::channel(settings.clone());
        let order = Order { socket, door, settings: settings_seen };
        if let Some(orders) = &self.orders
            && orders.send(order).await.is_ok()
        {
            self.listeners.insert(Arc::clone(&settings.name), sender);
        }
    }

    /// Changes a listener's limits, and whom it expects. Connections that are open stay so.
    pub fn change(&self, settings: &config::Listener) {
        if let Some(shown) = self.listeners.get(&settings.name) {
            shown.send_replace(settings.clone());
        }
    }

    /// Stops accepting for a listener and closes its socket.
    pub fn close(&mut self, name: &str) {
        self.listeners.remove(name);
    }

    /// Stops accepting for all of them. Returns when their sockets are closed.
    pub fn stop(&mut self) {
        self.listeners.clear();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by its hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(mut orders: mpsc::Receiver<Order>, desks: &Arc<[Desk]>) {
    let hall = Hall {
        desks: Arc::clone(desks),
        books: Arc::default(),
        room: Arc::default(),
        most: descriptors::for_clients(desks.len()),
        refusals: Refusals::new(),
    };
    let mut listeners = tokio::task::JoinSet::new();
    let (mut tidy, mut load) = (tokio::time::interval(TIDY), Load::default());
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            _ = tidy.tick() => {
                load.give_back(hall.room.taken());
                continue;
            }
        };
        let Some(order) = order else { break };
        let name = Arc::clone(&order.door.listener);
        let listening = listen(order, hall.clone());
        listeners.spawn(async move {
            if let Err(error) = listening.await {
                tracing::error!(listener = &*name, "stopped listening: {error}");
            }
        });
    }
    while listeners.join_next().await.is_some() {}
}

/// What all listeners share.
#[derive(Clone)]
struct Hall {
    desks: Arc<[Desk]>,
    books: Arc<Books>,
    /// All clients' connections, and the most that the descriptors suffice for.
    room: Arc<Room>,
    most: usize,
    refusals: Refusals,
}

async fn listen(order: Order, hall: Hall) -> io::Result<()> {
    let Order { socket, door, mut settings } = order;
    let socket = socket.register()?;
    let room = Arc::new(Room::default());
    let mut shortage = Shortage::default();
    let mut limits = Limits::default();
    loop {
        let most = settings.borrow_and_update().max_connections;
        let accepted = async {
            room.vacancy(most, || limits.listener_full(&door, most)).await;
            hall.room.vacancy(hall.most, || limits.descriptors_few(&door, hall.most)).await;
            accept(&socket).await
        };
        let accepted = tokio::select! {
            // What connects after it was told to stop is another listener's, if one has the socket.
            biased;
            changed = settings.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                continue;
            }
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(time) = shortage.accepted(Instant::now) {
                    let (listener, time) = (&*door.listener, time.as_secs_f64());
                    tracing::info!(listener, "accepting again after {time:.1} s");
                }
                let admitted = admit(&settings.borrow(), &door, &hall.books, peer);
                let common = hall.room.take();
                let (header, line) = match admitted {
                    Ok(admitted) => admitted,
                    Err(refusal) => {
                        // Who has no business here is told nothing, and who may speak anything
                        // nothing in HTTP.
                        let is_http = settings.borrow().tcp.is_none();
                        if refusal == Refusal::TooMany && is_http {
                            hall.refusals.refuse(stream, common);
                        }
                        continue;
                    }
                };
                let (door, seats) = (Arc::clone(&door), Seats::new(room.take(), common));
                hand_over(Entry { stream, peer, header, door, line, seats }, &hall.desks).await;
            }
            Err(error) if transient(&error) => {}
            Err(error) => {
                door.metrics.accept_error();
                if let Some(failures) = shortage.failed(Instant::now()) {
                    tracing::warn!(listener = &*door.listener, failures, "cannot accept: {error}");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// What was told of limits that a listener has reached.
#[derive(Default)]
struct Limits {
    listener: Seldom,
    descriptors: Seldom,
}

impl Limits {
    fn listener_full(&mut self, door: &Door, max_connections: usize) {
        if let Some(times) = self.listener.happened(Instant::now()) {
            let listener = &*door.listener;
            let text = "max-connections are open: others wait until one leaves";
            tracing::warn!(listener, max_connections, times, "{text}");
        }
    }

    fn descriptors_few(&mut self, door: &Door, connections: usize) {
        if let Some(times) = self.descriptors.happened(Instant::now()) {
            let listener = &*door.listener;
            let text = "the other descriptors are for upstreams: clients wait until one leaves";
            tracing::warn!(listener, connections, times, "{text}");
        }
    }
}

/// Whether a connection begins with a PROXY header, and its line in the books; nothing if it is turned
/// away. One with a header counts for nobody before that is read: it is hardly the proxy's own.
fn admit(
    settings: &config::Listener,
    door: &Door,
    books: &Arc<Books>,
    peer: Option<SocketAddr>,
) -> Result<(bool, Line), Refusal> {
    let address = peer.map(|peer| peer.ip());
    let (header, address) = match settings.opening(address) {
        Opening::Request => (false, address),
        Opening::Header => (true, None),
        Opening::Refused => {
            let reason = &"it is from none of the trusted-proxies";
            door.refuse(ELSEWHERE, peer, Refusal::Untrusted, reason);
            return Err(Refusal::Untrusted);
        }
    };
    let line = books.enter(address, settings.max_connections_per_address);
    line.map(|line| (header, line)).ok_or_else(|| {
        let reason = &"its address has max-connections-per-address";
        door.refuse(ELSEWHERE, peer, Refusal::TooMany, reason);
        Refusal::TooMany
    })
}

/// Whether an error is about one connection, which was gone before it was accepted.
fn transient(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionAborted | E::ConnectionReset | E::Interrupted)
}

async fn accept(socket: &socket::Listener) -> io::Result<(Unregistered, Option<SocketAddr>)> {
    let (stream, peer) = socket.accept().await?;
    // The worker registers it with its own event queue.
    Ok((stream.unregister()?, peer))
}

struct Entry {
    stream: Unregistered,
    peer: Option<SocketAddr>,
    header: bool,
    door: Arc<Door>,
    line: Line,
    seats: Seats,
}

async fn hand_over(entry: Entry, desks: &[Desk]) {
    let Entry { stream, peer, header, door, line, seats } = entry;
    let open = desks.iter().filter(|desk| !desk.inbox.is_closed());
    let Some(desk) = open.min_by_key(|desk| desk.load.load(Ordering::Relaxed)) else { return };
    let ticket = Ticket::new(line, &desk.load, seats);
    let accepted = Accepted { stream, caller: Caller { peer, header, door, ticket } };
    // A worker that is gone takes nothing; the connection closes with what is given back.
    let _ = desk.inbox.send(accepted).await;
}
