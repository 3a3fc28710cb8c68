//! The life of a TCP connection that is relayed as it is: its first bytes are shown to a stream router until
//! that has decided, an upstream is connected to, and what comes from one side goes to the other.
//!
//! What a client sends is kept until it is decided about, and no longer: as much as `max-buffer`, for as
//! long as `decide-timeout`. Meanwhile, and while an upstream is being connected to, the rest waits in the
//! kernel. A connection sees one version of its router; that is let go with the upstream's first byte,
//! after which nobody asks it any more, so that streams which last keep no superseded plugin.
//!
//! A connection that ends before an upstream has said anything ends in order for its client: there is
//! nothing that could be taken for whole. What is cut off later is reset.

mod client;
mod connect;
mod decide;
mod error;
mod record;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::config::Tcp;
use crate::drain::Watcher;
use crate::listener::accept::Accepted;
use crate::plugin::{Connection, Exchange, Plugin, Trail, Trouble};
use crate::proxy_protocol::Subject;
use crate::relay::choice::Notes as _;
use crate::relay::introduction::{introduce, secure};
use crate::socket::Stream;
use crate::stream::client::Client;
use crate::stream::error::Error;
use crate::stream::record::Record;
use crate::tunnel::{self, End, Ended, Side, Terms};
use crate::view::{Listener, View};
use crate::worker::Worker;

/// The number of the next connection.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted, drain: Watcher) {
    let Accepted { stream, mut caller } = accepted;
    let view = worker.view();
    let Some(listener) = view.behind(&caller.door).cloned() else { return };
    let name = Arc::clone(&listener.settings.name);
    let Some(settings) = listener.settings.tcp.clone() else { return };
    let mut stream = match stream.register() {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(listener = &*name, "connection cannot be served: {error}");
            return;
        }
    };
    let _guard = drain.guard();
    let _open = listener.metrics.connection(worker.index);
    let caller_of = (&mut stream, &mut caller);
    let introduced = introduce(&worker, &listener, caller_of, drain.draining()).await;
    let Some(introduction) = introduced else { return };
    let secured = secure(&worker, &listener, (stream, &caller), drain.draining()).await;
    let Some((stream, tls)) = secured else { return };
    let record = Record::new(&worker, &listener, introduction.client);
    let connection = Connection {
        listener: name,
        client: introduction.client,
        slot: caller.ticket.slot(),
        scheme: "tcp",
        tls,
    };
    let trail = Trail::new(record.id().clone(), worker.writes_access());
    let visit = Visit {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        exchange: Some(Exchange::of_stream(Arc::new(connection), trail)),
        subject: introduction.subject(),
        record,
        settings,
        listener,
        view,
        worker,
    };
    visit.attend(Client::new(stream)).await;
}

/// A connection that nobody has decided about yet, with what it sees to its end.
struct Visit {
    worker: Rc<Worker>,
    view: Rc<View>,
    listener: Rc<Listener>,
    settings: Tcp,
    /// What upstreams are told of the client.
    subject: Subject,
    /// What the stream router knows it by.
    id: u64,
    /// What plugins see of it. There but while one sees it.
    exchange: Option<Box<Exchange>>,
    record: Record,
}

/// An upstream that is connected to.
struct Joined {
    stream: Stream,
    /// What it is sent first.
    first: Bytes,
    /// How long its first byte may take.
    patience: Option<Duration>,
    /// Who has decided that it is this one, as long as it may have to be told of trouble.
    by: Option<Pinned>,
}

/// A stream router that has decided.
struct Pinned {
    plugin: Plugin,
    exchange: Box<Exchange>,
    id: u64,
}

impl Visit {
    /// From the first byte to the last.
    async fn attend(self, mut client: Client) {
        let (worker, listener) = (Rc::clone(&self.worker), Rc::clone(&self.listener));
        let idle = listener.settings.idle_timeout;
        // Boxed, as a stream may last long and has no use for its room.
        let (mut record, joined) = Box::pin(self.join(&mut client)).await;
        match joined {
            Ok(Some(joined)) => {
                let metrics = Arc::clone(&listener.metrics);
                drop(listener);
                let _open = metrics.stream(worker.index);
                let cut = relay(&mut record, &mut client, joined, idle).await;
                record.ended(cut);
            }
            Ok(None) => record.ended(None),
            Err(error) => record.ended(Some(error)),
        }
        // What has become of it is known, however long the client takes to notice.
        drop((record, worker));
        client.leave().await;
    }

    /// Decides and connects; none if the client has got all that it gets.
    async fn join(mut self, client: &mut Client) -> (Record, Result<Option<Joined>, Error>) {
        let joined = match self.decide(client).await {
            Ok(Some(decided)) => {
                self.worker.budget.request();
                self.connect(client, decided).await.map(Some)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        (self.record, joined)
    }
}

impl Pinned {
    /// Tells of trouble at an endpoint.
    async fn tell(self, record: &mut Record, upstream: String, trouble: Trouble) {
        let Self { plugin, exchange, id } = self;
        let exchange = plugin.failed(exchange, id, upstream, trouble).await;
        record.called(&plugin, &exchange);
    }
}

/// Has both sides talk until they have ended. Gives why that was early, if it was.
async fn relay(
    record: &mut Record,
    client: &mut Client,
    joined: Joined,
    idle: Duration,
) -> Option<Error> {
    let Joined { stream, first, patience, mut by } = joined;
    let mut downstream = End { stream: client.take()?, early: first };
    let mut upstream = End { stream, early: Bytes::new() };
    let terms = Terms { silence: idle, first_byte: patience, must_answer: true };
    let passed = |side, bytes| {
        if side == Side::Upstream {
            // It is told of no trouble from now on.
            by = None;
        }
        record.passed(side, bytes);
    };
    let ended = tunnel::relay(&mut downstream, &mut upstream, &terms, passed).await;
    let endpoint = record.endpoint_label();
    let (error, trouble) = match ended {
        Ended::Complete => return None,
        Ended::Silent => return Some(Error::idle(record.listener(), idle)),
        Ended::Broken(side, how) => return Some(Error::Broken(side, endpoint.into(), how)),
        Ended::Empty => (Error::Unheard(endpoint.as_str().into()), Some(Trouble::Connect)),
        Ended::Late { client_ended } => {
            // One that has ended may have left: nobody may be waiting.
            let trouble = (!client_ended).then_some(Trouble::Inactivity);
            (Error::Inactive(endpoint.as_str().into(), patience.unwrap_or_default()), trouble)
        }
    };
    // It has got nothing from the upstream that it could take for whole.
    downstream.stream.resets(false);
    client.put(downstream.stream);
    if let (Some(by), Some(trouble)) = (by, trouble) {
        by.tell(record, endpoint, trouble).await;
    }
    Some(error)
}
