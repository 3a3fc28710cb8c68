//! Answers that are none: what a server must not say, and what never becomes of it.

use std::thread;
use std::time::Duration;

use super::{Asking, UNHURRIED};
use crate::support::eventually;
use crate::support::memcached::{FakeMemcached, Say};

const ANSWER: &str = "VALUE /known 0 5\r\nother\r\nEND\r\n";

/// A server that answers so about `/known`, and as it should about anything else.
fn answering(answer: impl Fn() -> Say + Send + Sync + 'static) -> (FakeMemcached, Asking) {
    let server = FakeMemcached::answering(move |line| match line {
        "get /known" => answer(),
        other => Say::value(other.trim_start_matches("get "), "other"),
    });
    let asking = Asking::start(&server.store(UNHURRIED));
    (server, asking)
}

#[test]
fn an_answer_that_breaks_off_at_any_byte_is_an_error_and_no_miss() {
    for answer in [ANSWER, "END\r\n"] {
        let cut = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let shared = std::sync::Arc::clone(&cut);
        let (_server, asking) = answering(move || {
            let cut = shared.load(std::sync::atomic::Ordering::SeqCst);
            Say::Last(answer.as_bytes()[..cut].to_vec())
        });
        for length in 0..answer.len() {
            cut.store(length, std::sync::atomic::Ordering::SeqCst);
            let error = asking.error("/known");
            assert!(error.to_lowercase().contains("unavailable"), "cut at {length}: {error}");
        }
        cut.store(answer.len(), std::sync::atomic::Ordering::SeqCst);
        let whole = if answer == ANSWER { "other" } else { "main" };
        assert_eq!(asking.get("/known").text(), whole);
        assert_eq!(asking.outcomes("unavailable"), answer.len() as u64);
    }
}

#[test]
fn an_answer_that_comes_in_pieces_is_one() {
    let (_server, asking) = answering(|| Say::Pieces(ANSWER.into()));
    assert_eq!(asking.get("/known").text(), "other");
    assert_eq!(asking.open(), 1);
}

#[test]
fn what_a_server_must_not_say_is_an_error_and_costs_the_connection() {
    for (answer, expected) in [
        ("VALUE /another 0 5\r\nother\r\nEND\r\n", "another key"),
        ("VALUE /known 0 5\r\nother\r\nEND\r\nEND\r\n", "more than it was asked"),
        ("VALUE /known 0 99999999999\r\nother", "toolarge"),
        ("SERVER_ERROR out of memory writing get response\r\n", "out of memory writing"),
        ("ERROR\r\n", "error"),
        ("STORED\r\n", "does not fit"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not fit"),
    ] {
        let (server, asking) = answering(move || Say::this(answer));
        for round in 1..4 {
            let error = asking.error("/known").to_lowercase().replace("-", "");
            assert!(error.contains(expected), "{answer:?}: {error}");
            assert_eq!(server.connections(), round, "{answer:?}");
        }
        assert_eq!(asking.get("/fine").text(), "other");
        assert_eq!(asking.down(), 0, "the server is there");
    }
}

#[test]
fn what_is_said_unasked_is_not_the_answer_to_what_is_asked_next() {
    let (server, asking) = answering(|| Say::this(ANSWER));
    assert_eq!(asking.get("/known").text(), "other");
    for _ in 0..10 {
        server.shout("END\r\n");
        assert_eq!(asking.get("/known").text(), "other");
    }
    assert!(server.connections() > 1);
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys() {
    let server = FakeMemcached::answering(|line| {
        if line == "get /slow" {
            thread::park_timeout(Duration::from_millis(300));
            return Say::miss();
        }
        Say::value(line.trim_start_matches("get "), "other")
    });
    // One connection at a time, so that all would share what is wrong with it.
    let asking = Asking::start(&server.store("timeout = '100ms'\nmax-connections = 1"));
    for round in 0..5 {
        // A busy machine may let others time out as well, but not be told a miss.
        let slow = asking.error("/slow").to_lowercase();
        assert!(slow.contains("timeout") || slow.contains("unavailable"), "{slow}");
        eventually("an answer in time", || {
            let answer = asking.get(&format!("/{round}")).text();
            assert_ne!(answer, "main");
            (answer == "other").then_some(())
        });
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced_unseen() {
    // Each connection serves one look-up and closes when it is asked for another.
    let server = FakeMemcached::in_turn(|number, _line| match number {
        0 => Say::this(ANSWER),
        _ => Say::Last(Vec::new()),
    });
    let asking = Asking::start(&server.store(UNHURRIED));
    for _ in 0..5 {
        assert_eq!(asking.get("/known").text(), "other");
    }
    assert_eq!((asking.outcomes("hit"), server.connections()), (5, 5));
    assert_eq!(server.lines().len(), 9, "four were asked twice");
}
