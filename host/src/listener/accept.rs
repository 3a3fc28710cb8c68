//! Accepting connections: one thread owns every listening socket, holds the limits, and hands each
//! connection to the worker that has fewest.
//!
//! No SO_REUSEPORT: the kernel balances badly with it, and closing one of its sockets resets what
//! queues there. A listener that is at its limit stops accepting, so that clients wait in the
//! kernel's queue; running out of descriptors is waited out, too. An address that is at its limit is
//! [told](super::refuse).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Notify, mpsc, watch};

use super::refuse::Refusals;
use crate::config::{self, Name};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// How long to wait after an error that accepting again would meet again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Connections that wait for their worker to take them.
pub const INBOX: usize = 1024;

/// A connection that a listener has accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The listener's name.
    pub listener: Name,
    /// The connection; non-blocking.
    pub stream: TcpStream,
    /// The client's address.
    pub address: SocketAddr,
    /// Its places among the limits, given back when this is dropped.
    pub ticket: Ticket,
}

/// A connection's places among the limits.
#[derive(Debug)]
pub struct Ticket {
    /// The smallest number that no open connection of the process had.
    pub slot: u32,
    address: IpAddr,
    books: Arc<Books>,
    load: Arc<AtomicUsize>,
    _seat: Seat,
}

/// A place among a listener's connections.
#[derive(Debug)]
struct Seat(Arc<Room>);

/// How many connections a listener has.
#[derive(Debug, Default)]
struct Room {
    taken: AtomicUsize,
    left: Notify,
}

impl Room {
    /// Waits until fewer than `most` are taken. Only one task of a listener asks, so that what it
    /// has seen to be free stays free.
    async fn vacancy(&self, most: usize) {
        while self.taken.load(Ordering::SeqCst) >= most {
            self.left.notified().await;
        }
    }

    fn take(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Seat(Arc::clone(self))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        let mut open = self.books.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.free.push(Reverse(self.slot));
        if let Some(count) = open.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&self.address);
            }
        }
    }
}

/// Who is connected, over all listeners. Touched once per connection.
#[derive(Debug, Default)]
struct Books(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
    of_address: HashMap<IpAddr, usize>,
}

impl Books {
    /// A slot for a client, unless its address has as many connections as it may.
    fn enter(&self, address: IpAddr, most: usize) -> Option<u32> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.of_address.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let slot = match open.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                open.next += 1;
                open.next - 1
            }
        };
        Some(slot)
    }
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

/// Opens a listening socket.
///
/// # Errors
///
/// The system's, such as that the port is in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether a socket can be had, without listening: nobody can connect to it, and nobody who asks
/// for the address meanwhile is turned away.
///
/// # Errors
///
/// As [`bind`].
pub fn probe(address: SocketAddr) -> io::Result<()> {
    bound(address).map(drop)
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The acceptor's thread. Dropping it closes every listening socket.
#[derive(Debug)]
pub struct Acceptor {
    orders: Option<mpsc::Sender<Order>>,
    listeners: BTreeMap<Name, watch::Sender<Limits>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Order {
    name: Name,
    socket: TcpListener,
    limits: watch::Receiver<Limits>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connections: usize,
    per_address: usize,
}

impl Limits {
    fn of(settings: &config::Listener) -> Self {
        Self {
            connections: settings.max_connections,
            per_address: settings.max_connections_per_address,
        }
    }
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
        let run = move || runtime.block_on(serve(incoming, &Arc::from(desks)));
        let thread = thread::Builder::new().name("linkspan-accept".to_owned()).spawn(run)?;
        Ok(Self { orders: Some(orders), listeners: BTreeMap::new(), thread: Some(thread) })
    }

    /// Accepts on a socket from now on.
    pub async fn listen(&mut self, settings: &config::Listener, socket: TcpListener) {
        let (sender, limits) = watch::channel(Limits::of(settings));
        let order = Order { name: Arc::clone(&settings.name), socket, limits };
        if let Some(orders) = &self.orders
            && orders.send(order).await.is_ok()
        {
            self.listeners.insert(Arc::clone(&settings.name), sender);
        }
    }

    /// Changes a listener's limits. Connections that are open stay so.
    pub fn limit(&self, settings: &config::Listener) {
        if let Some(limits) = self.listeners.get(&settings.name) {
            limits.send_replace(Limits::of(settings));
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
    let (books, refusals) = (Arc::new(Books::default()), Refusals::new());
    let mut listeners = tokio::task::JoinSet::new();
    while let Some(order) = orders.recv().await {
        let name = Arc::clone(&order.name);
        let listening = listen(order, Arc::clone(desks), Arc::clone(&books), refusals.clone());
        listeners.spawn(async move {
            if let Err(error) = listening.await {
                tracing::error!(listener = &*name, "stopped listening: {error}");
            }
        });
    }
    while listeners.join_next().await.is_some() {}
}

async fn listen(
    order: Order,
    desks: Arc<[Desk]>,
    books: Arc<Books>,
    refusals: Refusals,
) -> io::Result<()> {
    let Order { name, socket, mut limits } = order;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let room = Arc::new(Room::default());
    loop {
        let most = limits.borrow_and_update().connections;
        let accepted = async {
            room.vacancy(most).await;
            accept(&socket).await
        };
        let accepted = tokio::select! {
            changed = limits.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                continue;
            }
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let per_address = limits.borrow().per_address;
                let Some(slot) = books.enter(address.ip(), per_address) else {
                    tracing::debug!(listener = &*name, client = %address.ip(), "too many connections");
                    refusals.refuse(stream);
                    continue;
                };
                let entry = Entry { name: &name, stream, address, slot, seat: room.take() };
                hand_over(entry, &desks, &books).await;
            }
            Err(error) if transient(&error) => {}
            Err(error) => {
                tracing::warn!(listener = &*name, "cannot accept: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Whether an error is about one connection, which was gone before it was accepted.
fn transient(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionAborted | E::ConnectionReset | E::Interrupted)
}

async fn accept(socket: &tokio::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = socket.accept().await?;
    // Answers are written whole, and must not wait for the client's acknowledgements.
    let _ = stream.set_nodelay(true);
    // The worker registers it with its own event queue.
    Ok((stream.into_std()?, address))
}

struct Entry<'a> {
    name: &'a Name,
    stream: TcpStream,
    address: SocketAddr,
    slot: u32,
    seat: Seat,
}

async fn hand_over(entry: Entry<'_>, desks: &[Desk], books: &Arc<Books>) {
    let open = desks.iter().filter(|desk| !desk.inbox.is_closed());
    let Some(desk) = open.min_by_key(|desk| desk.load.load(Ordering::Relaxed)) else { return };
    desk.load.fetch_add(1, Ordering::Relaxed);
    let ticket = Ticket {
        slot: entry.slot,
        address: entry.address.ip(),
        books: Arc::clone(books),
        load: Arc::clone(&desk.load),
        _seat: entry.seat,
    };
    let accepted = Accepted {
        listener: Arc::clone(entry.name),
        stream: entry.stream,
        address: entry.address,
        ticket,
    };
    // A worker that is gone takes nothing; the connection closes with what is given back.
    let _ = desk.inbox.send(accepted).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books_of(addresses: &[&str], most: usize) -> (Books, Vec<Option<u32>>) {
        let books = Books::default();
        let slots = addresses.iter().map(|a| books.enter(a.parse().unwrap(), most)).collect();
        (books, slots)
    }

    #[test]
    fn slots_are_the_smallest_free_numbers_and_addresses_are_limited() {
        let (books, slots) = books_of(&["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1"], 2);
        assert_eq!(slots, [Some(0), Some(1), Some(2), None]);
        books.0.lock().unwrap().free.push(Reverse(1));
        assert_eq!(books.enter("::1".parse().unwrap(), 2), Some(1));
        assert_eq!(books.enter("::1".parse().unwrap(), 2), Some(3));
    }
}
