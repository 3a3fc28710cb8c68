//! The end of a turn: when a worker has read, and decided on, all that had come when it last looked.
//!
//! Writing is dear where it wakes somebody: the processor of a peer that sleeps is interrupted, and a peer
//! that is done with one request sleeps again before the next is there. So requests and answers wait for the
//! end of the turn and are written one after the other. Nobody loses time by that: what is done before would
//! have been done before another of them.
//!
//! Tasks run in the order in which they were woken, so the one that the first to wait wakes comes after all
//! that were woken before.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};

use tokio::task::yield_now;

thread_local! {
    static TURN: RefCell<Turn> = const { RefCell::new(Turn { last: None, waiting: Vec::new() }) };
    /// Whether somebody has begun to wait.
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

/// That of a thread.
struct Turn {
    /// Who wakes those who wait, if anybody does.
    last: Option<Waker>,
    waiting: Vec<Waker>,
}

/// How many make it worth asking the network for more of them before they are woken.
const MANY: usize = 8;

/// Ends the turns of the thread that it runs on, as long as it runs: in a task of its own. Where nobody does, no
/// end is waited for.
pub async fn end() {
    let _last = Last;
    let mut waiting = Vec::new();
    loop {
        poll_fn(|context| TURN.with_borrow_mut(|turn| turn.poll_waiting(context))).await;
        if TURN.with_borrow(|turn| turn.waiting.len()) >= MANY {
            // Back again once the network has been asked.
            yield_now().await;
        }
        TURN.with_borrow_mut(|turn| mem::swap(&mut turn.waiting, &mut waiting));
        waiting.drain(..).for_each(Waker::wake);
    }
}

impl Turn {
    /// Waits until somebody waits.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.last {
            Some(last) => last.clone_from(context.waker()),
            last @ None => *last = Some(context.waker().clone()),
        }
        if self.waiting.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }
}

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        // A thread that ends may have none any more.
        let left = TURN.try_with(|turn| {
            let mut turn = turn.borrow_mut();
            (turn.last.take(), mem::take(&mut turn.waiting))
        });
        left.into_iter().for_each(|(_, waiting)| waiting.into_iter().for_each(Waker::wake));
    }
}

/// Polls something, and tells whether it has begun to wait for the end of the turn: then it is polled again at that, and
/// what else the task looks after can be left until then.
pub fn waits<T>(poll: impl FnOnce() -> Poll<T>) -> (Poll<T>, bool) {
    WAITS.set(false);
    let polled = poll();
    (polled, WAITS.get())
}

/// Waits for the end of one turn.
#[derive(Debug, Default)]
pub struct End {
    waits: bool,
}

impl End {
    /// Ready at the end of the turn in which this is first asked, or if asked again before.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waits {
            return Poll::Ready(());
        }
        TURN.with_borrow_mut(|turn| {
            let Some(last) = &turn.last else { return Poll::Ready(()) };
            if turn.waiting.is_empty() {
                last.wake_by_ref();
            }
            turn.waiting.push(context.waker().clone());
            self.waits = true;
            WAITS.set(true);
            Poll::Pending
        })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::{JoinHandle, spawn_local};

    use super::*;

    /// Runs what is done in turns.
    fn run(future: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(future);
    }

    /// Some who note that they begin, and that their turn has ended.
    fn spawn(count: usize, notes: &Rc<RefCell<Vec<&'static str>>>) -> Vec<JoinHandle<()>> {
        let note = |_| {
            let notes = Rc::clone(notes);
            spawn_local(async move {
                notes.borrow_mut().push("begins");
                let mut end = End::default();
                poll_fn(|context| end.poll(context)).await;
                notes.borrow_mut().push("ends");
            })
        };
        (0..count).map(note).collect()
    }

    #[test]
    fn a_turn_ends_when_all_have_begun() {
        run(async {
            let notes = Rc::default();
            let ends = spawn_local(end());
            yield_now().await;
            for count in [1, 3, 3, 2 * MANY] {
                for task in spawn(count, &notes) {
                    task.await.unwrap();
                }
                let expected = [vec!["begins"; count], vec!["ends"; count]].concat();
                assert_eq!(notes.take(), expected);
            }
            ends.abort();
        });
    }

    #[test]
    fn a_turn_ends_although_somebody_never_rests() {
        run(async {
            let restless = spawn_local(async {
                loop {
                    yield_now().await;
                }
            });
            let ends = spawn_local(end());
            yield_now().await;
            for count in [1, 2 * MANY] {
                for task in spawn(count, &Rc::default()) {
                    task.await.unwrap();
                }
            }
            restless.abort();
            ends.abort();
        });
    }

    #[test]
    fn nobody_waits_for_the_end_where_nobody_ends_turns() {
        run(async {
            let notes = Rc::default();
            for task in spawn(3, &notes) {
                task.await.unwrap();
            }
            assert_eq!(notes.take(), ["begins", "ends"].repeat(3));
            let ends = spawn_local(end());
            yield_now().await;
            let tasks = spawn(3, &notes);
            yield_now().await;
            ends.abort();
            for task in tasks {
                task.await.unwrap();
            }
            for task in spawn(3, &Rc::default()) {
                task.await.unwrap();
            }
        });
    }

    #[test]
    fn who_waits_for_a_turn_is_told_apart_from_who_waits_for_something_else() {
        run(async {
            let ends = spawn_local(end());
            yield_now().await;
            let mut end = End::default();
            let seen = poll_fn(|context| Poll::Ready(waits(|| end.poll(context)))).await;
            assert_eq!(seen, (Poll::Pending, true));
            let seen = poll_fn(|context| Poll::Ready(waits(|| end.poll(context)))).await;
            assert_eq!(seen, (Poll::Ready(()), false));
            assert_eq!(waits(|| Poll::<()>::Pending), (Poll::Pending, false));
            ends.abort();
        });
    }
}
