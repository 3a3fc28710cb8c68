//! The keys of session tickets, which outlive configurations: a client can take up its session again
//! after a reload, and with any worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::server::ProducesTickets;

type Tickets = Weak<dyn ProducesTickets>;

static KNOWN: Mutex<Option<HashMap<[u8; 32], Tickets>>> = Mutex::new(None);

/// The tickets of a scope: those that somebody has already, or new ones.
pub(super) fn tickets<E>(
    scope: [u8; 32],
    make: impl FnOnce() -> Result<Arc<dyn ProducesTickets>, E>,
) -> Result<Arc<dyn ProducesTickets>, E> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.retain(|_, tickets| tickets.strong_count() > 0);
    if let Some(tickets) = known.get(&scope).and_then(Weak::upgrade) {
        return Ok(tickets);
    }
    let tickets = make()?;
    known.insert(scope, Arc::downgrade(&tickets));
    Ok(tickets)
}
