//! What is noticed, and what is not.

use std::ffi::OsStr;

use super::*;

fn watched() -> (tempfile::TempDir, Watch) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::create_dir(path.join("plugins.d")).unwrap();
    std::fs::write(path.join("linkspan.toml"), "").unwrap();
    let mut watch = Watch::new(Some(path.join("linkspan.toml")));
    watch.follow_plugins(Some(path.join("plugins.d")));
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
    assert_eq!(watch.look().await, Looked::Settled(None));
    assert!(watch.restless.is_empty());
}

#[tokio::test]
async fn a_file_is_not_told_of_while_it_is_written() {
    let (directory, mut watch) = watched();
    let plugin = directory.path().join("plugins.d/a.wasm");
    for length in 1..6 {
        std::fs::write(&plugin, "x".repeat(length)).unwrap();
        assert_eq!(watch.look().await, Looked::Wait, "just written");
        assert!(watch.quiet().restless.contains(OsStr::new("a.wasm")));
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
    assert_eq!(watch.look().await, Looked::Settled(None));
    assert!(watch.restless.is_empty(), "it keeps other files from being taken for whole");
}

#[tokio::test]
async fn neither_looking_nor_a_log_beside_the_configuration_is_a_reason_to_look() {
    let (directory, mut watch) = watched();
    let event = Arc::clone(&watch.event);
    let told = async || tokio::time::timeout(QUIET, event.notified()).await.is_ok();
    while told().await {}
    for _ in 0..3 {
        std::fs::write(directory.path().join("access.log"), "1").unwrap();
        assert_eq!(watch.look().await, Looked::Settled(None));
        assert!(!told().await);
    }
    std::fs::write(directory.path().join("plugins.d/other"), "1").unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(20), event.notified()).await.is_ok());
}

#[tokio::test]
async fn changes_are_found_where_the_system_does_not_tell_of_them() {
    let (directory, mut watch) = watched();
    watch.watcher = Err(notify::Error::generic("for the test"));
    std::fs::write(directory.path().join("plugins.d/a.wasm"), "1").unwrap();
    assert_eq!(next(&mut watch).await, News::Plugins);
}

#[tokio::test]
async fn a_file_that_is_written_for_ever_is_never_told_of_and_holds_up_no_other() {
    let (directory, mut watch) = watched();
    let plugins = directory.path().join("plugins.d");
    let names = [OsStr::new("a.wasm"), OsStr::new("b.wasm")];
    let begin = Instant::now();
    let at = |watch: &mut Watch, after: Duration, length: usize| {
        std::fs::write(plugins.join("a.wasm"), "x".repeat(length)).unwrap();
        watch.compare(&look(Some(&plugins), None, &[]), begin + after)
    };
    // There is no configuration any more, which is as good as anything else that changes.
    assert_eq!(at(&mut watch, Duration::ZERO, 1), Looked::Wait);
    assert_eq!(at(&mut watch, QUIET, 2), Looked::Wait);
    assert_eq!(at(&mut watch, LONGEST, 3), Looked::Settled(Some(News::Configuration)));
    std::fs::write(plugins.join("b.wasm"), "whole").unwrap();
    assert_eq!(at(&mut watch, 2 * LONGEST, 4), Looked::Wait, "the other may be written as well");
    let quiet = 2 * LONGEST + QUIET;
    assert_eq!(at(&mut watch, quiet, 5), Looked::Settled(Some(News::Plugins)));
    let told = watch.quiet();
    assert_eq!(names.map(|name| told.files.contains_key(name)), [false, true]);
    assert_eq!(names.map(|name| told.restless.contains(name)), [true, false]);
    // When it is, it is told of.
    let seen = look(Some(&plugins), None, &[]);
    let (news, later) = (Looked::Settled(Some(News::Plugins)), quiet + QUIET);
    assert_eq!(watch.compare(&seen, begin + later), news);
    assert!(watch.quiet().restless.is_empty());
}

#[tokio::test]
async fn who_does_not_wait_for_news_is_told_of_files_that_are_quiet() {
    let (directory, mut watch) = watched();
    let plugin = directory.path().join("plugins.d/a.wasm");
    std::fs::write(&plugin, "1").unwrap();
    watch.settle().await;
    let quiet = watch.quiet();
    assert!(quiet.restless.is_empty());
    assert!(quiet.files.contains_key(OsStr::new("a.wasm")));
    assert_eq!(watch.look().await, Looked::Settled(None), "it is told of once");
}

#[tokio::test]
async fn a_configuration_is_not_read_that_has_changed_since_it_was_quiet() {
    let (directory, mut watch) = watched();
    let file = directory.path().join("linkspan.toml");
    assert!(watch.file_is_quiet());
    std::fs::write(&file, "half").unwrap();
    assert!(!watch.file_is_quiet() && watch.waits_for_file(), "nobody has looked yet");
    watch.settle().await;
    assert!(watch.file_is_quiet());
    std::fs::remove_file(&file).unwrap();
    assert!(!watch.file_is_quiet());
    assert!(watch.waits_for_file());
    std::fs::write(&file, "written for ever").unwrap();
    let long_ago = Instant::now().checked_sub(LONGEST).unwrap();
    assert_eq!(watch.compare(&look(None, Some(&file), &[]), long_ago), Looked::Wait);
    assert!(!watch.file_is_quiet() && !watch.waits_for_file());
}

#[tokio::test]
async fn what_a_configuration_names_is_a_part_of_it() {
    let (directory, mut watch) = watched();
    let (one, other) = (directory.path().join("one.pem"), directory.path().join("other.pem"));
    std::fs::write(&one, "1").unwrap();
    let later = SystemTime::now() + Duration::from_secs(1);
    watch.follow_named([one.clone(), other.clone()].into(), later);
    assert_eq!(watch.look().await, Looked::Settled(None));
    std::fs::write(&one, "2").unwrap();
    assert!(!watch.file_is_quiet(), "nobody has looked yet");
    assert_eq!(next(&mut watch).await, News::Configuration);
    assert!(watch.file_is_quiet());
    std::fs::write(&other, "it was not there").unwrap();
    assert_eq!(next(&mut watch).await, News::Configuration);
    watch.follow_named([other].into(), later);
    std::fs::write(&one, "nobody names it any more").unwrap();
    assert_eq!(watch.look().await, Looked::Settled(None));
    assert!(watch.restless.is_empty());
}

#[tokio::test]
async fn what_has_changed_since_it_was_read_is_told_of() {
    let (directory, mut watch) = watched();
    let (path, read) = (directory.path().join("one.pem"), SystemTime::now());
    std::fs::write(&path, "1").unwrap();
    watch.follow_named([path].into(), read);
    assert_eq!(next(&mut watch).await, News::Configuration);
    assert_eq!(watch.look().await, Looked::Settled(None), "it is told of once");
}
