//! Targets that are slow, full, or moved away.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use serde_json::Value;

use super::{PLUGINS, said};
use crate::support::{Binary, Origin, Signal, eventually, one_cluster};

const LOST: &str = "lines were lost: the log's target took none";

/// A proxy whose access log is this file.
fn logging_to(path: &Path, origin: &Origin) -> Binary {
    let cluster = one_cluster(&[origin.address()], "", "");
    Binary::serve(&format!("[log]\naccess = '{}'\n{cluster}", path.display()))
}

/// How many lines were said to be lost.
fn lost(linkspan: &Binary) -> usize {
    let lines = said(linkspan, LOST);
    let lost = lines.iter().map(|line| {
        assert_eq!((&line["log"], &line["level"]), (&"access".into(), &"ERROR".into()));
        usize::try_from(line["lines"].as_u64().unwrap()).unwrap()
    });
    lost.sum()
}

#[test]
fn a_target_that_is_stuck_blocks_nobody_and_what_it_costs_is_told() {
    let origin = Origin::replying("ok");
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("access");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(flags).open(&pipe).unwrap();
    let mut linkspan = logging_to(&pipe, &origin);
    let mut client = linkspan.connect();
    // Each line is as long as lines become: together they are more than is kept.
    let target = format!("/{}", "x".repeat(5_000));
    let requests = 2_000;
    for _ in 0..requests {
        assert_eq!(client.get(&target).text(), "ok");
    }
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap() - OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&reader, flags).unwrap();
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map(|line| line.unwrap());
        lines.inspect(|line| drop(serde_json::from_str::<Value>(line).unwrap())).count()
    });
    eventually("what was lost", || (lost(&linkspan) > 0).then_some(()));
    linkspan.signal(Signal::TERM);
    linkspan.wait();
    let (lost, read) = (lost(&linkspan), reading.join().unwrap());
    assert!(lost > requests / 4, "{lost}");
    assert_eq!(lost + read, requests, "each is read or said to be lost");
}

#[test]
fn a_named_pipe_that_nobody_reads_is_refused_and_not_waited_for() {
    let origin = Origin::replying("");
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("access");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut linkspan = logging_to(&pipe, &origin);
    assert_eq!(linkspan.wait().code(), Some(1));
    assert!(linkspan.stderr().contains("cannot open the log file"), "{}", linkspan.stderr());
}

#[test]
fn a_full_disk_costs_lines_and_ends() {
    let origin = Origin::replying("ok");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access");
    symlink("/dev/full", &path).unwrap();
    let mut linkspan = logging_to(&path, &origin);
    let mut client = linkspan.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/").text(), "ok");
    }
    fs::remove_file(&path).unwrap();
    // The first lines may still be on their way to the full disk.
    let present = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    let mut requests = 50;
    eventually("lines in the new file", || {
        linkspan.signal(Signal::USR1);
        assert_eq!(client.get("/").text(), "ok");
        requests += 1;
        (present() > 0).then_some(())
    });
    linkspan.signal(Signal::TERM);
    linkspan.wait();
    assert_eq!(lost(&linkspan) + present(), requests);
}

#[test]
fn moving_both_files_away_under_load_loses_and_tears_no_line() {
    const FLOOD: usize = 1_000;
    let origin = Origin::replying("ok");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let toml = format!(
        "[log]\nfile = '{}'\naccess = '{}'\n{PLUGINS}{}[plugins.bad]\ncomponent = 'misbehave'\n\
         config = {{ at = 'route' }}\nlimits = {{ log-rate = 1000000, deadline = '5s' }}",
        path("log").display(),
        path("access").display(),
        one_cluster(&[origin.address()], "routers = ['bad']", "")
    );
    let mut linkspan = Binary::with(&toml, &["misbehave"], &["run"]);
    let address = linkspan.address("web");
    let ended = AtomicBool::new(false);
    let requests: usize = std::thread::scope(|scope| {
        let load = || {
            let mut client = crate::support::Client::connect(address);
            let mut requests = 0;
            while !ended.load(Ordering::SeqCst) {
                let flood = [("x-do", "log-flood")];
                assert_eq!(client.ask("GET", "/", &flood, b"").text(), "ok");
                requests += 1;
            }
            requests
        };
        let loads = [scope.spawn(load), scope.spawn(load)];
        for round in 0..5 {
            for name in ["log", "access"] {
                eventually("something to move", || {
                    File::open(path(name)).ok()?.metadata().ok().filter(|file| file.len() > 0)
                });
                fs::rename(path(name), path(&format!("{name}.{round}"))).unwrap();
            }
            linkspan.signal(Signal::USR1);
        }
        eventually("the last files", || path("access").exists().then_some(()));
        ended.store(true, Ordering::SeqCst);
        loads.into_iter().map(|load| load.join().unwrap()).sum()
    });
    linkspan.signal(Signal::TERM);
    linkspan.wait();
    let all = |name: &str| -> Vec<Value> {
        let files = (0..5).map(|round| path(&format!("{name}.{round}"))).chain([path(name)]);
        let text: String = files.map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let flood = |line: &&Value| line["message"].as_str().is_some_and(|m| m.ends_with("of a flood"));
    assert_eq!(all("access").len(), requests);
    let lines = all("log");
    let lost = lines.iter().filter(|line| line["message"] == LOST).count();
    assert_eq!(lost, 0, "the disk is fast enough");
    assert_eq!(lines.iter().filter(flood).count(), requests * FLOOD);
}
