//! Who takes the lines of a recording, from any worker, and hands them to the thread that writes them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::config::{self, Instances, Name, Sample};
use crate::metrics::PluginMetrics;
use crate::plugin::definition::Definition;
use crate::plugin::exchange::{Exchange, Trail};
use crate::plugin::imports::secret;
use crate::plugin::recording::file::Tape;
use crate::plugin::recording::line::Bounds;
use crate::plugin::recording::{FORMAT, Heading, LINE_BYTES, Line, Noting, Shown};

/// The most lines, and the most bytes of them, that wait to be written.
const LINES: usize = 4_096;
/// See [`LINES`].
const PENDING_BYTES: usize = LINE_BYTES;

/// Records a sample of a plugin's decisions, in all workers and over its versions, until the file is
/// full.
pub struct Recorder {
    plugin: config::Plugin,
    sample: Sample,
    heading: Heading,
    shown: Shown,
    state: Arc<State>,
    queue: OnceLock<SyncSender<Order>>,
}

/// What workers and the thread share.
pub(super) struct State {
    /// Whether lines are taken.
    on: AtomicBool,
    /// Whether it has ended before its time, or never begun.
    broken: AtomicBool,
    /// Lines that wait, or will when their calls are over.
    lines: AtomicUsize,
    /// Bytes that wait.
    pending: AtomicUsize,
    metrics: Arc<PluginMetrics>,
}

/// Room for a line that is yet to come; free again when dropped.
pub(super) struct Room<'r>(Option<&'r State>);

impl Room<'_> {
    /// A line waits there.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            state.lines.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the thread is told.
pub(super) enum Order {
    /// A line to write, with what is held as long as there may be others about its request.
    Line(Vec<u8>, Arc<()>),
    /// That somebody waits until those before are written.
    Flush(SyncSender<()>),
}

impl State {
    /// Lines are taken from now on.
    pub(super) fn begins(&self) {
        self.metrics.recording_begins();
        self.on.store(true, Ordering::Relaxed);
    }

    /// The file could not be made, or written to.
    pub(super) fn breaks(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Lines are not taken any more.
    pub(super) fn ends(&self) {
        if self.on.swap(false, Ordering::Relaxed) {
            self.metrics.recording_ends();
        }
    }

    /// Room for another line; none if as many wait as may, and then it is lost.
    fn room(&self) -> Option<Room<'_>> {
        let before = self.lines.fetch_add(1, Ordering::Relaxed);
        let room = Room(Some(self));
        let fits = before < LINES && self.pending.load(Ordering::Relaxed) < PENDING_BYTES;
        if !fits {
            self.metrics.unrecorded();
        }
        fits.then_some(room)
    }

    /// A line that was waiting is written, or lost.
    pub(super) fn done(&self, bytes: usize, written: bool) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.pending.fetch_sub(bytes, Ordering::Relaxed);
        if written {
            self.metrics.recorded();
        } else {
            self.metrics.unrecorded();
        }
    }
}

impl Recorder {
    /// A recording of a plugin that has not begun; none if nothing is to be recorded of it. `uses` are
    /// its definitions.
    #[must_use]
    pub fn new(
        plugin: &config::Plugin,
        uses: &[&Definition],
        clusters: &[Name],
        metrics: Arc<PluginMetrics>,
    ) -> Option<Self> {
        let (sample, first) = (plugin.record.clone()?, uses.first()?);
        let mut kinds: Vec<_> = uses.iter().flat_map(|used| &used.kinds).collect();
        kinds.sort();
        kinds.dedup();
        let salt = salt(secret(16), &plugin.name)?;
        let heading = Heading {
            linkspan_recording: FORMAT,
            plugin: plugin.name.to_string(),
            component: plugin.component.clone(),
            digest: first.component.digest.to_string(),
            version: first.version().to_owned(),
            kinds: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            config: serde_json::from_str(&plugin.config).unwrap_or_default(),
            limits: Bounds::of(&plugin.limits),
            shared: plugin.instances == Instances::Shared,
            addresses: !plugin.grants.addresses.is_empty(),
            clusters: clusters.iter().map(ToString::to_string).collect(),
            headers: sample.headers.iter().map(ToString::to_string).collect(),
            share: sample.share,
            salt: salt.clone(),
        };
        let shown = Shown::new(sample.headers.clone(), salt);
        let (on, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        let (lines, pending) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let state = Arc::new(State { on, broken, lines, pending, metrics });
        Some(Self { plugin: plugin.clone(), sample, heading, shown, state, queue: OnceLock::new() })
    }

    /// Whether a plugin that is configured like this goes on in the same recording: all that its first
    /// line tells is still so, but which bytes there are. One that broke is begun anew.
    #[must_use]
    pub fn goes_on(&self, plugin: &config::Plugin, clusters: &[Name]) -> bool {
        let own = &self.plugin;
        let same = (&own.component, &own.config, own.instances, own.limits, &own.grants)
            == (&plugin.component, &plugin.config, plugin.instances, plugin.limits, &plugin.grants);
        let known = self.heading.clusters.iter().map(String::as_str);
        let goes_on =
            same && own.record == plugin.record && !self.state.broken.load(Ordering::Relaxed);
        goes_on && known.eq(clusters.iter().map(|name| &**name))
    }

    /// Begins, if that has not been done: the file is made by the thread that writes it.
    pub fn begin(&self) {
        let mut begins = None;
        self.queue.get_or_init(|| {
            let (queue, orders) = sync_channel(LINES);
            begins = Some(orders);
            queue
        });
        let Some(orders) = begins else { return };
        let tape = Tape {
            plugin: Arc::clone(&self.plugin.name),
            path: self.sample.file.clone(),
            heading: serde_json::to_vec(&self.heading).unwrap_or_default(),
            max_bytes: self.sample.max_bytes,
            state: Arc::clone(&self.state),
        };
        self.state.begins();
        let thread = thread::Builder::new().name("record".to_owned());
        if let Err(error) = thread.spawn(move || tape.run(&orders)) {
            self.state.ends();
            tracing::error!(plugin = &*self.plugin.name, "nothing is recorded: {error}");
        }
    }

    /// Waits until all that was recorded so far is in the file, for so long at most.
    pub fn flush(&self, patience: Duration) {
        let (reply, written) = sync_channel(1);
        if let Some(queue) = self.queue.get()
            && queue.try_send(Order::Flush(reply)).is_ok()
        {
            // Whoever waits in vain has waited long enough.
            let _ = written.recv_timeout(patience);
        }
    }

    /// Begins to note a call about an exchange, if it is one of the sample, and its line will find room:
    /// what would be lost is not gathered.
    pub(in crate::plugin) fn noting(&self, exchange: &mut Exchange) -> Option<Box<Noting<'_>>> {
        let takes = self.state.on.load(Ordering::Relaxed) && self.takes(&exchange.trail);
        let room = takes.then(|| self.state.room()).flatten()?;
        Some(Box::new(Noting::begin(self, room, exchange)))
    }

    /// What is shown as it is.
    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Whether a request is one of the sample. All calls about it are, then.
    fn takes(&self, trail: &Trail) -> bool {
        if self.sample.share >= 10_000 {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (&trail.id, self.shown.salt()).hash(&mut hasher);
        hasher.finish() % 10_000 < u64::from(self.sample.share)
    }

    /// Hands a line over, or drops it. Never waits. `mark` is held as long as there may be others about
    /// its request.
    pub(super) fn offer(&self, line: &Line, mark: &Arc<()>, room: Room<'_>) {
        let written = serde_json::to_vec(line).ok().filter(|line| line.len() < LINE_BYTES);
        let (Some(mut line), Some(queue)) = (written, self.queue.get()) else {
            return self.state.metrics.unrecorded();
        };
        line.push(b'\n');
        let bytes = line.len();
        let before = self.state.pending.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= PENDING_BYTES;
        if fits && queue.try_send(Order::Line(line, Arc::clone(mark))).is_ok() {
            return room.keep();
        }
        self.state.pending.fetch_sub(bytes, Ordering::Relaxed);
        self.state.metrics.unrecorded();
    }
}

/// The salt of a recording. Without one, digests would give values away that are easily guessed.
fn salt(secret: wasmtime::Result<Vec<u8>>, plugin: &Name) -> Option<String> {
    match secret {
        Ok(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Err(error) => {
            let plugin = &**plugin;
            tracing::error!(plugin, "nothing is recorded: there are no random numbers: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Words};

    fn state() -> State {
        let metrics = Metrics::new(1, Words { errors: &[], plugin_failures: &[] });
        State {
            on: AtomicBool::new(true),
            broken: AtomicBool::new(false),
            lines: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            metrics: metrics.plugin(&"a".into()),
        }
    }

    #[test]
    fn there_is_room_for_so_many_lines_and_for_another_when_one_is_done_or_never_came() {
        let state = state();
        let mut rooms: Vec<_> = (0..LINES).map(|_| state.room().unwrap()).collect();
        assert!(state.room().is_none());
        drop(rooms.pop());
        drop(state.room().unwrap());
        rooms.into_iter().for_each(Room::keep);
        drop(state.room().unwrap());
        assert_eq!(state.lines.load(Ordering::Relaxed), LINES - 1);
        state.done(0, true);
        assert_eq!(state.lines.load(Ordering::Relaxed), LINES - 2);
        state.pending.store(PENDING_BYTES, Ordering::Relaxed);
        assert!(state.room().is_none(), "nor beyond so many bytes");
    }

    #[test]
    fn without_random_numbers_nothing_is_recorded() {
        let none = Err(wasmtime::Error::msg("none are left"));
        assert_eq!(salt(none, &"a".into()), None);
        assert_eq!(salt(Ok(vec![1, 255]), &"a".into()), Some("01ff".to_owned()));
    }
}
