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
//! began it ([`Session`]).

mod bindings;
mod cache;
mod cells;
mod compile;
mod component;
mod convert;
mod definition;
mod engine;
mod error;
mod exchange;
mod files;
mod guest;
mod host;
mod identity;
mod imports;
mod instance;
mod members;
mod names;
mod nursery;
mod parking;
mod pool;
mod probing;
mod tally;
pub(crate) mod time;
mod vault;
mod wasi;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFailure;
use crate::log::access::calls::Label;
use crate::plugin::bindings::balancer::Choice;
use crate::plugin::guest::Running;
use crate::plugin::instance::{Call, Faces};
use crate::plugin::pool::{About, Bodies, Pool};

/// The contract that this host serves: package and version.
pub const CONTRACT: &str = "linkspan:plugin@0.1.0";

pub use compile::{COMMAND as COMPILE_COMMAND, Compiler, child as compile_child};
pub use component::{Component, Kind};
pub use convert::{Decision, Edit, Upstream};
pub use definition::{Definition, Newborn};
pub use error::{FAILURES, Failure, Misuse, Refusal};
pub use exchange::{Attributes, Connection, Exchange, Hashed, Taken, Trail};
pub use host::{Around, BuiltIn, Host, Settings, Source, digest, read, version};
pub use members::{Endpoint, EndpointId, EndpointState, Figure, Members, Picked, Siblings};
pub use names::has_names;
pub use nursery::{Nursery, Order};
pub use pool::{Session, Shared, Transformed};
pub use tally::Counted;
pub use vault::{Committed, Kept, Left, Vault};

/// A plugin as one worker uses it. Cloning shares its instances.
#[derive(Clone)]
pub struct Plugin {
    pool: Rc<Pool>,
    bodies: Rc<Bodies>,
    trial: Option<Rc<Trial>>,
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
        Self { pool, bodies, trial: None }
    }

    /// The same, with another version that gets a share of its requests, in hundredths of a percent.
    #[must_use]
    pub fn with_trial(self, plugin: Self, share: u32) -> Self {
        Self { trial: Some(Rc::new(Trial { plugin, share })), ..self }
    }

    /// The same without another version.
    #[must_use]
    pub fn without_trial(self) -> Self {
        Self { trial: None, ..self }
    }

    /// The version that is on trial.
    #[must_use]
    pub fn on_trial(&self) -> Option<&Self> {
        self.trial.as_deref().map(|trial| &trial.plugin)
    }

    /// Whether something holds for this version or the one on trial.
    #[must_use]
    pub fn any(&self, holds: fn(&Self) -> bool) -> bool {
        holds(self) || self.on_trial().is_some_and(holds)
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
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Decision, Rejected>) {
        let face = |faces: &Faces| faces.route;
        let call = Call { name: "route", face, params: (), running: Running::Request };
        let (mut exchange, result) = self.pool.call(call, exchange).await;
        let kept = |(decision,)| self.kept(convert::decision(decision), "route", &mut exchange);
        let decision = result.and_then(kept);
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
        exchange: Box<Exchange>,
        attempt: u32,
        previous: Option<Picked>,
    ) -> (Box<Exchange>, Result<Pick, Rejected>) {
        let members = self.pool.definition.members.as_deref();
        let cluster = members.map_or(0, Members::cluster);
        let params = (cluster, attempt, previous);
        let face = |faces: &Faces| faces.pick;
        let call = Call { name: "pick", face, params, running: Running::Request };
        let (mut exchange, result) = self.pool.call(call, exchange).await;
        let has = |picked: &Picked| members.is_some_and(|members| members.has(picked.id));
        let pick = result.and_then(|(choice,)| match choice {
            Choice::Endpoint(picked) if has(&picked) => Ok(Pick::Endpoint(picked)),
            Choice::Endpoint(picked) => {
                let text = format!("endpoint {} is none of the cluster's", picked.id);
                self.kept(Err(Failure::Contract(text)), "pick", &mut exchange)
            }
            Choice::Next => Ok(Pick::Next),
            Choice::None => Ok(Pick::None),
        });
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
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Vec<Edit>, Rejected>) {
        let face = |faces: &Faces| faces.on_request;
        let call = Call { name: "on-request", face, params: (), running: Running::Request };
        let (mut exchange, result) = self.pool.call(call, exchange).await;
        let kept = |(edits,)| self.kept(convert::request_edits(edits), "on-request", &mut exchange);
        let edits = result.and_then(kept);
        (exchange, edits.or_else(|f| self.instead(&f, OnFailure::Skip, Vec::new())))
    }

    /// Asks a rewriter about a response.
    ///
    /// # Errors
    ///
    /// If it failed, and its `on-failure` is `reject`.
    pub async fn on_response(
        &self,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Vec<Edit>, Rejected>) {
        let face = |faces: &Faces| faces.on_response;
        let call = Call { name: "on-response", face, params: (), running: Running::Response };
        let (mut exchange, result) = self.pool.call(call, exchange).await;
        let transforms = self.pool.definition.component.transforms();
        let kept = |(edits,)| {
            let edits = convert::response_edits(edits, transforms);
            self.kept(edits, "on-response", &mut exchange)
        };
        let edits = result.and_then(kept);
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

    /// An answer that keeps to the contract, or a failure noted.
    fn kept<T>(
        &self,
        checked: Result<T, Failure>,
        call: &'static str,
        exchange: &mut Exchange,
    ) -> Result<T, Failure> {
        checked.inspect_err(|failure| {
            exchange.trail.cost.failed = Some(failure.label());
            self.pool.unfit(failure, About { call, exchange: Some(exchange) });
        })
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
