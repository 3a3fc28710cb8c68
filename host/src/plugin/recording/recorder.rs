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
    /// Bytes that wait.
    pending: AtomicUsize,
    metrics: Arc<PluginMetrics>,
}

/// What the thread is told.
pub(super) enum Order {
    /// A line to write.
    Line(Vec<u8>),
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

    /// A line that was waiting is written, or lost.
    pub(super) fn done(&self, bytes: usize, written: bool) {
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
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let salt: String = secret(16).map(hex).unwrap_or_default();
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
        let pending = AtomicUsize::new(0);
        let state = Arc::new(State { on, broken, pending, metrics });
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

    /// Begins to note a call about an exchange, if it is one of the sample.
    pub(in crate::plugin) fn noting(&self, exchange: &mut Exchange) -> Option<Box<Noting<'_>>> {
        let takes = self.state.on.load(Ordering::Relaxed) && self.takes(&exchange.trail);
        takes.then(|| Box::new(Noting::begin(self, exchange)))
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

    /// Hands a line over, or drops it. Never waits.
    pub(super) fn offer(&self, line: &Line) {
        let written = serde_json::to_vec(line).ok().filter(|line| line.len() < LINE_BYTES);
        let (Some(mut line), Some(queue)) = (written, self.queue.get()) else {
            return self.state.metrics.unrecorded();
        };
        line.push(b'\n');
        let bytes = line.len();
        let before = self.state.pending.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= PENDING_BYTES;
        if !fits || queue.try_send(Order::Line(line)).is_err() {
            self.state.done(bytes, false);
        }
    }
}
