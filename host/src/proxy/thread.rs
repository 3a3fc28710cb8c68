//! A worker's thread: its runtime, its connections, its house-keeping.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::listener::accept::Accepted;
use crate::log::access::AccessWriter;
use crate::memory::Load;
use crate::relay::serve::serve;
use crate::snapshot::{Snapshot, Wish};
use crate::status::Sources;
use crate::stream;
use crate::turn;
use crate::view::Make;
use crate::worker::Worker;

/// The time between two looks at the access log.
const FLUSH: Duration = Duration::from_millis(100);

/// The most threads of a worker that wait for files.
const FILE_THREADS: usize = 8;

/// The most that is looked at before the network is asked again, and the most that is done in between.
const EVENTS: usize = 256;
/// See [`EVENTS`].
const POLLS: u32 = 256;

/// Flushes between two sweeps of idle connections.
const SWEEP: u32 = 10;

/// What a worker's thread begins with.
pub(super) struct Start {
    /// What it makes its views with.
    pub(super) make: Make,
    /// What it sees, and tells about.
    pub(super) sources: Sources,
    /// Where its access lines go.
    pub(super) access: AccessWriter,
    /// The connections that are handed to it; it ends when no more can come.
    pub(super) connections: mpsc::Receiver<Accepted>,
    /// Where it is asked for the state of its plugins.
    pub(super) wishes: mpsc::Receiver<Wish>,
}

impl Start {
    /// Runs the worker on this thread, until no connection can come any more.
    pub(super) fn run(self) {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().max_blocking_threads(FILE_THREADS);
        builder.max_io_events_per_tick(EVENTS).event_interval(POLLS);
        match builder.build_local(LocalOptions::default()) {
            Ok(runtime) => {
                runtime.block_on(self.serve());
                // A file system that hangs must not keep the process.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(worker = self.make.worker, "cannot run: {error}"),
        }
    }

    async fn serve(self) {
        let Self { make, sources, access, mut connections, wishes } = self;
        let drain = sources.drain.clone();
        let worker = Worker::new(make, sources, access);
        spawn_local(turn::end());
        spawn_local(keep_house(Rc::clone(&worker)));
        spawn_local(hand_over(Rc::clone(&worker), wishes));
        while let Some(accepted) = connections.recv().await {
            let (worker, drain) = (Rc::clone(&worker), drain.clone());
            match worker.view().behind(&accepted.caller.door) {
                Some(listener) if listener.settings.tcp.is_some() => {
                    spawn_local(stream::serve(worker, accepted, drain));
                }
                _ => {
                    spawn_local(serve(worker, accepted, drain));
                }
            }
        }
        worker.end();
        worker.flush();
    }
}

/// Waits until the workers have ended, and what they recorded of a snapshot's plugins is written.
pub(super) async fn join(workers: Vec<JoinHandle<()>>, snapshot: Arc<Snapshot>) {
    let ended = tokio::task::spawn_blocking(move || {
        workers.into_iter().for_each(|worker| {
            // A panic in it has been reported by its hook.
            let _ = worker.join();
        });
        snapshot.flush_recordings();
    });
    let _ = ended.await;
}

/// Gives the state of plugins that others are to replace.
async fn hand_over(worker: Rc<Worker>, mut wishes: mpsc::Receiver<Wish>) {
    while let Some(Wish { used, definition, reply }) = wishes.recv().await {
        let plugin = worker.view().plugin(&used, definition);
        let state = match plugin {
            Some(plugin) => Some(plugin.save().await),
            None => None,
        };
        // Who has asked may have given up.
        let _ = reply.send(state);
    }
}

async fn keep_house(worker: Rc<Worker>) {
    let mut flush = tokio::time::interval(FLUSH);
    let mut load = Load::default();
    for round in 0_u32.. {
        flush.tick().await;
        worker.flush();
        worker.beat();
        if round.is_multiple_of(SWEEP) {
            worker.sweep();
            // Each connection holds it, and whatever runs for one.
            load.give_back(Rc::strong_count(&worker));
        }
    }
}
