//! What stream routers are asked: where a TCP connection goes, and to take note of what became of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::config::OnFailure;
use crate::plugin::ask::Answered;
use crate::plugin::bindings::stream_router;
use crate::plugin::convert::Upstream;
use crate::plugin::definition::Definition;
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::Running;
use crate::plugin::instance::{Call, Faces};
use crate::plugin::shadow::Answer;
use crate::plugin::{Plugin, Rejected};

/// The most upstreams that a decision names.
const MOST: usize = 64;

/// What a connection's plugin has answered, with the exchange; `None` if it failed, and is to be passed
/// over.
type Asked<T> = (Box<Exchange>, Result<Option<T>, Rejected>);

/// Where a stream router sends a connection, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// It takes more bytes to tell.
    Wait,
    /// To an upstream.
    Forward(Box<Destination>),
    /// Closed, once the client has been sent this.
    Close(Bytes),
}

/// Where a connection goes, and what is said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The upstreams to try, in order; at least one.
    pub upstreams: Vec<Upstream>,
    /// What the upstream is sent in place of the bytes so far.
    pub data: Option<Bytes>,
    /// What the client is sent at once.
    pub reply: Option<Bytes>,
    /// How long each attempt to connect may take, if not as long as its cluster says.
    pub connect_timeout: Option<Duration>,
    /// How long the upstream's first byte may take.
    pub inactivity_timeout: Option<Duration>,
}

/// Why a decided connection ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No upstream could be connected to, or the one that could closed without a word.
    Connect,
    /// The upstream sent nothing in time.
    Inactivity,
}

impl Plugin {
    /// Tells a stream router of a connection, by its number. Gives what is to be said to the client.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn accepted(&self, exchange: Box<Exchange>, id: u64) -> Asked<Option<Bytes>> {
        let face = |faces: &Faces| faces.accepted;
        let call = Call { name: "accepted", face, params: (id,), running: Running::Stream };
        let (exchange, answer) = self.ask(call, exchange).await;
        let greeting = answer.map(|(greeting,)| greeting.map(Bytes::from));
        (exchange, self.or_passed_over(greeting))
    }

    /// Asks a stream router about the bytes of a connection so far, and whether no more will come.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn course(&self, exchange: Box<Exchange>, id: u64, ended: bool) -> Asked<Course> {
        let (exchange, course) = self.steer(exchange, id, ended).await;
        let ask = move |shadow: Self, copy| async move { shadow.steer(copy, id, ended).await };
        self.shadowed("decide", &exchange, &course, ask);
        (exchange, self.or_passed_over(course))
    }

    /// Tells a stream router that a connection which it has decided about has failed, and at which
    /// address. That it fails itself on this changes nothing, but is counted and logged.
    pub async fn failed(
        &self,
        exchange: Box<Exchange>,
        id: u64,
        upstream: String,
        trouble: Trouble,
    ) -> Box<Exchange> {
        let trouble = match trouble {
            Trouble::Connect => stream_router::Trouble::Connect,
            Trouble::Inactivity => stream_router::Trouble::Inactivity,
        };
        let (face, params) = (|faces: &Faces| faces.undone, (id, upstream, trouble));
        let call = Call { name: "failed", face, params, running: Running::Stream };
        self.ask(call, exchange).await.0
    }

    /// Notes a decision that fits the contract and yet cannot be followed.
    ///
    /// # Errors
    ///
    /// If its `on-failure` is `reject`; else it is to be passed over.
    pub fn unfit_course(&self, text: String, exchange: &mut Exchange) -> Result<(), Rejected> {
        let kept = self.kept(Err(Failure::Contract(text)), "decide", exchange);
        kept.or_else(|failure| self.instead(&failure, OnFailure::Next, ()))
    }

    async fn steer(&self, exchange: Box<Exchange>, id: u64, ended: bool) -> Answered<Course> {
        let bytes = exchange.stream.as_ref().map(|stream| stream.bytes.clone()).unwrap_or_default();
        let (face, params) = (|faces: &Faces| faces.decide, (id, bytes, ended));
        let call = Call { name: "decide", face, params, running: Running::Stream };
        let (mut exchange, answer) = self.ask(call, exchange).await;
        let kept = |(decision,)| self.kept(course(decision), "decide", &mut exchange);
        let course = answer.and_then(kept);
        (exchange, course)
    }

    fn or_passed_over<T>(&self, answer: Result<T, Failure>) -> Result<Option<T>, Rejected> {
        answer.map(Some).or_else(|failure| self.instead(&failure, OnFailure::Next, None))
    }
}

/// Checks a decision.
fn course(decision: stream_router::Decision) -> Result<Course, Failure> {
    let target = match decision {
        stream_router::Decision::Wait => return Ok(Course::Wait),
        stream_router::Decision::Close(last) => {
            return Ok(Course::Close(last.map(Bytes::from).unwrap_or_default()));
        }
        stream_router::Decision::Forward(target) => target,
    };
    let count = target.upstreams.len();
    if !(1..=MOST).contains(&count) {
        return Err(Failure::Contract(format!("{count} upstreams are not 1 to {MOST}")));
    }
    let upstream = |upstream| match upstream {
        stream_router::Upstream::Cluster(name) => Upstream::Cluster(name),
        stream_router::Upstream::Address(address) => Upstream::Address(address),
    };
    // No time at all would be a failure whatever the upstream does.
    let time = |milliseconds: u32| Duration::from_millis(milliseconds.max(1).into());
    Ok(Course::Forward(Box::new(Destination {
        upstreams: target.upstreams.into_iter().map(upstream).collect(),
        data: target.data.map(Bytes::from),
        reply: target.reply.map(Bytes::from),
        connect_timeout: target.connect_timeout.map(time),
        inactivity_timeout: target.inactivity_timeout.map(time),
    })))
}

impl fmt::Display for Course {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait => formatter.write_str("wait"),
            Self::Close(last) => write!(formatter, "close after {} bytes", last.len()),
            Self::Forward(destination) => {
                let upstreams = destination.upstreams.iter().map(ToString::to_string);
                write!(formatter, "forward to {}", upstreams.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Answer for Course {
    fn told(&self, _by: &Definition) -> String {
        self.to_string()
    }
}
