//! What is dropped into the plugin directory, and what is written to the configuration's file.
//!
//! The system tells of changes where it can; looking at the files once in a while finds them
//! everywhere else, as on network file systems, and says what has changed in either case. Files are judged
//! by size, times and number, and only once these have been the same for a while: who copies a file writes it
//! piece by piece.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How often files are looked at unless the system tells of changes.
const ROUND: Duration = Duration::from_secs(2);

/// How long files stay as they are before they are taken for whole.
const QUIET: Duration = Duration::from_millis(200);

/// How long that is waited for: somebody may write to one of them for ever.
const LONGEST: Duration = Duration::from_secs(10);

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Components.
    Plugins,
    /// The configuration's file, and perhaps components.
    Configuration,
}

/// Watches a plugin directory and a configuration's file.
#[derive(Debug)]
pub struct Watch {
    plugins: Option<PathBuf>,
    file: Option<PathBuf>,
    /// What was last told of.
    told: Seen,
    /// What is not yet settled, since when, and when it was first seen to differ.
    unsettled: Option<(Seen, Instant, Instant)>,
    /// When the files are looked at although nobody tells of any.
    next: Instant,
    event: Arc<Notify>,
    /// What the system tells of, as long as there is this.
    watcher: Option<notify::RecommendedWatcher>,
}

/// What files look like from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    plugins: BTreeMap<OsString, Stamp>,
    file: Option<Stamp>,
}

/// Length, device, number, and when contents and number were last changed, with nanoseconds.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(metadata: &Metadata) -> Stamp {
    if !metadata.is_file() {
        // A pipe that somebody writes to, or a directory, would never be quiet; neither is a component.
        return (0, metadata.dev(), metadata.ino(), (0, 0), (0, 0));
    }
    let written = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.len(), metadata.dev(), metadata.ino(), written, changed)
}

impl Seen {
    /// Links are followed: where deployments switch one, it leads to other bytes.
    fn look(plugins: Option<&Path>, file: Option<&Path>) -> Self {
        let mut seen = Self::default();
        for entry in plugins.and_then(|path| path.read_dir().ok()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "wasm")
                && let Ok(metadata) = path.metadata()
            {
                seen.plugins.insert(entry.file_name(), stamp(&metadata));
            }
        }
        seen.file = file.and_then(|file| file.metadata().ok()).map(|metadata| stamp(&metadata));
        seen
    }
}

impl Watch {
    /// Watches from now on, either of these.
    #[must_use]
    pub fn new(plugins: Option<PathBuf>, file: Option<PathBuf>) -> Self {
        let event = Arc::new(Notify::new());
        let watcher = watcher(plugins.as_deref(), Arc::clone(&event));
        let watcher = watcher.inspect_err(|error| {
            tracing::info!("the system does not tell of changes, so files are looked at: {error}");
        });
        let told = Seen::look(plugins.as_deref(), file.as_deref());
        let (watcher, next) = (watcher.ok(), Instant::now() + ROUND);
        let mut watch = Self { plugins, file, told, unsettled: None, next, event, watcher };
        watch.follow_file();
        watch
    }

    /// Has the system tell of what is now the configuration's file. Not of its directory: it may hold
    /// logs, and each line of those would be told of.
    fn follow_file(&mut self) {
        if let (Some(watcher), Some(file)) = (&mut self.watcher, &self.file) {
            // What is not told of is found by looking.
            let _ = watcher.unwatch(file);
            let _ = watcher.watch(file, RecursiveMode::NonRecursive);
        }
    }

    /// Waits until something has changed, and has stayed as it is since. Nothing is lost if this is
    /// dropped.
    pub async fn changed(&mut self) -> News {
        loop {
            let wake = match &self.unsettled {
                Some((_, since, _)) => *since + QUIET,
                None => self.next,
            };
            match &self.unsettled {
                // What comes while files are written changes nothing before they are quiet.
                Some(_) => sleep_until(wake).await,
                None => {
                    let _ = timeout_at(wake, self.event.notified()).await;
                }
            }
            if let Some(news) = self.look().await {
                return news;
            }
        }
    }

    async fn look(&mut self) -> Option<News> {
        let (plugins, file) = (self.plugins.clone(), self.file.clone());
        // A file system that hangs is to keep nobody from anything else.
        let look = move || Seen::look(plugins.as_deref(), file.as_deref());
        let seen = tokio::task::spawn_blocking(look).await.ok()?;
        self.next = Instant::now() + ROUND;
        if seen == self.told {
            self.unsettled = None;
            return None;
        }
        let now = Instant::now();
        let first = self.unsettled.as_ref().map_or(now, |(_, _, first)| *first);
        let settled = self
            .unsettled
            .as_ref()
            .is_some_and(|(before, since, _)| *before == seen && now >= *since + QUIET);
        if !settled && now < first + LONGEST {
            self.unsettled = Some((seen, now, first));
            return None;
        }
        let news = if seen.file == self.told.file { News::Plugins } else { News::Configuration };
        (self.told, self.unsettled) = (seen, None);
        if news == News::Configuration {
            // It may be another file under its name.
            self.follow_file();
        }
        Some(news)
    }
}

fn watcher(
    plugins: Option<&Path>,
    event: Arc<Notify>,
) -> notify::Result<notify::RecommendedWatcher> {
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
    let mut watcher = notify::recommended_watcher(tell)?;
    if let Some(plugins) = plugins {
        watcher.watch(plugins, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (tempfile::TempDir, Watch) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("plugins.d")).unwrap();
        std::fs::write(path.join("linkspan.toml"), "").unwrap();
        let watch = Watch::new(Some(path.join("plugins.d")), Some(path.join("linkspan.toml")));
        (directory, watch)
    }

    async fn next(watch: &mut Watch) -> News {
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap()
    }

    #[tokio::test]
    async fn what_comes_changes_and_goes_is_told_of() {
        let (directory, mut watch) = watched();
        let (file, plugin) =
            (directory.path().join("linkspan.toml"), directory.path().join("plugins.d/a.wasm"));
        std::fs::write(&plugin, "1").unwrap();
        assert_eq!(next(&mut watch).await, News::Plugins);
        std::fs::write(&plugin, "2").unwrap();
        assert_eq!(next(&mut watch).await, News::Plugins, "of the same length");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(next(&mut watch).await, News::Configuration);
        std::fs::remove_file(&plugin).unwrap();
        assert_eq!(next(&mut watch).await, News::Plugins);
        std::fs::write(directory.path().join("new"), "y").unwrap();
        std::fs::rename(directory.path().join("new"), &file).unwrap();
        assert_eq!(next(&mut watch).await, News::Configuration, "replaced by another");
    }

    #[tokio::test]
    async fn other_files_are_nobodys_business() {
        let (directory, mut watch) = watched();
        std::fs::write(directory.path().join("plugins.d/a.wasm.part"), "1").unwrap();
        std::fs::write(directory.path().join("notes"), "1").unwrap();
        assert_eq!(watch.look().await, None);
        assert!(watch.unsettled.is_none());
    }

    #[tokio::test]
    async fn a_file_is_not_told_of_while_it_is_written() {
        let (directory, mut watch) = watched();
        let plugin = directory.path().join("plugins.d/a.wasm");
        for length in 1..6 {
            std::fs::write(&plugin, "x".repeat(length)).unwrap();
            assert_eq!(watch.look().await, None, "just written");
            assert!(watch.unsettled.is_some());
        }
        assert_eq!(next(&mut watch).await, News::Plugins);
    }

    #[tokio::test]
    async fn what_is_written_to_a_pipe_is_no_change_of_it() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let (directory, mut watch) = watched();
        let path = directory.path().join("plugins.d/a.wasm");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(next(&mut watch).await, News::Plugins);
        let mut pipe = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut pipe, b"1").unwrap();
        assert_eq!(watch.look().await, None);
        assert!(watch.unsettled.is_none(), "it keeps other files from being taken for whole");
    }

    #[tokio::test]
    async fn neither_looking_nor_a_log_beside_the_configuration_is_a_reason_to_look() {
        let (directory, mut watch) = watched();
        let event = Arc::clone(&watch.event);
        let told = async || tokio::time::timeout(QUIET, event.notified()).await.is_ok();
        while told().await {}
        for _ in 0..3 {
            std::fs::write(directory.path().join("access.log"), "1").unwrap();
            assert_eq!(watch.look().await, None);
            assert!(!told().await);
        }
        std::fs::write(directory.path().join("plugins.d/other"), "1").unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(20), event.notified()).await.is_ok());
    }

    #[tokio::test]
    async fn changes_are_found_where_the_system_does_not_tell_of_them() {
        let (directory, mut watch) = watched();
        watch.watcher = None;
        std::fs::write(directory.path().join("plugins.d/a.wasm"), "1").unwrap();
        assert_eq!(next(&mut watch).await, News::Plugins);
    }
}
