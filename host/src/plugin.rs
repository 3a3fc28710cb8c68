//! The plugin engine, and the only module that knows wasmtime: components in, decisions out.
//!
//! [`Host`] turns bytes and configuration into a [`Definition`], which all workers share; each
//! worker makes a [`Plugin`] of it, with instances of its own, and asks that for decisions. What a
//! failing plugin means for its request is settled here, by its `on-failure`: callers see
//! decisions, never traps.
//!
//! Knows nothing of relaying, connections or configuration files. Plugins never see sockets,
//! files or the environment. Calls are synchronous, on the worker's own thread, unless a component
//! can wait for a store or has once missed its deadline: then they yield, and run in a task of
//! their own that outlives its request. Calls about a body always do, and go to the instance that
//! began it ([`Session`]); what becomes of a choice is told to the one that made it ([`Witness`]).
//! Another component may be asked the same beside one, with copies and after the fact; what it says
//! is compared ([`Comparison`]), and never reaches a caller.

mod ask;
mod bindings;
mod cache;
mod cells;
mod comparison;
mod compile;
mod component;
mod convert;
mod definition;
mod engine;
mod error;
mod exchange;
mod files;
mod found;
mod guest;
mod host;
mod identity;
mod imports;
mod instance;
mod members;
mod memo;
mod names;
mod nursery;
mod outcomes;
mod parking;
mod pool;
mod probing;
mod reading;
mod recording;
mod replay;
mod shadow;
mod shortcut;
mod streams;
mod tally;
mod ticker;
pub(crate) mod time;
mod vault;
mod wasi;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFailure;
use crate::log::access::calls::Label;
use crate::plugin::pool::{Bodies, Pool};
use crate::plugin::recording::Shown;
use crate::plugin::shadow::Shadow;

/// The contract that this host serves: package and version.
pub const CONTRACT: &str = "linkspan:plugin@0.1.0";

pub use comparison::{Compared, Comparison};
pub use compile::{COMMAND as COMPILE_COMMAND, Compiler, child as compile_child};
pub use component::{Component, Kind};
pub use convert::{Decision, Edit, Upstream};
pub use definition::{Definition, Newborn};
pub use error::{FAILURES, Failure, Misuse, Refusal};
pub use exchange::{Attributes, Connection, Exchange, Hashed, Secured, Streamed, Taken, Trail};
pub use found::{Found, Quiet, Source};
pub use host::{Around, BuiltIn, Host, Settings, version};
pub use members::{
    Endpoint, EndpointId, EndpointState, Figures, Members, Picked, Siblings, is_one_of,
};
pub use names::has_names;
pub use nursery::{Nursery, Order};
pub use outcomes::{Broke, Witness};
pub use pool::{Session, Shared, Transformed};
pub use reading::{Stamp, read};
pub use recording::{Decided, Heading, Line, Outcome, Phase, Reader, Recorder, Unreadable};
pub use replay::{Answer, Candidate, Unfit};
pub use streams::{Course, Destination, Trouble};
pub use tally::Counted;
pub use vault::{Committed, Kept, Left, Vault};

/// A plugin as one worker uses it. Cloning shares its instances.
#[derive(Clone)]
pub struct Plugin {
    pool: Rc<Pool>,
    bodies: Rc<Bodies>,
    trial: Option<Rc<Trial>>,
    shadow: Option<Rc<Shadow>>,
    recorder: Option<Arc<Recorder>>,
}

/// Another version of a plugin that gets a share of its requests.
struct Trial {
    plugin: Plugin,
    /// In hundredths of a percent.
    share: u32,
}

/// A plugin failed, and its request is rejected; with why, in a few words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(Box<str>);

/// What a balancer says, or what is done in its stead.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// This endpoint, which the cluster has.
    Endpoint(Picked),
    /// The next balancer is to be asked.
    Next,
    /// None.
    None,
    /// The balancer failed: the first usable endpoint.
    Fallback,
}

impl PartialEq for Pick {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Endpoint(one), Self::Endpoint(other)) => {
                (one.id, one.token) == (other.id, other.token)
            }
            (Self::Next, Self::Next)
            | (Self::None, Self::None)
            | (Self::Fallback, Self::Fallback) => true,
            _ => false,
        }
    }
}

impl Trial {
    /// Whether it gets a request. What its id is says so: it is the same for all calls about it, and
    /// others for other plugins.
    fn takes(&self, trail: &Trail) -> bool {
        let mut hasher = DefaultHasher::new();
        (&trail.id, self.plugin.pool.definition.id).hash(&mut hasher);
        hasher.finish() % 10_000 < u64::from(self.share)
    }
}

impl Plugin {
    /// A plugin on a worker, with one instance that is ready, or with the shared one.
    #[must_use]
    pub fn new(
        definition: Arc<Definition>,
        nursery: Nursery,
        worker: usize,
        first: Option<Newborn>,
        shared: Option<Shared>,
    ) -> Self {
        let pool = Pool::new(definition, nursery, worker, first, shared);
        let bodies = Bodies::new(&pool);
        Self { pool, bodies, trial: None, shadow: None, recorder: None }
    }

    /// The same, with another version that gets a share of its requests, in hundredths of a percent.
    #[must_use]
    pub fn with_trial(self, plugin: Self, share: u32) -> Self {
        Self { trial: Some(Rc::new(Trial { plugin, share })), ..self }
    }

    /// The same without another version, and with nothing beside it.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { trial: None, shadow: None, ..self }
    }

    /// The same, recorded by somebody or nobody; a version on trial is not.
    #[must_use]
    pub fn recorded_by(self, recorder: Option<Arc<Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// The version that is on trial.
    #[must_use]
    pub fn on_trial(&self) -> Option<&Self> {
        self.trial.as_deref().map(|trial| &trial.plugin)
    }

    /// Whether something holds for this version, the one on trial, or what is called beside it.
    #[must_use]
    pub fn any(&self, holds: fn(&Self) -> bool) -> bool {
        let shadow = self.shadow.as_deref().map(|shadow| &shadow.plugin);
        holds(self) || self.on_trial().is_some_and(holds) || shadow.is_some_and(holds)
    }

    /// The version that a request sees, from its first byte to its last.
    #[must_use]
    pub fn version_for<'p>(&'p self, exchange: &Exchange) -> &'p Self {
        match &self.trial {
            Some(trial) if trial.takes(&exchange.trail) => &trial.plugin,
            _ => self,
        }
    }

    /// What is to be done about once a second: instances go that are not needed any more.
    pub fn sweep(&self) {
        self.pool.sweep();
        self.bodies.sweep();
        if let Some(trial) = self.on_trial() {
            trial.sweep();
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn definition(&self) -> &Arc<Definition> {
        &self.pool.definition
    }

    /// Asks a router.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn route(
        &self,
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Decision, Rejected>) {
        let noting = self.noting(&mut exchange);
        let (mut exchange, decision) = self.decide(exchange).await;
        let told = |shown: &Shown| decision.as_ref().ok().map(|told| shown.decision(told));
        self.note(noting, Phase::Route, &mut exchange, told);
        let ask = |shadow: Self, copy| async move { shadow.decide(copy).await };
        self.shadowed("route", &exchange, &decision, ask);
        let decision = decision.or_else(|f| self.instead(&f, OnFailure::Next, Decision::Next));
        (exchange, decision)
    }

    /// Asks a balancer, telling it first what has changed about its cluster.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn pick(
        &self,
        mut exchange: Box<Exchange>,
        attempt: u32,
        previous: Option<Picked>,
    ) -> (Box<Exchange>, Result<Pick, Rejected>) {
        let mut noting = self.noting(&mut exchange);
        if let (Some(noting), Some(members)) = (&mut noting, &self.pool.definition.members) {
            noting.choosing(&exchange, &**members, attempt, previous);
        }
        let (mut exchange, pick) = self.choose(exchange, attempt, previous).await;
        let told = |_: &Shown| pick.as_ref().ok().and_then(Pick::told);
        self.note(noting, Phase::Pick, &mut exchange, told);
        let ask =
            move |shadow: Self, copy| async move { shadow.choose(copy, attempt, previous).await };
        self.shadowed("pick", &exchange, &pick, ask);
        let fallback = |failure: Failure| match self.pool.definition.config.on_failure {
            Some(OnFailure::Reject) => Err(Rejected(failure.words().into())),
            _ => Ok(Pick::Fallback),
        };
        (exchange, pick.or_else(fallback))
    }

    /// Whether a rewriter wants to see requests.
    #[must_use]
    pub fn rewrites_requests(&self) -> bool {
        self.pool.definition.component.exports.on_request.is_some()
            && !self.pool.definition.skips().request
    }

    /// Whether a rewriter wants to see responses.
    #[must_use]
    pub fn rewrites_responses(&self) -> bool {
        self.pool.definition.component.exports.on_response.is_some()
            && !self.pool.definition.skips().response
    }

    /// Whether a rewriter may ask for the table of the endpoint that answered.
    #[must_use]
    pub fn asks_who_served(&self) -> bool {
        self.pool.definition.component.asks_who_served
    }

    /// Asks a rewriter about a request.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn on_request(
        &self,
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Vec<Edit>, Rejected>) {
        let noting = self.noting(&mut exchange);
        let (mut exchange, edits) = self.edit_request(exchange).await;
        let told = |shown: &Shown| edits.as_ref().ok().map(|edits| shown.edits(edits));
        self.note(noting, Phase::OnRequest, &mut exchange, told);
        let ask = |shadow: Self, copy| async move {
            // What it need not be called for, it leaves as it is.
            match shadow.rewrites_requests() {
                true => shadow.edit_request(copy).await,
                false => (copy, Ok(Vec::new())),
            }
        };
        self.shadowed("on-request", &exchange, &edits, ask);
        (exchange, edits.or_else(|f| self.instead(&f, OnFailure::Skip, Vec::new())))
    }

    /// Asks a rewriter about a response.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn on_response(
        &self,
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Vec<Edit>, Rejected>) {
        let noting = self.noting(&mut exchange);
        let (mut exchange, edits) = self.edit_response(exchange).await;
        let told = |shown: &Shown| edits.as_ref().ok().map(|edits| shown.edits(edits));
        self.note(noting, Phase::OnResponse, &mut exchange, told);
        let ask = |shadow: Self, copy| async move {
            match shadow.rewrites_responses() {
                true => shadow.edit_response(copy).await,
                false => (copy, Ok(Vec::new())),
            }
        };
        self.shadowed("on-response", &exchange, &edits, ask);
        (exchange, edits.or_else(|f| self.instead(&f, OnFailure::Skip, Vec::new())))
    }

    /// Has a rewriter begin the body of a response, whose head it is asked about as it is now. None
    /// if it failed, and is to be passed over.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn begin_body(
        &self,
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Option<Session>, Rejected>) {
        let (cost, begun) = self.bodies.begin(exchange.copy()).await;
        exchange.trail.cost = cost;
        let session = begun.map(Some).or_else(|f| self.instead(&f, OnFailure::Skip, None));
        (exchange, session)
    }

    /// The state that another version is to take over. It goes on as it is.
    ///
    /// # Errors
    ///
    /// Why it gives none.
    pub async fn save(&self) -> Result<Vec<u8>, Failure> {
        self.pool.save().await
    }

    /// As access lines name it.
    #[must_use]
    pub fn label(&self) -> &Rc<Label> {
        &self.pool.label
    }

    /// What a request gets that the plugin failed on: `answer`, if its `on-failure` is `wish`.
    fn instead<T>(&self, failure: &Failure, wish: OnFailure, answer: T) -> Result<T, Rejected> {
        let wished = self.pool.definition.config.on_failure == Some(wish);
        if wished { Ok(answer) } else { Err(Rejected(failure.words().into())) }
    }

    /// Notes a decision that fits the contract and yet cannot be followed, such as an unknown
    /// cluster: a failure of the router like any other.
    ///
    /// # Errors
    ///
    /// If its `on-failure` is `reject`; else the next router is to be asked.
    pub fn unfit_route(&self, text: String, exchange: &mut Exchange) -> Result<(), Rejected> {
        let kept = self.kept(Err(Failure::Contract(text)), "route", exchange);
        kept.or_else(|failure| self.instead(&failure, OnFailure::Next, ()))
    }
}
