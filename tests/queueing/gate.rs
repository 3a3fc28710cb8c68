//! An origin behind a gate: it answers what it is let to, and remembers how much it had at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::support::{Message, Origin, PATIENCE, Peer, eventually, reply};

/// The origin. Answers with the target of the request.
pub(super) struct Gate {
    origin: Origin,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// The targets that have arrived.
    order: Vec<String>,
    /// Requests that have arrived and are not answered, and the most that ever were.
    running: usize,
    most: usize,
    /// How many may still be answered.
    passes: usize,
    /// How many are not answered, but broken off.
    breaks: usize,
}

impl Gate {
    /// One that is shut.
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let inner = Arc::clone(&shared);
        Self { origin: Origin::scripted(move |peer| inner.serve(peer)), shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    pub(super) fn requests(&self) -> Vec<Message> {
        self.origin.requests()
    }

    pub(super) fn open_connections(&self) -> usize {
        self.origin.open_connections()
    }

    /// Lets one more pass.
    pub(super) fn pass(&self) {
        self.shared.lock().passes += 1;
        self.shared.moved.notify_all();
    }

    /// Lets all pass from now on.
    pub(super) fn open(&self) {
        self.shared.lock().passes = usize::MAX / 2;
        self.shared.moved.notify_all();
    }

    /// Breaks off so many, instead of an answer.
    pub(super) fn break_next(&self, requests: usize) {
        self.shared.lock().breaks = requests;
    }

    /// The targets that have arrived, in their order.
    pub(super) fn order(&self) -> Vec<String> {
        self.shared.lock().order.clone()
    }

    /// The most requests that it had at a time.
    pub(super) fn most(&self) -> usize {
        self.shared.lock().most
    }

    /// Waits until so many have arrived.
    #[track_caller]
    pub(super) fn wait_for(&self, requests: usize) {
        eventually("requests at the gate", || (self.order().len() >= requests).then_some(()));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Shared {
    fn serve(&self, peer: &mut Peer) {
        while let Some(request) = peer.request() {
            if !self.arrive(request.target()) {
                return;
            }
            // Who has left is answered all the same.
            let answered = peer.write(reply(200, &[], request.target()));
            if answered.is_err() {
                return;
            }
        }
    }

    /// Waits at the gate. Whether it is to be answered.
    fn arrive(&self, target: &str) -> bool {
        let mut state = self.lock();
        state.order.push(target.to_owned());
        state.running += 1;
        state.most = state.most.max(state.running);
        if state.breaks > 0 {
            state.breaks -= 1;
            state.running -= 1;
            return false;
        }
        let waited = self.moved.wait_timeout_while(state, PATIENCE, |state| state.passes == 0);
        let (mut state, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "nobody opens the gate");
        state.passes -= 1;
        state.running -= 1;
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
