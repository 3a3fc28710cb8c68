//! What is dropped into the plugin directory, and what is written to the configuration's file and to those
//! that it names.
//!
//! The system tells of changes where it can; looking at the files once in a while finds them
//! everywhere else, as on network file systems, and says what has changed in either case. Files are judged
//! by size, times and number, and only once these have been the same for a while: who copies a file writes it
//! piece by piece. What comes together is told of together, when all of it is quiet; a file that never is
//! is not told of, and keeps the others waiting for a while only.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::plugin::{Quiet, Stamp};

/// How often files are looked at unless the system tells of changes.
const ROUND: Duration = Duration::from_secs(2);

/// How long files stay as they are before they are taken for whole.
const QUIET: Duration = Duration::from_millis(200);

/// How long that is waited for before others are told of: somebody may write to one of them for ever.
const LONGEST: Duration = Duration::from_secs(10);

/// How far the time of a change may lie before the moment at which somebody could have asked for it: file
/// systems have a clock that ticks.
const GRAIN: Duration = Duration::from_millis(20);

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Components.
    Plugins,
    /// The configuration's file or one that it names, and perhaps components.
    Configuration,
}

/// A file that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum File {
    /// One of the plugin directory, by its name.
    Plugin(OsString),
    /// The configuration's.
    Configuration,
    /// One that the configuration names.
    Named(PathBuf),
}

impl File {
    /// Whether a configuration is made of it.
    fn is_read(&self) -> bool {
        !matches!(self, Self::Plugin(_))
    }
}

/// What files look like from outside, those that are there.
type Seen = BTreeMap<File, Stamp>;

/// A file that does not look as was told.
#[derive(Debug)]
struct Restless {
    /// What it looks like; nothing if it is gone.
    stamp: Option<Stamp>,
    /// Since when it looks like that.
    since: Instant,
    /// Since when it looks otherwise than was told.
    first: Instant,
}

/// What has come of looking.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    /// Files are waited for.
    Wait,
    /// None is; with what is to be told.
    Settled(Option<News>),
}

/// Watches a plugin directory, a configuration's file, and those that it names.
#[derive(Debug)]
pub struct Watch {
    plugins: Option<PathBuf>,
    file: Option<PathBuf>,
    named: Vec<PathBuf>,
    /// What was last told of.
    told: Seen,
    /// What has changed since.
    restless: BTreeMap<File, Restless>,
    /// When the files were last looked at.
    looked: Instant,
    event: Arc<Notify>,
    /// What the system tells of, as long as there is this.
    watcher: notify::Result<notify::RecommendedWatcher>,
}

/// Links are followed: where deployments switch one, it leads to other bytes.
fn look(plugins: Option<&Path>, file: Option<&Path>, named: &[PathBuf]) -> Seen {
    let mut seen = Seen::new();
    for entry in plugins.and_then(|path| path.read_dir().ok()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Ok(metadata) = path.metadata()
        {
            seen.insert(File::Plugin(entry.file_name()), Stamp::of(&metadata));
        }
    }
    if let Some(stamp) = file.and_then(stamp) {
        seen.insert(File::Configuration, stamp);
    }
    let named = named.iter().filter_map(|path| Some((File::Named(path.clone()), stamp(path)?)));
    seen.extend(named);
    seen
}

/// What a file looks like; nothing if it is not there.
fn stamp(file: &Path) -> Option<Stamp> {
    file.metadata().ok().map(|metadata| Stamp::of(&metadata))
}

impl Restless {
    fn is_quiet(&self, now: Instant) -> bool {
        now >= self.since + QUIET
    }

    /// Whether it is to be quiet before any is told of.
    fn is_waited_for(&self, now: Instant) -> bool {
        !self.is_quiet(now) && now < self.first + LONGEST
    }
}

impl Watch {
    /// Watches a configuration's file from now on, if there is one.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        let event = Arc::new(Notify::new());
        let watcher = watcher(Arc::clone(&event));
        let told = look(None, file.as_deref(), &[]);
        let (plugins, named) = (None, Vec::new());
        let (looked, restless) = (Instant::now(), BTreeMap::new());
        let mut watch = Self { plugins, file, named, told, restless, looked, event, watcher };
        watch.follow_file();
        watch
    }

    /// Watches a plugin directory as well from now on, if there is one.
    pub fn follow_plugins(&mut self, plugins: Option<PathBuf>) {
        if let (Ok(watcher), Some(plugins)) = (&mut self.watcher, &plugins)
            && let Err(error) = watcher.watch(plugins, RecursiveMode::NonRecursive)
        {
            self.watcher = Err(error);
        }
        if let Err(error) = &self.watcher {
            tracing::info!("the system does not tell of changes, so files are looked at: {error}");
        }
        self.told.extend(look(plugins.as_deref(), None, &[]));
        self.plugins = plugins;
    }

    /// Watches these files from now on, which the configuration names, instead of those that another has named.
    /// They were read after this moment: what has changed since is told of.
    pub fn follow_named(&mut self, files: BTreeSet<PathBuf>, read: SystemTime) {
        let gone: Vec<_> =
            self.named.iter().filter(|path| !files.contains(*path)).cloned().collect();
        for path in gone {
            if let Ok(watcher) = &mut self.watcher {
                let _ = watcher.unwatch(&path);
            }
            let file = File::Named(path);
            self.told.remove(&file);
            self.restless.remove(&file);
        }
        let read = read.checked_sub(GRAIN).unwrap_or(read);
        for path in files.iter().filter(|path| !self.named.contains(path)) {
            if let Some(stamp) = stamp(path).filter(|stamp| stamp.is_older_than(read)) {
                self.told.insert(File::Named(path.clone()), stamp);
            }
        }
        self.named = files.into_iter().collect();
        self.follow_file();
    }

    /// Has the system tell of what is now the configuration's file. Not of its directory: it may hold
    /// logs, and each line of those would be told of.
    fn follow_file(&mut self) {
        let Ok(watcher) = &mut self.watcher else { return };
        for file in self.file.iter().chain(&self.named) {
            // What is not told of is found by looking.
            let _ = watcher.unwatch(file);
            let _ = watcher.watch(file, RecursiveMode::NonRecursive);
        }
    }

    /// Waits until something has changed, and has stayed as it is since. Nothing is lost if this is
    /// dropped.
    pub async fn changed(&mut self) -> News {
        loop {
            if self.restless.is_empty() {
                let _ = timeout_at(self.looked + ROUND, self.event.notified()).await;
            } else {
                // What comes while files are written changes nothing before they are quiet.
                sleep_until(self.looked + QUIET).await;
            }
            if let Looked::Settled(Some(news)) = self.look().await {
                return news;
            }
        }
    }

    /// Looks at once, and waits until nobody writes to any of the files, but not for those that somebody
    /// writes to for ever. What has changed is not told of again. Nothing is lost if this is dropped.
    pub async fn settle(&mut self) {
        while self.look().await == Looked::Wait {
            sleep_until(self.looked + QUIET).await;
        }
    }

    /// Whether the configuration's file and those that it names look as was last told, so that they can be
    /// read: half of one may be a sound configuration. Looks at once.
    #[must_use]
    pub fn file_is_quiet(&self) -> bool {
        let told = self.told.iter().filter(|(file, _)| file.is_read());
        look(None, self.file.as_deref(), &self.named).iter().eq(told)
    }

    /// Whether these are waited for where they are not quiet; not if somebody writes to one for ever.
    #[must_use]
    pub fn waits_for_file(&self) -> bool {
        let mut restless = self.restless.iter().filter(|(file, _)| file.is_read());
        restless.all(|(_, restless)| Instant::now() < restless.first + LONGEST)
    }

    /// The plugin directory, as was last told.
    #[must_use]
    pub fn quiet(&self) -> Quiet {
        let name = |file: &File| match file {
            File::Plugin(name) => Some(name.clone()),
            File::Configuration | File::Named(_) => None,
        };
        let told = self.told.iter();
        Quiet {
            files: told.filter_map(|(file, stamp)| Some((name(file)?, *stamp))).collect(),
            restless: self.restless.keys().filter_map(name).collect(),
        }
    }

    async fn look(&mut self) -> Looked {
        let (plugins, file) = (self.plugins.clone(), self.file.clone());
        let named = self.named.clone();
        // A file system that hangs is to keep nobody from anything else.
        let look = move || look(plugins.as_deref(), file.as_deref(), &named);
        let seen = tokio::task::spawn_blocking(look).await;
        self.looked = Instant::now();
        let Ok(seen) = seen else { return Looked::Settled(None) };
        let looked = self.compare(&seen, self.looked);
        if looked == Looked::Settled(Some(News::Configuration)) {
            // It may be another file under its name.
            self.follow_file();
        }
        looked
    }

    fn compare(&mut self, seen: &Seen, now: Instant) -> Looked {
        let mut before = std::mem::take(&mut self.restless);
        let files: BTreeSet<&File> = seen.keys().chain(self.told.keys()).collect();
        for file in files {
            let stamp = seen.get(file).copied();
            if stamp == self.told.get(file).copied() {
                continue;
            }
            let restless = match before.remove(file) {
                Some(known) if known.stamp == stamp => known,
                known => {
                    let first = known.map_or(now, |known| known.first);
                    Restless { stamp, since: now, first }
                }
            };
            self.restless.insert(file.clone(), restless);
        }
        if self.restless.values().any(|restless| restless.is_waited_for(now)) {
            return Looked::Wait;
        }
        let mut news = None;
        for (file, quiet) in self.restless.extract_if(.., |_, restless| restless.is_quiet(now)) {
            news = match file {
                File::Configuration | File::Named(_) => Some(News::Configuration),
                File::Plugin(_) => news.or(Some(News::Plugins)),
            };
            match quiet.stamp {
                Some(stamp) => self.told.insert(file, stamp),
                None => self.told.remove(&file),
            };
        }
        Looked::Settled(news)
    }
}

fn watcher(event: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let tell = move |told: notify::Result<notify::Event>| {
        // Looking at a directory opens it, and would be a reason to look again.
        let read = told.is_ok_and(|told| {
            told.kind.is_access()
                && told.kind != EventKind::Access(AccessKind::Close(AccessMode::Write))
        });
        if !read {
            event.notify_one();
        }
    };
    notify::recommended_watcher(tell)
}

#[cfg(test)]
mod tests;
