//! Telling instances what became of their choices: at once where they are idle, and after the call that
//! they are at where they are not.
//!
//! These calls have the deadline of any other, are counted and judged as any other, and run in a task
//! of their own where the plugin's calls do. No request waits for one. A parked plugin is told nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quanta::Instant;
use tokio::task::spawn_local;

use super::instances::Vacancy;
use super::{About, Held, Pool, timed};
use crate::plugin::error::Failure;
use crate::plugin::instance::Instance;
use crate::plugin::outcomes::{Letter, Mailbox};

impl Pool {
    /// Has an instance told.
    pub(in crate::plugin) fn post(self: &Rc<Self>, mailbox: &Arc<Mailbox>, letter: Letter) {
        if self.definition.identity.parking.concerns() {
            return;
        }
        if !mailbox.put(letter) {
            return self.count(&Failure::Busy);
        }
        match &self.shared {
            Some(shared) => self.call_on_shared(shared, mailbox),
            // One that is at work looks into its mailbox when that is done.
            None => {
                if let Some((instance, vacancy)) = self.take(mailbox) {
                    self.deliver(instance, vacancy);
                }
            }
        }
    }

    /// Tells an instance all that it has yet to be told, and puts it back.
    pub(super) fn deliver(self: &Rc<Self>, instance: Box<Instance>, vacancy: Vacancy) {
        let definition = &self.definition;
        definition.machine.ticker.touch();
        if definition.component.waits || definition.identity.yields.load(Ordering::Relaxed) {
            return self.deliver_apart(instance, vacancy);
        }
        let mut instance = instance;
        while let Some(letter) = instance.letter() {
            let sampled = self.sampled();
            let begun = (sampled || self.is_watched()).then(Instant::now);
            let heard = instance.hear(letter);
            self.measured(begun.map(|begun| begun.elapsed()), sampled);
            if let Err(failure) = heard {
                return self.dropped(instance, vacancy, letter, &failure);
            }
        }
        vacancy.fill(instance);
    }

    fn deliver_apart(self: &Rc<Self>, instance: Box<Instance>, vacancy: Vacancy) {
        let (pool, mut instance) = (Rc::clone(self), instance);
        spawn_local(async move {
            while let Some(letter) = instance.letter() {
                let sampled = pool.sampled();
                let (heard, time) = timed(instance.hear_yielding(letter)).await;
                pool.measured(Some(time), sampled);
                if let Err(failure) = heard {
                    return pool.dropped(instance, vacancy, letter, &failure);
                }
            }
            vacancy.fill(instance);
        });
    }

    /// Gives up an instance that did not take its news, and with it what else was for it.
    fn dropped(
        self: &Rc<Self>,
        instance: Box<Instance>,
        vacancy: Vacancy,
        letter: Letter,
        failure: &Failure,
    ) {
        let about = About { call: letter.call(), exchange: None };
        self.end(Held { instance, vacancy, stale: false }, Some(failure), about, None);
    }

    fn measured(&self, time: Option<Duration>, sampled: bool) {
        let Some(time) = time else { return };
        let identity = &self.definition.identity;
        if sampled {
            identity.given.metrics.guest_time(self.worker, time);
        }
        if self.is_watched() {
            identity.tally.time(time);
        }
    }

    fn is_watched(&self) -> bool {
        self.definition.identity.tally.is_watched()
    }
}
