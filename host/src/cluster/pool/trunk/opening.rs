//! Opening an HTTP/2 connection, and driving it from then on: one task for both.
//!
//! A connection counts as open when the upstream has sent its SETTINGS. That takes a round trip more than
//! to send a request at once, but then it is known that HTTP/2 is spoken there, and how many streams
//! are granted; that it is not is a failure to connect, before anything of a request has been sent. All
//! who want a stream meanwhile wait for the same connection, as many as it is likely to have streams for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::task::spawn_local;
use tokio::time::{Duration, Instant, timeout_at};

use super::stock::{Opened, Opening};
use super::wire::Wire;
use super::{Life, STREAMS, Trunk, WINDOW_BYTES};
use crate::cluster::connect::{ConnectError, connect};
use crate::cluster::peer::{Peer, Way};
use crate::cluster::pool::Pool;
use crate::cluster::pool::fate::Fate;
use crate::cluster::pool::shelf::Shelf;
use crate::config::Protocol;
use crate::deadline::Deadline;
use crate::proxy_protocol::Subject;
use crate::socket::{Stream, Tally};
use crate::tls::client::Secure;
use crate::wire::Limits;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// The most streams that may be reset by us for what the upstream did wrong until the connection ends, with all
/// that others have on it. More than those that can be open when it is [given up](super::FAULTS).
const FAULTS: usize = STREAMS + super::FAULTS;

/// The most of a stream's data that waits to be written.
const UNSENT_BYTES: usize = 64 << 10;

/// How a connection is made.
pub(in crate::cluster::pool) struct Dial {
    pub(in crate::cluster::pool) peer: Peer,
    pub(in crate::cluster::pool) tls: Option<Secure>,
    /// HTTP/2, or what the endpoint chooses.
    pub(in crate::cluster::pool) protocol: Protocol,
    pub(in crate::cluster::pool) patience: Duration,
    /// What comes first.
    pub(in crate::cluster::pool) header: Vec<u8>,
}

/// Begins to open a connection, which goes to `shelf`. Whoever wants it waits for that; it is opened even if
/// nobody does any more.
pub(in crate::cluster::pool) fn open(
    pool: &Pool,
    shelf: &Rc<Shelf>,
    told: Option<&Rc<Subject>>,
    heads: Limits,
    dial: Dial,
) -> Rc<Opening> {
    let opening = shelf.stock.begin(told, heads);
    spawn_local(run(pool.clone(), Rc::clone(shelf), Rc::clone(&opening), dial));
    opening
}

async fn run(pool: Pool, shelf: Rc<Shelf>, opening: Rc<Opening>, dial: Dial) {
    let (connection, life, trunk) = match begin(&pool, &shelf, &opening, &dial).await {
        Ok(Begun::Shared(trunk, connection)) => {
            shelf.stock.opened(&opening, Ok(Opened::Shared(&trunk)));
            (connection, Rc::clone(&trunk.life), Rc::downgrade(&trunk))
        }
        Ok(Begun::Single(stream)) => {
            let opened = Opened::Single(stream, shelf.now());
            return shelf.stock.opened(&opening, Ok(opened));
        }
        Err(error) => return shelf.stock.opened(&opening, Err(error)),
    };
    drop((pool, shelf, opening, dial));
    drive(*connection, &life, &trunk).await;
    life.over.set(true);
    if let Some(trunk) = trunk.upgrade() {
        trunk.retire(Fate::Closed);
    }
    tracing::trace!(endpoint = %life.peer, why = life.fate.get().words(), "connection closed");
}

/// What has come of it.
enum Begun {
    Shared(Rc<Trunk>, Box<Connection<Wire, Bytes>>),
    /// The endpoint has chosen HTTP/1.
    Single(Stream),
}

async fn begin(
    pool: &Pool,
    shelf: &Rc<Shelf>,
    opening: &Opening,
    dial: &Dial,
) -> Result<Begun, ConnectError> {
    let deadline = Instant::now() + dial.patience;
    let to = Way { peer: &dial.peer, tls: dial.tls.as_ref() };
    let offered = dial.protocol.offered();
    let stream = connect(to, dial.patience, &dial.header, offered, || pool.relieve()).await?;
    if !stream.is_plain() && stream.protocol() != Some(Protocol::HTTP2) {
        return match dial.protocol {
            Protocol::Auto => Ok(Begun::Single(stream)),
            Protocol::Http1 | Protocol::Http2 => Err(ConnectError::Unagreed),
        };
    }
    let secure = !stream.is_plain();
    let life = Rc::new(Life {
        peer: dial.peer.clone(),
        read: Tally::default(),
        flood: RefCell::default(),
        fate: Cell::new(Fate::Closed),
        over: Cell::new(false),
        driver: RefCell::new(Waker::noop().clone()),
    });
    let agreed = timeout_at(deadline, agree(stream, &life, opening.heads)).await;
    let (sender, mut connection) = agreed.map_err(|_late| ConnectError::TimedOut)??;
    let Some(pings) = connection.ping_pong() else {
        return Err(ConnectError::Failed(io::ErrorKind::Other.into()));
    };
    let now = Instant::now();
    let trunk = Rc::new(Trunk {
        sender,
        pings: RefCell::new(pings),
        seen: Cell::new((life.read.bytes(), now)),
        life,
        home: Rc::downgrade(shelf),
        told: opening.told.clone(),
        heads: opening.heads,
        secure,
        streams: Cell::new(0),
        most: Cell::new(STREAMS),
        faults: Cell::new(0),
        served: Cell::new(false),
        idle_since: Cell::new(now),
        looked: Cell::new(now),
        asked: Cell::new(None),
        doubted: Cell::new(None),
    });
    Ok(Begun::Shared(trunk, Box::new(connection)))
}

/// Exchanges SETTINGS.
async fn agree(
    stream: Stream,
    life: &Rc<Life>,
    heads: Limits,
) -> Result<(SendRequest<Bytes>, Connection<Wire, Bytes>), ConnectError> {
    let list = heads.head_bytes.saturating_add(heads.fields.saturating_mul(32)).saturating_mul(2);
    let window = WINDOW_BYTES.saturating_mul(u32::try_from(STREAMS).unwrap_or(u32::MAX));
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(window)
        // What is somewhat too large is for us to refuse, as we can say why.
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_send_buffer_size(UNSENT_BYTES)
        .max_local_error_reset_streams(Some(FAULTS))
        // None until the upstream has said how many: that tells us that it has.
        .initial_max_send_streams(0);
    let handshake = builder.handshake(Wire::new(stream, life));
    let (sender, mut connection) = handshake.await.map_err(ConnectError::Http2)?;
    poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            let closed = || ConnectError::Failed(io::ErrorKind::UnexpectedEof.into());
            return Poll::Ready(Err(ended.err().map_or_else(closed, ConnectError::Http2)));
        }
        if sender.current_max_send_streams() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok((sender, connection))
}

/// Drives a connection to its end. When nobody has it any more, it says goodbye.
async fn drive(mut connection: Connection<Wire, Bytes>, life: &Life, trunk: &Weak<Trunk>) {
    let mut goodbye = Deadline::default();
    let ended = poll_fn(|context: &mut Context<'_>| {
        life.driver.borrow_mut().clone_from(context.waker());
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(ended);
        }
        if trunk.strong_count() > 0 {
            return Poll::Pending;
        }
        if !goodbye.is_set() {
            goodbye.set(GOODBYE);
        }
        ready!(goodbye.poll(context));
        Poll::Ready(Ok(()))
    });
    if let Err(error) = ended.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection");
    }
}
