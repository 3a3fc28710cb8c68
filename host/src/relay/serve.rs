//! One downstream connection: hyper's server over our stream, watched for silence.
//!
//! hyper's own timer covers heads only, and cannot tell a slow head from an idle connection; here
//! both are told apart by the bytes that have come. The clock runs only while no request is open.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::config::Name;
use crate::deadline::Deadline;
use crate::drain::Watcher;
use crate::listener::accept::Accepted;
use crate::listener::stream::Downstream;
use crate::log::access::calls::Calls;
use crate::log::access::{AccessRecord, Times};
use crate::relay::client::Client;
use crate::relay::error::{Error, Limit};
use crate::relay::handle;
use crate::relay::introduction::introduce;
use crate::socket::Stream;
use crate::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted, drain: Watcher) {
    let Accepted { stream, mut caller } = accepted;
    let name = Arc::clone(&caller.door.listener);
    let view = worker.view();
    let Some(listener) = view.listener(&name).cloned() else { return };
    drop(view);
    let mut stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(listener = &*name, "connection cannot be served: {error}");
            return;
        }
    };
    let _guard = drain.guard();
    let _open = listener.metrics.connection(worker.index);
    let settings = &listener.settings;
    let departure = worker.departure(&name);
    let leaving = async || {
        tokio::select! {
            () = drain.draining() => {}
            () = departure.notified() => {}
        }
    };
    let introduced = introduce(&worker, &listener, (&mut stream, &mut caller), leaving()).await;
    let Some(introduction) = introduced else { return };
    let (downstream, handle_of_stream) =
        Downstream::new(Stream::Tcp(stream), settings.body_timeout);
    let slot = caller.ticket.slot();
    let client = Client::new(&listener, &introduction, slot, handle_of_stream);
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
    let mut patience = Patience {
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        deadline: Deadline::default(),
        phase: None,
        begun: 0,
        idle_at: 0,
    };
    let limits = (settings.max_head_bytes, settings.max_headers);
    // Requests look the listener up anew: a connection that stays open keeps no old plugins.
    drop(listener);
    if let Err(error) = patience.watch(connection, &client, leaving()).await {
        if error.is_parse() {
            let head = client.stream.read_bytes().saturating_sub(patience.idle_at);
            refused(&worker, &client, &error, (head, limits.0, limits.1));
        }
        tracing::debug!(listener = &*name, client = %client.text, "connection ended: {error}");
    }
}

/// Writes down a request that hyper has refused, and answered by itself.
fn refused(worker: &Worker, client: &Client, error: &hyper::Error, limits: (u64, usize, usize)) {
    let (status, reason) = refusal(error, limits, &client.listener);
    client.metrics.request(worker.index, status, Duration::ZERO);
    worker.count_error(Error::BadRequest("").index());
    worker.write(&AccessRecord {
        time: SystemTime::now(),
        id: &worker.issue_id(),
        client: &client.text,
        listener: &client.listener,
        method: "-",
        target: b"-",
        protocol: Version::HTTP_11,
        status,
        bytes_up: 0,
        bytes_down: 0,
        route: None,
        cluster: None,
        endpoint: None,
        balancer: None,
        fallback: false,
        attempts: 0,
        plugins: &Calls::default(),
        times: Times::default(),
        error: Some(&reason),
        retried: None,
    });
}

/// The status that hyper answers, and why. It tells neither of the limits that a head can break:
/// one that has as many bytes as are read for a head has broken that one.
fn refusal(
    error: &hyper::Error,
    (head, max_head_bytes, max_headers): (u64, usize, usize),
    listener: &Name,
) -> (u16, String) {
    if !error.is_parse_too_large() {
        return (400, format!("bad request: {error}"));
    }
    let text = error.to_string();
    if text.contains("URI") {
        return (414, "the request target is longer than 65534 bytes".to_owned());
    }
    let reason = if head >= u64::try_from(max_head_bytes).unwrap_or(u64::MAX) {
        let limit = Limit::max_head_bytes(listener, max_head_bytes);
        format!("the request head is larger than {limit}")
    } else {
        format!(
            "the request head has more fields than max-headers = {max_headers} of listener {listener}"
        )
    };
    (431, reason)
}

/// How long a client may be silent.
struct Patience {
    head_timeout: Duration,
    idle_timeout: Duration,
    deadline: Deadline,
    /// What the connection was last seen doing.
    phase: Option<Phase>,
    /// Requests that had begun by then.
    begun: u64,
    /// Bytes read when the connection last fell idle.
    idle_at: u64,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Phase {
    /// A request is open.
    Busy,
    /// None, and nothing of the next has come.
    Idle,
    /// Part of the next head has come.
    Head,
}

impl Patience {
    /// Drives a connection until it ends, the client is silent for too long, or it is told to leave
    /// and the open request is done.
    async fn watch<C>(
        &mut self,
        connection: C,
        client: &Client,
        leaving: impl Future<Output = ()>,
    ) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>> + Graceful,
    {
        let mut connection = pin!(connection);
        let mut leaving = pin!(leaving);
        let mut left = false;
        poll_fn(|context| {
            if !left && leaving.as_mut().poll(context).is_ready() {
                left = true;
                connection.as_mut().leave();
            }
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            self.look(client);
            // A client that is silent for too long is not told: what it would read may be taken
            // for the answer to a request that it is just sending.
            self.deadline.poll(context).map(Ok)
        })
        .await
    }

    /// Sets the clock by what the connection is doing now. A request may have come and gone since
    /// the last look: then the connection has just fallen idle.
    fn look(&mut self, client: &Client) {
        let (read, begun) = (client.stream.read_bytes(), client.begun());
        let fresh = begun != self.begun || self.phase == Some(Phase::Busy);
        let phase = if client.is_busy() {
            Phase::Busy
        } else if fresh {
            self.idle_at = read;
            Phase::Idle
        } else if read > self.idle_at {
            Phase::Head
        } else {
            Phase::Idle
        };
        if self.phase == Some(phase) && begun == self.begun {
            return;
        }
        (self.phase, self.begun) = (Some(phase), begun);
        match phase {
            Phase::Busy => self.deadline.clear(),
            Phase::Idle => self.deadline.set(self.idle_timeout),
            Phase::Head => self.deadline.set(self.head_timeout),
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
