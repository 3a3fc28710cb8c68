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
//! their own that outlives its request.

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
mod guest;
mod host;
mod identity;
mod imports;
mod instance;
mod members;
mod nursery;
mod parking;
mod pool;
pub(crate) mod time;
mod wasi;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFailure;
use crate::plugin::bindings::balancer::Choice;
use crate::plugin::guest::Running;
use crate::plugin::instance::{Call, Faces};
use crate::plugin::pool::Pool;

pub use compile::{COMMAND as COMPILE_COMMAND, Compiler, child as compile_child};
pub use component::{Component, Kind};
pub use convert::{Decision, Edit, Upstream};
pub use definition::{Definition, Newborn};
pub use error::{FAILURES, Failure, Misuse, Refusal};
pub use exchange::{Connection, Exchange};
pub use host::{Around, BuiltIn, Host, Settings, Source, read, version};
pub use members::{Endpoint, EndpointId, EndpointState, Figure, Members, Picked};
pub use nursery::{Nursery, Order};
pub use pool::Shared;

/// A plugin as one worker uses it. Cloning shares its instances.
#[derive(Clone)]
pub struct Plugin {
    pool: Rc<Pool>,
}

/// What a request gets that a plugin failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plugin failed, and its request is rejected")]
pub struct Rejected;

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
        Self { pool: Pool::new(definition, nursery, worker, first, shared) }
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
        let (exchange, result) = self.pool.call(call, exchange).await;
        let decision = match result {
            Ok((decision,)) => self.kept(convert::decision(decision), "route"),
            Err(_noted) => None,
        };
        let decision = match (decision, self.pool.definition.config.on_failure) {
            (Some(decision), _) => Ok(decision),
            (None, Some(OnFailure::Next)) => Ok(Decision::Next),
            (None, _) => Err(Rejected),
        };
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
        let (exchange, result) = self.pool.call(call, exchange).await;
        let pick = match result {
            Ok((Choice::Endpoint(picked),)) => match members {
                Some(members) if members.has(picked.id) => Some(Pick::Endpoint(picked)),
                _ => {
                    let text = format!("endpoint {} is none of the cluster's", picked.id);
                    self.pool.unfit(&Failure::Contract(text), "pick");
                    None
                }
            },
            Ok((Choice::Next,)) => Some(Pick::Next),
            Ok((Choice::None,)) => Some(Pick::None),
            Err(_noted) => None,
        };
        let pick = match (pick, self.pool.definition.config.on_failure) {
            (Some(pick), _) => Ok(pick),
            (None, Some(OnFailure::Reject)) => Err(Rejected),
            (None, _) => Ok(Pick::Fallback),
        };
        (exchange, pick)
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
        let (exchange, result) = self.pool.call(call, exchange).await;
        let edits = match result {
            Ok((edits,)) => self.kept(convert::request_edits(edits), "on-request"),
            Err(_noted) => None,
        };
        (exchange, self.edits(edits))
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
        let (exchange, result) = self.pool.call(call, exchange).await;
        let edits = match result {
            Ok((edits,)) => self.kept(convert::response_edits(edits), "on-response"),
            Err(_noted) => None,
        };
        (exchange, self.edits(edits))
    }

    fn edits(&self, edits: Option<Vec<Edit>>) -> Result<Vec<Edit>, Rejected> {
        match (edits, self.pool.definition.config.on_failure) {
            (Some(edits), _) => Ok(edits),
            (None, Some(OnFailure::Skip)) => Ok(Vec::new()),
            (None, _) => Err(Rejected),
        }
    }

    /// An answer that keeps to the contract, or a failure noted.
    fn kept<T>(&self, checked: Result<T, Failure>, call: &'static str) -> Option<T> {
        checked.inspect_err(|failure| self.pool.unfit(failure, call)).ok()
    }

    /// Notes a decision that fits the contract and yet cannot be followed, such as an unknown
    /// cluster: a failure of the router like any other.
    ///
    /// # Errors
    ///
    /// If its `on-failure` is `reject`; else the next router is to be asked.
    pub fn unfit_route(&self, text: String) -> Result<(), Rejected> {
        self.pool.unfit(&Failure::Contract(text), "route");
        let next = self.pool.definition.config.on_failure == Some(OnFailure::Next);
        if next { Ok(()) } else { Err(Rejected) }
    }
}
