//! A component that decides again, offline, what a recording has others decide.
//!
//! It is called as a worker would call it, on the recorded requests, responses and clusters: as many
//! instances as there were workers, each told of its cluster before it picks. One that failed is
//! replaced at once, and none is parked. There are no stores.

mod input;
mod members;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::config::{self, AddressGrant, Grants, HostGrant, Instances, Name, State};
use crate::plugin::bindings::balancer::Choice;
use crate::plugin::component::Component;
use crate::plugin::convert;
use crate::plugin::definition::Definition;
use crate::plugin::error::{Failure, Refusal};
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::Running;
use crate::plugin::host::{Around, Host};
use crate::plugin::instance::{Call, Faces, Instance};
use crate::plugin::members::{Members, Picked};
use crate::plugin::pool::update_deadline;
use crate::plugin::recording::{Decided, Heading, Line, Outcome, Phase, Picking, Shown};
use members::Recorded;

/// The most instances: far more than there are workers.
const INSTANCES: usize = 4_096;

/// A component that decides again.
pub struct Candidate<'h> {
    host: &'h Host,
    component: Arc<Component>,
    config: config::Plugin,
    shared: bool,
    clusters: Arc<[Name]>,
    shown: Shown,
    uses: HashMap<Option<Name>, Part>,
    instances: HashMap<(Option<Name>, usize), Box<Instance>>,
}

/// One use of it: a balancer's of a cluster, or all others together.
#[derive(Clone)]
struct Part {
    definition: Arc<Definition>,
    members: Option<Arc<Recorded>>,
}

/// What a candidate makes of a recorded call.
#[derive(Debug)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// How it failed, in more words.
    pub words: Option<String>,
    /// The time that it took in the guest; none if it was not called.
    pub cost: Option<Duration>,
}

/// Why a recorded call cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The candidate cannot be used.
    #[error(transparent)]
    Candidate(#[from] Refusal),
    /// The line tells of what cannot be.
    #[error("{0}")]
    Line(String),
}

impl<'h> Candidate<'h> {
    /// A component in the place of a recorded one, configured as that was, or with `config`, a JSON
    /// object.
    ///
    /// # Errors
    ///
    /// If it cannot take the place.
    pub fn new(
        host: &'h Host,
        component: Arc<Component>,
        heading: &Heading,
        config: Option<String>,
    ) -> Result<Self, Refusal> {
        if component.waits {
            let text = "it imports keyvalue, and so needs a store, which a replay does not have";
            return Err(Refusal::Unfit(text.to_owned()));
        }
        // Only whether there are any is asked about.
        let any = || AddressGrant { host: HostGrant::Name("any".to_owned()), port: None };
        let addresses = heading.addresses.then(any).into_iter().collect();
        let config = config::Plugin {
            name: heading.plugin.as_str().into(),
            component: heading.component.clone(),
            config: config.unwrap_or_else(|| heading.config.to_string()),
            // A worker's or all workers' instance makes no difference where there are no threads.
            instances: Instances::PerWorker,
            state: State::Kept,
            canary: None,
            shadow: None,
            beside: None,
            record: None,
            log_level: None,
            on_failure: None,
            limits: heading.limits.limits(),
            grants: Grants { stores: Vec::new(), addresses },
        };
        let headers = heading.headers.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self {
            host,
            component,
            config,
            shared: heading.shared,
            clusters: heading.clusters.iter().map(|name| name.as_str().into()).collect(),
            shown: Shown::new(headers, heading.salt.clone()),
            uses: HashMap::new(),
            instances: HashMap::new(),
        })
    }

    /// Has it decide what a line tells of.
    ///
    /// # Errors
    ///
    /// If the call cannot be made; one that fails is an answer.
    pub async fn decide(&mut self, line: &Line) -> Result<Answer, Unfit> {
        let exchange = input::exchange(line).map_err(Unfit::Line)?;
        let pick = match (line.phase, &line.input.pick) {
            (Phase::Pick, Some(pick)) => Some(pick),
            (Phase::Pick, None) => return Err(Unfit::Line("it has no `pick`".to_owned())),
            _ => None,
        };
        if !self.component.kinds.contains(&line.phase.kind()) {
            let (phase, kind) = (line.phase.name(), line.phase.kind());
            let text = format!("it is no {kind}, and calls of {phase} are recorded");
            return Err(Refusal::Unfit(text).into());
        }
        let part = self.part(line, pick)?;
        if let (Some(members), Some(pick)) = (&part.members, pick) {
            members.show(pick);
        }
        let worker = if self.shared { 0 } else { line.worker };
        let key = (pick.map(|pick| Name::from(pick.cluster.as_str())), worker);
        let instance = match self.instances.remove(&key) {
            Some(instance) => instance,
            None if self.instances.len() >= INSTANCES => {
                return Err(Unfit::Line("there are too many workers and clusters".to_owned()));
            }
            None => part.definition.birth_apart().await?.0,
        };
        if !calls(&part.definition, line.phase) {
            self.instances.insert(key, instance);
            let decision = Some(Decided::Edits(Vec::new()));
            let outcome = Outcome { decision, failed: None };
            return Ok(Answer { outcome, words: None, cost: None });
        }
        let mut called = Called { part, instance, shown: &self.shown, cost: None };
        let decided = called.decide(line, pick, exchange).await;
        let (instance, cost) = (called.instance, called.cost);
        Ok(match decided {
            Ok(decided) => {
                self.instances.insert(key, instance);
                let outcome = Outcome { decision: Some(decided), failed: None };
                Answer { outcome, words: None, cost }
            }
            // It must not be called again; the next call gets another.
            Err(failure) => {
                let outcome = Outcome { decision: None, failed: Some(failure.label().to_owned()) };
                Answer { outcome, words: Some(failure.words()), cost }
            }
        })
    }

    /// The use that a line is of.
    fn part(&mut self, line: &Line, pick: Option<&Picking>) -> Result<Part, Refusal> {
        let cluster = pick.map(|pick| Name::from(pick.cluster.as_str()));
        if let Some(part) = self.uses.get(&cluster) {
            return Ok(part.clone());
        }
        let members = pick.map(|pick| Arc::new(Recorded::new(pick)));
        let around = cluster.as_ref().zip(members.clone());
        let around = Around {
            members: around.map(|(name, members)| (name, members as Arc<dyn Members>)),
            stores: Vec::new(),
            clusters: Arc::clone(&self.clusters),
        };
        let (component, kind) = (Arc::clone(&self.component), line.phase.kind());
        let definition = self.host.define(&self.config, component, &[kind], around)?;
        let part = Part { definition, members };
        self.uses.insert(cluster, part.clone());
        Ok(part)
    }
}

/// Whether a worker would call it at all.
fn calls(definition: &Definition, phase: Phase) -> bool {
    let (exports, skips) = (&definition.component.exports, definition.skips());
    match phase {
        Phase::Route | Phase::Pick => true,
        Phase::OnRequest => exports.on_request.is_some() && !skips.request,
        Phase::OnResponse => exports.on_response.is_some() && !skips.response,
    }
}

/// An instance that is called.
struct Called<'c> {
    part: Part,
    instance: Box<Instance>,
    shown: &'c Shown,
    cost: Option<Duration>,
}

impl Called<'_> {
    async fn decide(
        &mut self,
        line: &Line,
        pick: Option<&Picking>,
        exchange: Box<Exchange>,
    ) -> Result<Decided, Failure> {
        if let Some(members) = self.part.members.clone()
            && self.instance.is_stale(&*members)
        {
            let limit = self.part.definition.config.limits.deadline;
            self.part.definition.machine.ticker.touch();
            self.instance.catch_up(|members| update_deadline(limit, members)).await?;
        }
        let running = Running::Request;
        match line.phase {
            Phase::Route => {
                let face = |faces: &Faces| faces.route;
                let call = Call { name: "route", face, params: (), running };
                let (decision,) = self.call(call, exchange)?;
                convert::decision(decision).map(|decision| self.shown.decision(&decision))
            }
            Phase::OnRequest => {
                let face = |faces: &Faces| faces.on_request;
                let call = Call { name: "on-request", face, params: (), running };
                let (edits,) = self.call(call, exchange)?;
                convert::request_edits(edits).map(|edits| self.shown.edits(&edits))
            }
            Phase::OnResponse => {
                let (face, running) = (|faces: &Faces| faces.on_response, Running::Response);
                let call = Call { name: "on-response", face, params: (), running };
                let (edits,) = self.call(call, exchange)?;
                let transforms = self.part.definition.component.transforms();
                convert::response_edits(edits, transforms).map(|edits| self.shown.edits(&edits))
            }
            Phase::Pick => self.pick(pick, exchange),
        }
    }

    fn pick(
        &mut self,
        pick: Option<&Picking>,
        exchange: Box<Exchange>,
    ) -> Result<Decided, Failure> {
        let (number, attempt) = pick.map(|pick| (pick.number, pick.attempt)).unwrap_or_default();
        let previous = pick.and_then(|pick| pick.previous);
        let previous = previous.map(|(id, token)| Picked { id, token });
        let face = |faces: &Faces| faces.pick;
        let params = (number, attempt, previous);
        let call = Call { name: "pick", face, params, running: Running::Request };
        let (choice,) = self.call(call, exchange)?;
        let has = |id| self.part.members.as_ref().is_some_and(|members| members.has(id));
        match choice {
            Choice::Endpoint(Picked { id, token }) if has(id) => {
                Ok(Decided::Endpoint { id, token })
            }
            Choice::Endpoint(Picked { id, .. }) => {
                Err(Failure::Contract(format!("endpoint {id} is none of the cluster's")))
            }
            Choice::Next => Ok(Decided::Next),
            Choice::None => Ok(Decided::None),
        }
    }

    fn call<P, R>(&mut self, call: Call<P, R>, exchange: Box<Exchange>) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.part.definition.machine.ticker.touch();
        let begun = Instant::now();
        let (_exchange, result) = self.instance.call(call, exchange);
        self.cost = Some(begun.elapsed());
        result
    }
}
