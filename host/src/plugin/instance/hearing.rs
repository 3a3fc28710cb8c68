//! What an instance hears of its choices, where it asks for that.

use std::sync::{Arc, Weak};

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Lower, TypedFunc};

use super::Instance;
use crate::plugin::error::Failure;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::outcomes::{Letter, Mailbox, News};

impl Instance {
    /// Where it can be told what becomes of the choice that it makes next, if it asks for that.
    pub(in crate::plugin) fn address(&self) -> Option<Weak<Mailbox>> {
        self.mailbox.as_ref().map(Arc::downgrade)
    }

    /// Whether this is its mailbox.
    pub(in crate::plugin) fn is_at(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.mailbox.as_ref().is_some_and(|own| Arc::ptr_eq(own, mailbox))
    }

    /// Whether there is something that it has yet to be told.
    pub(in crate::plugin) fn has_letters(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| !mailbox.is_empty())
    }

    /// What it is to be told next.
    pub(in crate::plugin) fn letter(&self) -> Option<Letter> {
        self.mailbox.as_ref()?.take()
    }

    /// Tells it what became of a choice, synchronously.
    pub(in crate::plugin) fn hear(&mut self, letter: Letter) -> Result<(), Failure> {
        let deadline = self.store.data().identity.given.limits.deadline;
        self.begin(Running::Other, deadline, false);
        let (Letter { cluster, picked, news }, faces) = (letter, &self.faces);
        let store = &mut self.store;
        let heard = match news {
            News::Chosen => call(faces.chosen, store, (cluster, picked)),
            News::Connected(time) => call(faces.connected, store, (cluster, picked, time)),
            News::Failed(failure) => call(faces.failed, store, (cluster, picked, failure)),
            News::Finished(status, time) => {
                call(faces.finished, store, (cluster, picked, status, time))
            }
        };
        heard.map_err(|error| self.failure(error))
    }

    /// The same so that others run while it waits, and at each tick.
    pub(in crate::plugin) async fn hear_yielding(&mut self, letter: Letter) -> Result<(), Failure> {
        let deadline = self.store.data().identity.given.limits.deadline;
        let (Letter { cluster, picked, news }, faces) = (letter, self.faces);
        match news {
            News::Chosen => self.tell(faces.chosen, (cluster, picked), deadline).await,
            News::Connected(time) => {
                self.tell(faces.connected, (cluster, picked, time), deadline).await
            }
            News::Failed(failure) => {
                self.tell(faces.failed, (cluster, picked, failure), deadline).await
            }
            News::Finished(status, time) => {
                self.tell(faces.finished, (cluster, picked, status, time), deadline).await
            }
        }
    }
}

/// Calls a function that there may be.
fn call<P: ComponentNamedList + Lower>(
    face: Option<TypedFunc<P, ()>>,
    store: &mut Store<Guest>,
    params: P,
) -> wasmtime::Result<()> {
    face.map_or(Ok(()), |face| face.call(store, params))
}
