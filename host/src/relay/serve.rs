//! One downstream connection: whose it is and what it speaks, then, of HTTP/1, hyper's server over our
//! stream, watched for silence.
//!
//! hyper's own timer covers heads only, and cannot tell a slow head from an idle connection; here
//! both are told apart by the bytes that have come. While a request is open the same clock measures
//! that, if there is a limit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use crate::body::Received;
use crate::config;
use crate::deadline::Deadline;
use crate::drain::Watcher;
use crate::listener::accept::Accepted;
use crate::listener::handle::Handle;
use crate::listener::stream::{Downstream, Sole};
use crate::metrics::Refusal;
use crate::relay::client::{Client, Peer};
use crate::relay::introduction::{introduce, secure};
use crate::relay::version::{self, Spoken};
use crate::relay::{handle, http2};
use crate::tunnel;
use crate::wire::{Fault, Limits};
use crate::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted, drain: Watcher) {
    let Accepted { stream, mut caller } = accepted;
    let Some(listener) = worker.view().behind(&caller.door).cloned() else { return };
    let name = Arc::clone(&listener.settings.name);
    let mut stream = match stream.register() {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(listener = &*name, "connection cannot be served: {error}");
            return;
        }
    };
    let _guard = drain.guard();
    let _open = listener.metrics.connection(worker.index);
    let settings = &listener.settings;
    let (door, caller_peer) = (Arc::clone(&caller.door), caller.peer);
    let leaving = async || {
        tokio::select! {
            () = drain.draining() => {}
            () = worker.departure(&door) => {}
        }
    };
    let introduced = introduce(&worker, &listener, (&mut stream, &mut caller), leaving()).await;
    let Some(introduction) = introduced else { return };
    let secured = secure(&worker, &listener, (stream, &caller), leaving()).await;
    let Some((mut stream, known)) = secured else { return };
    let peer = Peer::new(&listener, &introduction, (&caller, known));
    let Some(spoken) = version::spoken(&mut stream, settings, leaving()).await else { return };
    let early = match spoken {
        Spoken::Http1(early) => early,
        Spoken::Http2(early) => {
            let connection = http2::Driver::new(&worker, (stream, early), peer, settings);
            drop(listener);
            // Apart, as most have no use for the room.
            return Box::pin(connection.run(leaving())).await;
        }
    };
    let limits = Limits {
        head_bytes: settings.max_head_bytes,
        fields: settings.max_headers,
        target_bytes: settings.max_target_bytes,
    };
    let (downstream, sole) = Downstream::new(stream, limits, settings.body_timeout);
    downstream.resume(&early);
    let client = Client::new(peer, Handle::Http1(sole.clone()));
    let service = service_fn({
        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
        // hyper keeps the room of this future for as long as the connection lasts: boxed, it is small.
        move |request: Request<Incoming>| {
            let request = request.map(Received::from);
            Box::pin(handle(Rc::clone(&worker), Rc::clone(&client), request))
        }
    });
    let mut connection = http1::Builder::new()
        // It takes a head that fills its buffer for one too large.
        .max_buf_size(settings.max_head_bytes + 1)
        .max_headers(settings.max_headers)
        .serve_connection(TokioIo::new(downstream), service);
    let mut patience = Patience::with(settings);
    // Requests look the listener up anew: a connection that stays open keeps no old plugins.
    drop(listener);
    // What was agreed on has a record that keeps the client, which keeps the agreement.
    let _forget = Forget(&client);
    let end = patience.watch(&mut connection, (&client, &sole), leaving()).await;
    if sole.speaks_tls() {
        let reason = &"it speaks TLS, and this listener has no `tls`";
        door.refuse(worker.index, caller_peer, Refusal::Tls, reason);
    }
    if let Err(error) = &end {
        tracing::debug!(listener = &*name, client = %client.peer.text, "connection ended: {error}");
    }
    if let Ok(End::Over) = end {
        finish(connection.into_parts(), &client, &sole).await;
    }
}

/// Takes over when hyper is done: what was agreed on goes on, and what it left open is closed.
async fn finish<S>(parts: http1::Parts<TokioIo<Downstream>, S>, client: &Client, sole: &Sole) {
    let mut downstream = parts.io.into_inner();
    match client.agreed.take() {
        // An answer that is not written whole can be followed by nothing.
        Some(_) if sole.is_busy() => {}
        Some(agreement) => {
            let (stream, kept) = downstream.into_parts();
            let mut early = BytesMut::from(parts.read_buf);
            early.extend_from_slice(&kept);
            agreement.keep(tunnel::End { stream, early: early.freeze() }).await;
        }
        // Where a client has asked for another protocol and not got it, hyper does not.
        None if !downstream.is_shut() => {
            let _ = downstream.shutdown().await;
        }
        None => {}
    }
}

struct Forget<'c>(&'c Client);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.agreed.take();
    }
}

/// How a connection's time with hyper has ended.
enum End {
    /// hyper is done with it.
    Over,
    /// The client was silent for too long.
    Silent,
}

/// How long a client may be silent, and its request take.
struct Patience {
    head_timeout: Duration,
    idle_timeout: Duration,
    request_timeout: Option<Duration>,
    deadline: Deadline,
    /// What the connection was last seen doing.
    phase: Option<Phase>,
    /// Requests that had begun by then.
    begun: u64,
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
    /// That of a listener.
    fn with(settings: &config::Listener) -> Self {
        Self {
            head_timeout: settings.head_timeout,
            idle_timeout: settings.idle_timeout,
            request_timeout: settings.request_timeout,
            deadline: Deadline::default(),
            phase: None,
            begun: 0,
        }
    }

    /// Drives a connection until it ends, the client is silent for too long, or it is told to leave
    /// and the open request is done.
    async fn watch<C>(
        &mut self,
        connection: &mut C,
        (client, sole): (&Client, &Sole),
        leaving: impl Future<Output = ()>,
    ) -> hyper::Result<End>
    where
        C: Future<Output = hyper::Result<()>> + Graceful + Unpin,
    {
        let mut connection = Pin::new(connection);
        let mut leaving = pin!(leaving);
        let (mut left, mut again) = (false, false);
        poll_fn(|context| {
            if !left && leaving.as_mut().poll(context).is_ready() {
                left = true;
                connection.as_mut().leave();
            }
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(context) {
                    // Where a client has asked for another protocol, hyper is done before all is
                    // written. If there is none, it goes on as after any last answer.
                    if result.is_ok() && owes(client, sole) && !std::mem::replace(&mut again, true)
                    {
                        continue;
                    }
                    return Poll::Ready(result.map(|()| End::Over));
                }
                self.look(client, sole);
                ready!(self.deadline.poll(context));
                self.deadline.clear();
                match self.phase {
                    Some(Phase::Head) => sole.refuse(Fault::HeadTime),
                    Some(Phase::Busy)
                        if client.expire(self.request_timeout.unwrap_or_default()) => {}
                    // A client that is silent between requests is not told: what it would read may
                    // be taken for the answer to a request that it is just sending. One that has
                    // the head of a response can see that it breaks off.
                    _ => return Poll::Ready(Ok(End::Silent)),
                }
            }
        })
        .await
    }

    /// Sets the clock by what the connection is doing now. A request may have come and gone since
    /// the last look: then the connection has just fallen idle.
    fn look(&mut self, client: &Client, sole: &Sole) {
        let begun = client.peer.begun();
        let phase = if sole.has_request() || sole.is_busy() {
            Phase::Busy
        } else if sole.is_within_head() {
            Phase::Head
        } else {
            Phase::Idle
        };
        if self.phase == Some(phase) && begun == self.begun {
            return;
        }
        (self.phase, self.begun) = (Some(phase), begun);
        match phase {
            Phase::Busy => match self.request_timeout {
                Some(time) => self.deadline.set(time),
                None => self.deadline.clear(),
            },
            Phase::Idle => self.deadline.set(self.idle_timeout),
            Phase::Head => self.deadline.set(self.head_timeout),
        }
    }
}

/// Whether an answer is not written whole that no other protocol follows.
fn owes(client: &Client, sole: &Sole) -> bool {
    sole.is_busy() && !client.agreed.is_there()
}

/// A connection that can be told to end after the request that is open.
trait Graceful {
    /// Tells it so.
    fn leave(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::Connection<TokioIo<Downstream>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
