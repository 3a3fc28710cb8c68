//! The questions that plugins are asked, and whether their answers keep to the contract. What a failure
//! means for a request is not settled here.

use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::plugin::bindings::balancer::Choice;
use crate::plugin::convert::{self, Decision, Edit};
use crate::plugin::error::Failure;
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::Running;
use crate::plugin::instance::{Call, Faces};
use crate::plugin::members::{Members, Picked};
use crate::plugin::pool::{About, AtOnce};
use crate::plugin::{Pick, Plugin};

/// An answer, or why there is none, with the exchange that it is about.
pub(super) type Answered<T> = (Box<Exchange>, Result<T, Failure>);

/// Makes a call, without a future if that can be.
macro_rules! asked {
    ($plugin:ident, $call:ident, $exchange:ident) => {
        match $plugin.ask_at_once($call, $exchange) {
            Ok(answered) => answered,
            // Boxed, as hardly a call needs the room.
            Err((call, exchange)) => Box::pin($plugin.ask(call, exchange)).await,
        }
    };
}

impl Plugin {
    /// Where a request goes.
    pub(super) async fn decide(&self, exchange: Box<Exchange>) -> Answered<Decision> {
        let face = |faces: &Faces| faces.route;
        let call = Call { name: "route", face, params: (), running: Running::Request };
        let (mut exchange, result) = asked!(self, call, exchange);
        let kept = |(decision,)| self.kept(convert::decision(decision), "route", &mut exchange);
        let decision = result.and_then(kept);
        (exchange, decision)
    }

    /// Which endpoint serves it; one that the cluster has.
    pub(super) async fn choose(
        &self,
        exchange: Box<Exchange>,
        attempt: u32,
        previous: Option<Picked>,
    ) -> Answered<Pick> {
        let members = self.pool.definition.members.as_deref();
        let cluster = members.map_or(0, Members::cluster);
        let params = (cluster, attempt, previous);
        let face = |faces: &Faces| faces.pick;
        let call = Call { name: "pick", face, params, running: Running::Request };
        let (mut exchange, result) = asked!(self, call, exchange);
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
        (exchange, pick)
    }

    /// How the head of a request is edited.
    pub(super) async fn edit_request(&self, exchange: Box<Exchange>) -> Answered<Vec<Edit>> {
        let face = |faces: &Faces| faces.on_request;
        let call = Call { name: "on-request", face, params: (), running: Running::Request };
        let (mut exchange, result) = asked!(self, call, exchange);
        let kept = |(edits,)| {
            let edits = self.pool.requests.checked(edits, convert::request_edits);
            self.kept(edits, "on-request", &mut exchange)
        };
        let edits = result.and_then(kept);
        (exchange, edits)
    }

    /// How the head of a response is edited.
    pub(super) async fn edit_response(&self, exchange: Box<Exchange>) -> Answered<Vec<Edit>> {
        let face = |faces: &Faces| faces.on_response;
        let call = Call { name: "on-response", face, params: (), running: Running::Response };
        let (mut exchange, result) = asked!(self, call, exchange);
        let transforms = self.pool.definition.component.transforms();
        let kept = |(edits,)| {
            let check = |edits| convert::response_edits(edits, transforms);
            let edits = self.pool.responses.checked(edits, check);
            self.kept(edits, "on-response", &mut exchange)
        };
        let edits = result.and_then(kept);
        (exchange, edits)
    }

    /// Makes a call without a future, if that can be; gives back what it was given otherwise.
    #[inline]
    fn ask_at_once<P, R>(&self, call: Call<P, R>, exchange: Box<Exchange>) -> AtOnce<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        match self.shadow {
            // What is compared is measured.
            Some(_) => Err((call, exchange)),
            None => self.pool.call_at_once(call, exchange),
        }
    }

    pub(super) async fn ask<P, R>(
        &self,
        call: Call<P, R>,
        mut exchange: Box<Exchange>,
    ) -> Answered<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        // What is compared is measured, whether or not an access line tells of it.
        let measured = exchange.trail.measured;
        exchange.trail.measured |= self.shadow.is_some();
        let (mut exchange, result) = self.pool.call(call, exchange).await;
        exchange.trail.measured = measured;
        (exchange, result)
    }

    /// An answer that keeps to the contract, or a failure noted.
    pub(super) fn kept<T>(
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
}
