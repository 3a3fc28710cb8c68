//! The administrator's listener: what an operator sees, and the few things that can be asked for.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the status page ([`status`](crate::status)); `?format=json` gives what is on it |
//! | `GET /healthz` | `ok`, or 503 once the process is leaving |
//! | `GET /metrics` | all that is counted, as OpenMetrics, or as the plain text of Prometheus |
//! | `GET /api/version` | what runs here, and since when |
//! | `GET /api/listeners` | listeners, with their plugins and connections |
//! | `GET /api/clusters` | clusters, with the state and the figures of each endpoint |
//! | `GET /api/plugins` | plugins, with their versions, calls, failures and cost |
//! | `GET /api/plugins/unused` | components in the plugin directory that no plugin uses |
//! | `GET /api/clusters/NAME/endpoints/ADDRESS` | one endpoint |
//! | `POST` to the same | sets its state by hand: `{"state":"drain"}` |
//! | `POST /api/plugins/NAME/rollback` | goes back to the version of a plugin before |
//! | `POST /api/reload` | reads the configuration again, as HUP does |
//!
//! Only reads handles ([`Handles`]) and owns no state; it can ask that the configuration be read again,
//! and set what endpoints keep for themselves. It lives on a thread of its own, so that neither a slow reader here nor a slow
//! compilation there holds up the other. Whoever is asked for what, [`guard`] comes first: requests
//! that a browser was tricked into are refused, and what changes something needs the token, as does
//! anything but `/healthz` from another machine.

pub mod guard;
mod routes;
mod states;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc as blocking};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use http::Request;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::config::Name;
use crate::deadline::Deadline;
use crate::listener::http1::{Connection, Sole};
use crate::listener::shortage::{BACK_OFF, Shortage};
use crate::listener::socket::{Handle, Socket};
use crate::socket::Stream;
use crate::status::Sources;
use crate::wire::Limits;

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// How long a head may take to come, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers may still take when the listener moves or goes.
const GRACE: Duration = Duration::from_secs(2);

/// The largest head, and the most fields of one.
const HEAD_BYTES: usize = 16 << 10;
/// See [`HEAD_BYTES`].
const HEADERS: usize = 64;
/// See [`HEAD_BYTES`].
const TARGET_BYTES: usize = 8 << 10;

/// What is read from. Cheap to clone: shared pointers.
#[derive(Clone)]
pub struct Handles {
    /// What is served and counted.
    pub sources: Sources,
    /// Where wishes for changes go.
    pub orders: mpsc::Sender<Wanted>,
}

/// What the control thread can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// That the configuration be read again.
    Reload,
    /// That a plugin's version before serve.
    RollBack(Name),
}

/// A wish for a change. Dropped, it counts as not granted.
#[derive(Debug)]
pub struct Wanted {
    /// What is asked for.
    pub change: Change,
    reply: oneshot::Sender<Answer>,
}

/// What becomes of a wish.
#[derive(Debug)]
enum Answer {
    /// The generation that is now served, or why nothing has changed.
    Heard(Result<u64, String>),
    /// It is not even tried: too many wait.
    TurnedAway,
}

impl Wanted {
    /// A wish, and where its answer comes.
    fn new(change: Change) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answered) = oneshot::channel();
        (Self { change, reply }, answered)
    }

    /// Whether whoever asked has left.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Tells whoever asked: the generation that is now served, or why nothing has changed.
    pub fn answer(self, result: Result<u64, String>) {
        // Who has left does not want to know.
        let _ = self.reply.send(Answer::Heard(result));
    }

    /// Tells whoever asked that too many wait for the same.
    pub fn turn_away(self) {
        let _ = self.reply.send(Answer::TurnedAway);
    }
}

/// The listener and its thread. Dropping it closes the socket at once; answers that are being given
/// get a moment.
#[derive(Debug)]
pub struct Server {
    /// There until its path is removed, when the thread has closed its own handle.
    socket: Socket,
    stop: Option<oneshot::Sender<()>>,
    closed: blocking::Receiver<()>,
}

impl Server {
    /// Serves on a socket.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(socket: Socket, handles: Handles) -> io::Result<Self> {
        let own = socket.handle()?;
        let (stop, stopped) = oneshot::channel();
        let (closing, closed) = blocking::sync_channel(0);
        thread::Builder::new()
            .name("linkspan-admin".to_owned())
            .spawn(move || run(own, handles, stopped, closing))?;
        Ok(Self { socket, stop: Some(stop), closed })
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        // Whoever comes next may want the same address. The thread never computes for long.
        let _ = self.closed.recv();
    }
}

/// What the thread does.
fn run(
    socket: Handle,
    handles: Handles,
    stopped: oneshot::Receiver<()>,
    closing: blocking::SyncSender<()>,
) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("the admin listener cannot run: {error}"),
    };
    runtime.block_on(async {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let handles = Rc::new(handles);
        tokio::select! {
            _ = stopped => {}
            () = listen(socket, &handles, &seats) => {}
        }
        drop(closing);
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(GRACE, seats.acquire_many(all)).await;
    });
}

/// Accepts for as long as it is polled; dropped, it closes the socket.
async fn listen(socket: Handle, handles: &Rc<Handles>, seats: &Arc<Semaphore>) {
    let listener = match socket.register() {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the admin listener cannot listen: {error}"),
    };
    let mut shortage = Shortage::default();
    loop {
        let Ok(seat) = Arc::clone(seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(time) = shortage.accepted(Instant::now) {
                    let time = time.as_secs_f64();
                    tracing::info!("the admin listener accepts again after {time:.1} s");
                }
                let handles = Rc::clone(handles);
                // Who comes by a Unix socket is on this machine.
                let local = peer.is_none_or(|peer| peer.ip().is_loopback());
                spawn_local(async move {
                    serve(stream, local, handles).await;
                    drop(seat);
                });
            }
            Err(error) => {
                if let Some(failures) = shortage.failed(Instant::now()) {
                    tracing::warn!(failures, "the admin listener cannot accept: {error}");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Serves a connection to its end. `local`: its client is on this machine.
async fn serve(stream: Stream, local: bool, handles: Rc<Handles>) {
    let limits = Limits { head_bytes: HEAD_BYTES, fields: HEADERS, target_bytes: TARGET_BYTES };
    let sole = Sole::new((stream, &[]), limits, WRITE_TIMEOUT);
    let mut connection = Connection::new(&sole, |head, body| {
        let handles = &handles;
        let request = Request::from_parts(*head, body);
        let begun = sole.begin();
        sole.stay();
        async move {
            match begun {
                Ok(()) => routes::answer(request, local, handles).await,
                Err(fault) => routes::refused(fault),
            }
        }
    });
    let mut silence = Deadline::default();
    let ended = poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(Some(ended));
        }
        match (connection.is_serving(), silence.is_set()) {
            (true, _) => silence.clear(),
            (false, false) => silence.set(HEAD_TIMEOUT),
            (false, true) => {}
        }
        silence.poll(context).map(|()| None)
    });
    let ended = match ended.await {
        Some(Ok(())) => connection.close().await,
        Some(ended) => ended,
        None => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!("connection to the admin listener ended: {error}");
    }
}
