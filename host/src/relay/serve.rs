//! One downstream connection: whose it is and what it speaks, then, of HTTP/1, its requests one by one,
//! watched for silence.
//!
//! A slow head and an idle connection are told apart by the bytes that have come. While a request is open
//! the same clock measures that, if there is a limit.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{Response, request};

use crate::body::{Body, Received};
use crate::config;
use crate::deadline::Deadline;
use crate::drain::Watcher;
use crate::listener::accept::Accepted;
use crate::listener::handle::Handle;
use crate::listener::http1::{Connection, Sole};
use crate::metrics::Refusal;
use crate::relay::aside::Aside;
use crate::relay::client::{Client, Peer};
use crate::relay::introduction::{introduce, secure};
use crate::relay::version::{self, Spoken};
use crate::relay::{handle, http2};
use crate::tunnel;
use crate::turn;
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
    let sole = Sole::new((stream, &early), limits(settings), settings.body_timeout);
    let client = Client::new(peer, Handle::Http1(sole.clone()));
    let mut connection = Connection::new(&sole, {
        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
        move |head, body| handle(Rc::clone(&worker), Rc::clone(&client), head, body)
    });
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
    match end {
        Ok(End::Over) => match client.agreed.take() {
            Some(agreement) => {
                if let Some((stream, early)) = connection.into_parts() {
                    agreement.keep(tunnel::End { stream, early }).await;
                }
            }
            None => drop(connection.close().await),
        },
        Ok(End::Silent) => {}
        Err(error) => {
            let client = &client.peer.text;
            tracing::debug!(listener = &*name, client = %client, "connection ended: {error}");
        }
    }
}

/// What bounds the heads of a listener's requests.
fn limits(settings: &config::Listener) -> Limits {
    Limits {
        head_bytes: settings.max_head_bytes,
        fields: settings.max_headers,
        target_bytes: settings.max_target_bytes,
    }
}

struct Forget<'c>(&'c Client);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.agreed.take();
    }
}

/// How a connection's time with HTTP has ended.
enum End {
    /// No request is to follow.
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
    async fn watch<S, F>(
        &mut self,
        connection: &mut Connection<S, F, Body>,
        (client, sole): (&Client, &Sole),
        leaving: impl Future<Output = ()>,
    ) -> io::Result<End>
    where
        S: FnMut(Box<request::Parts>, Received) -> F + Unpin,
        F: Future<Output = Response<Body>>,
    {
        let mut leaving = Aside::new(leaving);
        let mut left = false;
        poll_fn(|context| {
            if !left && leaving.poll(context).is_ready() {
                left = true;
                connection.leave();
            }
            loop {
                let (polled, waits) = turn::waits(|| Pin::new(&mut *connection).poll(context));
                match polled {
                    Poll::Ready(result) => return Poll::Ready(result.map(|()| End::Over)),
                    Poll::Pending if waits => return Poll::Pending,
                    Poll::Pending => {}
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
