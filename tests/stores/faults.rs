//! What happens to memcached itself: it is not there, goes, comes back, and stands still.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Asking, UNHURRIED};
use crate::support::eventually;
use crate::support::memcached::Memcached;

/// Short, so that a test which waits for it does not wait for long.
const HURRIED: &str = "timeout = '100ms'";

#[track_caller]
fn recovers(asking: &Asking) {
    eventually("the store to answer", || (asking.get("/a").text() == "other").then_some(()));
    eventually("no server to be left alone", || (asking.down() == 0).then_some(()));
}

#[test]
fn a_server_that_is_not_there_at_first_is_used_when_it_comes() {
    let mut server = Memcached::start();
    server.kill();
    let asking = Asking::start(&server.store(UNHURRIED));
    for _ in 0..10 {
        let error = asking.error("/a").to_lowercase();
        assert!(error.contains("unavailable"), "{error}");
    }
    assert_eq!((asking.outcomes("unavailable"), asking.down()), (10, 1));
    assert_eq!(asking.proxy.counter("linkspan_plugin_failures_total", &[]), 0);
    server.restart();
    server.set("/a", "other");
    recovers(&asking);
}

#[test]
fn a_restart_that_nobody_saw_costs_nothing() {
    let mut server = Memcached::start();
    let asking = Asking::start(&server.store(UNHURRIED));
    for _ in 0..3 {
        server.set("/a", "other");
        assert_eq!(asking.get("/a").text(), "other");
        server.restart();
        assert_eq!(asking.get("/a").text(), "main", "it is empty");
    }
    assert_eq!(asking.outcomes("unavailable"), 0);
}

#[test]
fn killed_and_restarted_under_load_it_is_missed_and_never_told_a_miss() {
    let mut server = Memcached::start();
    server.set("/a", "other");
    let asking = Asking::start(&server.store(UNHURRIED));
    let [may_fail, may_miss, over] = [const { AtomicBool::new(false) }; 3];
    let failures = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = asking.proxy.connect();
                while !over.load(Ordering::SeqCst) {
                    let answer = client.get("/a");
                    match answer.text().as_str() {
                        "other" => {}
                        "main" => assert!(may_miss.load(Ordering::SeqCst), "a miss"),
                        error => {
                            assert!(may_fail.load(Ordering::SeqCst), "{error}");
                            assert_eq!(answer.status(), 503, "{error}");
                            failures.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        eventually("some look-ups", || (asking.outcomes("hit") > 100).then_some(()));
        may_fail.store(true, Ordering::SeqCst);
        server.kill();
        eventually("failures", || (failures.load(Ordering::SeqCst) > 100).then_some(()));
        may_miss.store(true, Ordering::SeqCst);
        server.restart();
        server.set("/a", "other");
        let hits = asking.outcomes("hit");
        eventually("hits again", || (asking.outcomes("hit") > hits + 100).then_some(()));
        over.store(true, Ordering::SeqCst);
    });
    recovers(&asking);
}

#[test]
fn a_server_that_stands_still_is_given_up_and_taken_up_again() {
    let server = Memcached::start();
    server.set("/a", "other");
    let asking = Asking::start(&server.store(HURRIED));
    recovers(&asking);
    for _ in 0..2 {
        server.pause();
        eventually("it to be left alone", || {
            let error = asking.error("/a").to_lowercase();
            assert!(error.contains("timeout") || error.contains("unavailable"), "{error}");
            (asking.down() == 1).then_some(())
        });
        // What began to wait before has come to its end.
        assert!(asking.outcomes("timeout") >= 3);
        server.resume();
        recovers(&asking);
    }
    assert_eq!(asking.outcomes("miss"), 0);
}
