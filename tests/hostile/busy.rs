//! Plugins on a machine that has hardly any time for the worker which calls them.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::time::Instant;

use super::{ask, misbehaving};
use crate::support::{Binary, Client, Origin, eventually};

/// Several times what the guest computes, and far less than that takes meanwhile.
const DEADLINE: Duration = Duration::from_millis(200);

/// The first of the processors that may be used, alone.
fn processor() -> CpuSet {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    one
}

/// The thread of a process that is called so.
fn thread_of(process: Pid, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap().flatten();
    let is_called = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let task = { tasks }.find(is_called).unwrap();
    Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap()).unwrap()
}

/// Dropped, it ends what keeps a processor busy.
struct Until<'b>(&'b AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn missed(linkspan: &mut Binary) -> u64 {
    let mut admin = Client::connect(linkspan.admin());
    let text = admin.ask("GET", "/metrics", &[("host", "localhost")], b"").text();
    let name = "linkspan_plugin_failures_total{plugin=\"web\",cause=\"deadline\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap()
}

#[test]
fn a_guest_whose_worker_is_descheduled_past_its_deadline_has_not_missed_it() {
    let origin = Origin::replying("hello");
    let limits = format!("limits = {{ deadline = '{}ms' }}", DEADLINE.as_millis());
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n[admin]\nbind = '127.0.0.1:0'\n{}",
        misbehaving(&origin, "route", &["web"], &limits)
    );
    let mut linkspan = Binary::with(&toml, &["misbehave"], &["run"]);
    let mut client = linkspan.connect();
    assert_eq!(ask(&mut client, "compute").text(), "hello");

    // Everything else of the proxy goes on: what counts the milliseconds, above all.
    let (worker, here) = (thread_of(linkspan.pid(), "linkspan-0"), processor());
    sched_setaffinity(Some(worker), &here).unwrap();
    setpriority_process(Some(worker), 19).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Until(&over);
        let busy = || {
            sched_setaffinity(None, &here).unwrap();
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        scope.spawn(busy);
        scope.spawn(busy);
        eventually("a call that takes longer than its deadline", || {
            let begun = Instant::now();
            assert_eq!(ask(&mut client, "compute").text(), "hello", "{}", linkspan.stderr());
            (begun.elapsed() > 2 * DEADLINE).then_some(())
        });
    });
    assert_eq!(missed(&mut linkspan), 0);
    assert_eq!(
        ask(&mut client, "loop").status(),
        503,
        "what it computes is looked at all the same"
    );
    assert_eq!(missed(&mut linkspan), 1);
}
