//! One call on its way into a recording: what it is about is noted when it begins, what came of it when
//! it is over.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HOST, UPGRADE};

use crate::plugin::exchange::Exchange;
use crate::plugin::members::{Members, Picked};
use crate::plugin::recording::line::{Input, Member, Picking, Report, Request, Response};
use crate::plugin::recording::recorder::Room;
use crate::plugin::recording::shown::plain;
use crate::plugin::recording::{Decided, Line, Outcome, Phase, Recorder, Shown};
use crate::plugin::{Endpoint, Pick, Plugin};

/// A call that is recorded.
pub(in crate::plugin) struct Noting<'r> {
    recorder: &'r Recorder,
    /// Where its line will wait.
    room: Room<'r>,
    /// Whether it would be measured anyway.
    measured: bool,
    pick: Option<Picking>,
}

/// Who has decided.
#[derive(Debug, Clone, Copy)]
struct By<'v> {
    /// The worker's number.
    worker: usize,
    /// The version.
    version: &'v str,
}

impl Plugin {
    /// Begins to note a call, if it is to be recorded. Those about TCP connections are not.
    pub(in crate::plugin) fn noting(&self, exchange: &mut Exchange) -> Option<Box<Noting<'_>>> {
        let recorder = self.recorder.as_deref().filter(|_| exchange.stream.is_none());
        recorder?.noting(exchange)
    }

    /// Records a call that is over, if it was noted.
    pub(in crate::plugin) fn note(
        &self,
        noting: Option<Box<Noting<'_>>>,
        phase: Phase,
        exchange: &mut Exchange,
        decided: impl FnOnce(&Shown) -> Option<Decided>,
    ) {
        if let Some(noting) = noting {
            let by = By { worker: self.pool.worker, version: self.pool.definition.version() };
            noting.end(phase, by, exchange, decided);
        }
    }
}

impl Pick {
    /// It as a recording has it; nothing if it is no decision.
    pub(in crate::plugin) fn told(&self) -> Option<Decided> {
        match self {
            Self::Endpoint(picked) => {
                Some(Decided::Endpoint { id: picked.id, token: picked.token })
            }
            Self::Next => Some(Decided::Next),
            Self::None => Some(Decided::None),
            Self::Fallback => None,
        }
    }
}

impl<'r> Noting<'r> {
    /// Begins to note a call, which is measured therefore.
    pub(super) fn begin(recorder: &'r Recorder, room: Room<'r>, exchange: &mut Exchange) -> Self {
        let measured = std::mem::replace(&mut exchange.trail.measured, true);
        Self { recorder, room, measured, pick: None }
    }

    /// Notes what a balancer chooses from.
    pub(in crate::plugin) fn choosing(
        &mut self,
        exchange: &Exchange,
        members: &dyn Members,
        attempt: u32,
        previous: Option<Picked>,
    ) {
        let (_, endpoints) = members.endpoints();
        let member = |endpoint: Endpoint| {
            let id = endpoint.id;
            let figures = members.figures(id).unwrap_or_default();
            let age = members.report_age(id);
            Member {
                id,
                address: endpoint.address,
                attributes: endpoint.attributes,
                usable: endpoint.state.usable,
                draining: endpoint.state.draining,
                weight: endpoint.state.weight,
                in_flight: figures.in_flight,
                total: figures.total,
                failures: figures.failures,
                bytes_sent: figures.bytes_sent,
                bytes_received: figures.bytes_received,
                latency: figures.latency,
                report: age.map(|age| Report { age, numbers: members.report(id) }),
            }
        };
        self.pick = Some(Picking {
            cluster: exchange.cluster.as_deref().unwrap_or_default().to_owned(),
            number: members.cluster(),
            attempt,
            previous: previous.map(|picked| (picked.id, picked.token)),
            tried: exchange.tried.to_vec(),
            endpoints: endpoints.into_iter().map(member).collect(),
        });
    }

    /// Hands over what came of it.
    fn end(
        self,
        phase: Phase,
        by: By<'_>,
        exchange: &mut Exchange,
        decided: impl FnOnce(&Shown) -> Option<Decided>,
    ) {
        exchange.trail.measured = self.measured;
        // It was parked, or had no instance to spare, and decided nothing.
        if !exchange.trail.cost.called {
            return;
        }
        let shown = self.recorder.shown();
        let cost = exchange.trail.cost;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Line {
            phase,
            at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            worker: by.worker,
            version: by.version.to_owned(),
            input: Input {
                request: request(exchange, shown),
                response: (phase == Phase::OnResponse).then(|| response(exchange, shown)).flatten(),
                pick: self.pick,
            },
            outcome: Outcome { decision: decided(shown), failed: cost.failed.map(str::to_owned) },
            cost_ns: Some(u64::try_from(cost.time.as_nanos()).unwrap_or(u64::MAX)),
        };
        let mark = exchange.trail.recorded.get_or_insert_default();
        self.recorder.offer(&line, mark, self.room);
    }
}

fn request(exchange: &Exchange, shown: &Shown) -> Request {
    let (connection, taken) = (&exchange.connection, &exchange.taken);
    let head = &exchange.request;
    let target = |uri: &http::Uri| uri.path_and_query().map(ToString::to_string);
    let upgrade = taken.upgrade.as_ref().filter(|_| shown.lists(&UPGRADE));
    let asked_host = taken.asked_host.as_deref().filter(|_| shown.lists(&HOST));
    Request {
        method: head.method.as_str().to_owned(),
        scheme: connection.scheme.to_owned(),
        authority: exchange.authority.to_string(),
        target_origin: exchange.target_origin.as_deref().map(str::to_owned),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        original: taken.original.as_ref().and_then(target),
        asked_host: asked_host.map(str::to_owned),
        upgrade: upgrade.map(|value| plain(value.as_bytes())),
        client: connection.client,
        slot: connection.slot,
        listener: connection.listener.to_string(),
        headers: shown.listed(&head.headers),
    }
}

fn response(exchange: &Exchange, shown: &Shown) -> Option<Response> {
    let (head, taken) = (exchange.response.as_ref()?, &exchange.taken);
    let host = taken.host.as_ref().filter(|_| shown.lists(&HOST));
    Some(Response {
        status: head.status.as_u16(),
        headers: shown.listed(&head.headers),
        cluster: exchange.cluster.as_deref().map(str::to_owned),
        endpoint: exchange.endpoint.as_deref().map(str::to_owned),
        host: host.map(|host| plain(host.as_bytes())),
        attributes: exchange.attributes.iter().map(|table| table.to_vec()).collect(),
        siblings: taken.siblings.as_deref().map(|siblings| siblings.all()).unwrap_or_default(),
    })
}
