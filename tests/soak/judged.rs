//! What `make soak` judges: times and memory, of the optimised program on a machine that is left alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::ferry::{BROKEN, Ferry};
use super::load::{Load, Seen, wait_until};
use crate::support::Client;

const FULL: Load =
    Load { clients: 40, rate: 2_000, tunnels: 10, downloads: 10, life: Duration::from_secs(10) };

/// Swaps that warm up, and after how many of the others there is a file that is broken.
const WARMING: usize = 20;
const EVERY: usize = 20;

/// How long the same load is measured without swaps.
const CALM: Duration = Duration::from_mins(1);

/// How much longer 99 of 100 requests may take meanwhile.
const LONGER: Duration = Duration::from_millis(10);

/// How long what is superseded may stay.
const LINGERING: Duration = Duration::from_mins(1);

/// How many times longer 99 of 100 requests may take while a plugin of others loops.
const TIMES: f64 = 1.5;

/// The swaps that the promise is of.
const PROMISED: usize = 1_000;

/// Swaps after those that warm up: fewer than are promised if that is asked for, and then it is said.
fn swaps() -> usize {
    let swaps = std::env::var("SWAPS").map_or(PROMISED, |swaps| swaps.parse().unwrap());
    assert!(swaps > 0, "no swap proves nothing");
    swaps
}

#[test]
#[ignore = "takes ten minutes, and judges times and memory: `make soak`"]
fn a_thousand_versions_cost_no_request_little_time_and_no_memory() {
    let mut ferry = Ferry::open(2, FULL.life, "");
    let seen = Seen::default();
    thread::scope(|scope| {
        let _over = seen.until_dropped();
        FULL.begin(scope, ferry.address(), &seen);
        (0..WARMING).for_each(|_| ferry.swap());
        seen.p99();
        wait_until(Instant::now() + CALM);
        let (calm, start) = (seen.p99(), ferry.linkspan.resident_bytes());
        println!("before: {seen}; p99 {calm:?}, {} KiB resident", start >> 10);
        let begun = Instant::now();
        let swaps = swaps();
        for number in 0..swaps {
            ferry.swap();
            if number % EVERY == 0 {
                ferry.is_refused(BROKEN[number / EVERY % BROKEN.len()]);
            }
        }
        let (took, busy) = (begun.elapsed(), seen.p99());
        let most = start + start / 20;
        let end = Instant::now() + LINGERING;
        let mut after = ferry.linkspan.resident_bytes();
        while after > most && Instant::now() < end {
            wait_until(Instant::now() + Duration::from_secs(1));
            after = ferry.linkspan.resident_bytes();
        }
        println!("{swaps} swaps in {took:?}: {seen}; p99 {busy:?}, {} KiB", after >> 10);
        if swaps < PROMISED {
            println!(
                "SHORT, {swaps} of {PROMISED} swaps: NOT JUDGED are memory and p99, nor is anything proven \
                 of {PROMISED}"
            );
            return;
        }
        assert!(after <= most, "{} KiB were {} KiB", after >> 10, start >> 10);
        assert!(busy <= calm + LONGER, "{busy:?} of 99 in 100 requests were {calm:?}");
    });
    seen.assert_unharmed();
    ferry.assert_counted();
}

/// Another listener, with a router that loops if it is asked to.
const LOOPS: &str = "[listeners.loops]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
                     routers = ['loops']\n[plugins.loops]\ncomponent = 'misbehave'\n\
                     config = { at = 'route' }\n";

#[test]
#[ignore = "takes two minutes, and judges times: `make soak`"]
fn a_plugin_that_loops_makes_innocents_of_its_worker_wait_little() {
    const INNOCENT: Load = Load { clients: 10, rate: 500, tunnels: 0, downloads: 0, ..FULL };
    let mut ferry = Ferry::open(1, INNOCENT.life, LOOPS);
    let (seen, looping) = (Seen::default(), AtomicBool::new(false));
    let elsewhere = ferry.linkspan.address("loops");
    thread::scope(|scope| {
        let _over = seen.until_dropped();
        INNOCENT.begin(scope, ferry.address(), &seen);
        scope.spawn(|| ask_elsewhere(elsewhere, &looping, &seen));
        let measure = |loops, seconds| {
            looping.store(loops, Ordering::Relaxed);
            wait_until(Instant::now() + Duration::from_secs(seconds));
            seen.p99()
        };
        measure(false, 10);
        let (before, during) = (measure(false, 45), measure(true, 60));
        let failures = ferry.count("failures_total{plugin=\"loops\",cause=\"deadline\"}");
        println!("p99 {before:?}, and {during:?} while a plugin loops, {failures} times; {seen}");
        assert!(failures > 5, "it loops {failures} times");
        assert!(during <= before.mul_f64(TIMES), "{during:?} were {before:?}");
    });
    seen.assert_clean();
}

/// How long a plugin loops before it has missed its deadline, and how much longer others may wait for that:
/// for the tick at its end, and for those who have waited before them.
const ONCE: Duration = Duration::from_millis(200);
const BEHIND: Duration = Duration::from_millis(30);

#[test]
#[ignore = "takes half a minute, and judges times: `make soak`"]
fn a_plugin_that_loops_makes_innocents_wait_once_and_no_longer_than_its_deadline() {
    const INNOCENT: Load = Load { clients: 10, rate: 300, tunnels: 0, downloads: 0, ..FULL };
    let limits = format!("limits = {{ deadline = '{}ms' }}\n", ONCE.as_millis());
    let mut ferry = Ferry::open(1, INNOCENT.life, &format!("{LOOPS}{limits}"));
    let seen = Seen::default();
    let elsewhere = ferry.linkspan.address("loops");
    thread::scope(|scope| {
        let _over = seen.until_dropped();
        INNOCENT.begin(scope, ferry.address(), &seen);
        let settle = || wait_until(Instant::now() + Duration::from_secs(5));
        let looped = || {
            let answer = Client::connect(elsewhere).ask("GET", "/", &DO_LOOP, b"");
            assert_eq!(answer.status(), 503);
            settle();
            seen.longest()
        };
        settle();
        seen.longest();
        settle();
        let (calm, once) = (seen.longest(), looped());
        let afterwards = (0..3).map(|_| looped()).max().unwrap();
        println!("longest waits: {calm:?}; {once:?} in the first loop, {afterwards:?} in others");
        assert!(once >= ONCE / 2, "nobody waited for it: {once:?}");
        assert!(once <= ONCE + BEHIND, "{once:?} is more than its deadline of {ONCE:?}");
        // That others take as long as ever is judged of 99 in 100: this is the longest of thousands.
        assert!(afterwards <= ONCE / 4, "{afterwards:?} were {calm:?}: it does not yield");
    });
    seen.assert_clean();
}

/// So many that each can be asked every third second, and fails too seldom to be parked, while one or
/// another of them loops all the time.
const LOOPING: usize = 30;

/// Listeners with a router each that loops for 100 ms if it is asked to.
fn many_loops() -> String {
    let table = |number| {
        LOOPS.replace("loops", &format!("loops{number}")).replace(
            "at = 'route' }\n",
            "at = 'route' }\n\
             limits = { deadline = '100ms' }\n",
        )
    };
    (0..LOOPING).map(table).collect()
}

#[test]
#[ignore = "takes two minutes, and judges times: `make soak`"]
fn plugins_that_loop_all_the_time_let_innocents_of_their_worker_in_between() {
    const INNOCENT: Load = Load { clients: 10, rate: 300, tunnels: 0, downloads: 0, ..FULL };
    let mut ferry = Ferry::open(1, INNOCENT.life, &many_loops());
    let (seen, looping) = (Seen::default(), AtomicBool::new(false));
    let all: Vec<_> =
        (0..LOOPING).map(|number| ferry.linkspan.address(&format!("loops{number}"))).collect();
    // The first of each makes all wait: from then on it yields.
    let first = |address: &SocketAddr| Client::connect(*address).ask("GET", "/", &DO_LOOP, b"");
    all.iter().for_each(|address| assert_eq!(first(address).status(), 503));
    thread::scope(|scope| {
        let _over = seen.until_dropped();
        INNOCENT.begin(scope, ferry.address(), &seen);
        scope.spawn(|| loop_in_turn(&all, &looping, &seen));
        let measure = |loops, seconds| {
            looping.store(loops, Ordering::Relaxed);
            wait_until(Instant::now() + Duration::from_secs(seconds));
            seen.p99()
        };
        measure(false, 10);
        let (before, during) = (measure(false, 30), measure(true, 60));
        let count = |ferry: &Ferry, metric: &str, labels: &str| -> u64 {
            let of = |n| ferry.count(&format!("{metric}{{plugin=\"loops{n}\"{labels}}}"));
            (0..LOOPING).map(of).sum()
        };
        let failures = count(&ferry, "failures_total", ",cause=\"deadline\"");
        println!("p99 {before:?}, and {during:?} while others loop, {failures} times; {seen}");
        // Of 600 that fit into a minute.
        assert!(failures > 200, "they loop {failures} times");
        assert_eq!(count(&ferry, "parked", ""), 0, "one is parked, and loops no more");
        assert!(during <= before + LONGER, "{during:?} were {before:?}");
    });
    seen.assert_clean();
}

/// What has `misbehave` loop.
const DO_LOOP: [(&str, &str); 1] = [("x-do", "loop")];

/// Asks one after the other of the listeners whose plugins loop.
fn loop_in_turn(all: &[SocketAddr], looping: &AtomicBool, seen: &Seen) {
    let mut due = Instant::now();
    for address in all.iter().cycle() {
        // At least a tenth of a second for each, so that none fails five times in ten.
        due = (due + Duration::from_millis(100)).max(Instant::now());
        wait_until(due);
        if seen.is_over() {
            return;
        }
        if looping.load(Ordering::Relaxed) {
            Client::connect(*address).ask("GET", "/", &DO_LOOP, b"");
        }
    }
}

/// Asks the listener whose plugin may loop, whatever comes of it.
fn ask_elsewhere(address: SocketAddr, looping: &AtomicBool, seen: &Seen) {
    let mut client = Client::connect(address);
    let mut due = Instant::now();
    while !seen.is_over() {
        due += Duration::from_millis(50);
        wait_until(due);
        let fields: &[(&str, &str)] = if looping.load(Ordering::Relaxed) { &DO_LOOP } else { &[] };
        if client.ask("GET", "/", fields, b"").closes() {
            client = Client::connect(address);
        }
    }
}
