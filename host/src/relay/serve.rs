//! One downstream connection: hyper's server over our stream, watched for silence.
//!
//! hyper's own timer covers heads only, and cannot tell a slow head from an idle connection; here
//! both are told apart by the bytes that have come. The clock runs only while no request is open.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::deadline::Deadline;
use crate::drain::Watcher;
use crate::listener::accept::Accepted;
use crate::listener::stream::Downstream;
use crate::relay::client::Client;
use crate::relay::handle;
use crate::socket::Stream;
use crate::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted, drain: Watcher) {
    let Accepted { listener: name, stream, address, ticket } = accepted;
    let view = worker.view();
    let Some(listener) = view.listener(&name).cloned() else { return };
    drop(view);
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => Stream::Tcp(stream),
        Err(error) => {
            tracing::warn!(listener = &*name, "connection cannot be served: {error}");
            return;
        }
    };
    let _guard = drain.guard();
    let _open = listener.metrics.connection(worker.index);
    let settings = &listener.settings;
    let (downstream, handle_of_stream) = Downstream::new(stream, settings.body_timeout);
    let client = Client::new(&listener, Some(address), ticket.slot, handle_of_stream);
    let service = service_fn({
        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
        move |request| {
            let served = handle(Rc::clone(&worker), Rc::clone(&client), request);
            async move { Ok::<_, Infallible>(served.await) }
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(settings.max_head_bytes)
        .max_headers(settings.max_headers)
        .serve_connection(TokioIo::new(downstream), service);
    let patience = Patience {
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        watch: Watch::default(),
    };
    if let Err(error) = patience.watch(connection, &client, drain).await {
        tracing::debug!(listener = &*name, client = %address, "connection ended: {error}");
    }
}

/// How long a client may be silent.
struct Patience {
    head_timeout: Duration,
    idle_timeout: Duration,
    watch: Watch,
}

#[derive(Default)]
struct Watch {
    deadline: Deadline,
    phase: Phase,
    /// Bytes read when the connection last fell idle.
    idle_at: u64,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Phase {
    /// A request is open.
    #[default]
    Busy,
    /// None, and nothing of the next has come.
    Idle,
    /// Part of the next head has come.
    Head,
}

impl Patience {
    /// Drives a connection until it ends, the client is silent for too long, or the process drains
    /// and the open request is done.
    async fn watch<C>(mut self, connection: C, client: &Client, drain: Watcher) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>> + Graceful,
    {
        let mut connection = pin!(connection);
        let mut draining = pin!(drain.draining());
        let mut drained = false;
        poll_fn(|context| {
            if !drained && draining.as_mut().poll(context).is_ready() {
                drained = true;
                connection.as_mut().leave();
            }
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            self.look(client);
            // A client that is silent for too long is not told: what it would read may be taken
            // for the answer to a request that it is just sending.
            self.watch.deadline.poll(context).map(Ok)
        })
        .await
    }

    fn look(&mut self, client: &Client) {
        let read = client.stream.read_bytes();
        let watch = &mut self.watch;
        let phase = if client.open.get() > 0 {
            Phase::Busy
        } else if watch.phase == Phase::Busy {
            watch.idle_at = read;
            Phase::Idle
        } else if read > watch.idle_at {
            Phase::Head
        } else {
            watch.phase
        };
        if phase == watch.phase && phase != Phase::Busy {
            return;
        }
        watch.phase = phase;
        match phase {
            Phase::Busy => watch.deadline.clear(),
            Phase::Idle => watch.deadline.set(self.idle_timeout),
            Phase::Head => watch.deadline.set(self.head_timeout),
        }
    }
}

/// A connection that can be told to end after the request that is open.
trait Graceful {
    /// Tells it so.
    fn leave(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::Connection<TokioIo<Downstream>, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
