//! Calls that wait for nothing, as nearly all do. They are made without a future, whose state is copied from place
//! to place: that takes longer than what most plugins compute.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use quanta::Instant;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use super::verdict::Probe;
use super::{About, Answered, Held, Pool};
use crate::plugin::exchange::Exchange;
use crate::plugin::instance::{Call, Instance};

/// An answer, or what was given for one that has to be waited for.
pub(in crate::plugin) type AtOnce<P, R> = Result<Answered<R>, (Call<P, R>, Box<Exchange>)>;

impl Pool {
    /// Calls a function about an exchange, if that can be at once: the plugin is not parked, and an instance is idle
    /// that knows its cluster and neither waits nor yields.
    #[inline]
    pub(in crate::plugin) fn call_at_once<P, R>(
        self: &Rc<Self>,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> AtOnce<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        if self.definition.identity.parking.concerns() || self.needs_task() {
            return Err((call, exchange));
        }
        let Some((instance, vacancy)) = self.informed_at_hand() else {
            return Err((call, exchange));
        };
        let mut exchange = exchange;
        (exchange.trail.hashed, exchange.trail.chooser) = (None, instance.address());
        self.definition.machine.ticker.touch();
        let held = Held { instance, vacancy, stale: false };
        Ok(self.call_now(held, call, exchange, None))
    }

    /// Whether an instance has to be told of its cluster before it is asked.
    pub(super) fn is_stale(&self, instance: &Instance) -> bool {
        self.definition.members.as_deref().is_some_and(|members| instance.is_stale(members))
    }

    /// Whether calls are made in tasks of their own.
    pub(super) fn needs_task(&self) -> bool {
        let definition = &self.definition;
        definition.component.waits || definition.identity.yields.load(Ordering::Relaxed)
    }

    /// Makes a call that neither waits nor yields.
    #[inline]
    pub(super) fn call_now<P, R>(
        self: &Rc<Self>,
        held: Held,
        call: Call<P, R>,
        exchange: Box<Exchange>,
        probe: Option<Probe>,
    ) -> Answered<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let (mut held, name, sampled) = (held, call.name, self.sampled());
        let begun = (sampled || self.measures(&exchange)).then(Instant::now);
        let (mut exchange, result) = held.instance.call(call, exchange);
        let time = begun.map(|begun| begun.elapsed());
        let failure = result.as_ref().err();
        self.observe(&mut exchange, time, sampled, failure);
        let about = About { call: name, exchange: Some(&exchange) };
        self.end(held, failure, about, probe);
        (exchange, result)
    }
}
