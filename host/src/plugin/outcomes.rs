//! What becomes of a balancer's choices, for those who export `outcomes`.
//!
//! It is told after the fact, nobody waits for it, and nothing is decided by it. Each instance has a
//! [`Mailbox`] for what is about its own choices, which goes with it: what is about those of an
//! instance that is lost is told to nobody. Whoever does not export it has none, and is never told.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::plugin::Plugin;
use crate::plugin::exchange::Exchange;
use crate::plugin::members::{Members, Picked};
use crate::plugin::pool::Pool;

pub use crate::plugin::bindings::outcomes::Failure as Broke;

/// The most that an instance has yet to be told. What comes beyond is lost, and counted as a call that
/// found no instance.
const LETTERS: usize = 1024;

/// What has become of a choice. Times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    Chosen,
    Connected(u64),
    Failed(Broke),
    Finished(u16, u64),
}

/// News, and of which choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    pub(super) cluster: u32,
    pub(super) picked: Picked,
    pub(super) news: News,
}

impl Letter {
    /// The function that it goes to.
    pub(super) fn call(&self) -> &'static str {
        match self.news {
            News::Chosen => "chosen",
            News::Connected(_) => "connected",
            News::Failed(_) => "failed",
            News::Finished(..) => "finished",
        }
    }
}

/// What an instance has yet to be told, in order.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<VecDeque<Letter>>);

impl Mailbox {
    /// Puts one in; not if it is full.
    pub(super) fn put(&self, letter: Letter) -> bool {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = letters.len() < LETTERS;
        if room {
            letters.push_back(letter);
        }
        room
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes the oldest.
    pub(super) fn take(&self) -> Option<Letter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Who has made a choice, and asks to be told what becomes of it.
pub struct Witness {
    pool: Rc<Pool>,
    mailbox: Weak<Mailbox>,
    cluster: u32,
    picked: Picked,
}

impl Plugin {
    /// Who is to be told what becomes of a choice that was the answer to the last call.
    #[must_use]
    pub fn witness(&self, exchange: &mut Exchange, picked: Picked) -> Option<Witness> {
        let mailbox = exchange.trail.chooser.take()?;
        let cluster = self.pool.definition.members.as_deref().map_or(0, Members::cluster);
        Some(Witness { pool: Rc::clone(&self.pool), mailbox, cluster, picked })
    }
}

impl Witness {
    /// An attempt at the endpoint begins.
    pub fn chosen(&self) {
        self.tell(News::Chosen);
    }

    /// There is a connection, after so long.
    pub fn connected(&self, time: Duration) {
        self.tell(News::Connected(in_microseconds(time)));
    }

    /// The attempt has failed.
    pub fn failed(&self, how: Broke) {
        self.tell(News::Failed(how));
    }

    /// It is over, after a head with this status that came after so long; both are 0 if none came.
    pub fn finished(&self, status: u16, time: Duration) {
        self.tell(News::Finished(status, in_microseconds(time)));
    }

    fn tell(&self, news: News) {
        // Without it, the instance is gone.
        let Some(mailbox) = self.mailbox.upgrade() else { return };
        self.pool.post(&mailbox, Letter { cluster: self.cluster, picked: self.picked, news });
    }
}

fn in_microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_keeps_the_order_and_takes_no_more_than_it_may() {
        let mailbox = Mailbox::default();
        let letter = |time| {
            let picked = Picked { id: 1, token: 2 };
            Letter { cluster: 0, picked, news: News::Connected(time) }
        };
        assert!((0..LETTERS as u64).all(|time| mailbox.put(letter(time))));
        assert!(!mailbox.put(letter(0)));
        let next = mailbox.take().map(|letter| letter.news);
        assert!(matches!(next, Some(News::Connected(0))), "{next:?}");
        assert!(mailbox.put(letter(0)));
    }
}
