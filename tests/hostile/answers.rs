//! Answers against the contract.

use super::{ask, failures, misbehaving};
use crate::support::{Client, Origin, Proxy};

/// Each of these, ten times over: every one is treated, no instance is lost, nothing is parked.
#[track_caller]
fn are_contained(at: &str, misdeeds: &[&str], status: u16) {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start_with(&misbehaving(&origin, at, misdeeds, ""), &["misbehave"]);
    for misdeed in misdeeds {
        let mut client = Client::connect(proxy.address(misdeed));
        for _ in 0..10 {
            let answer = ask(&mut client, misdeed);
            assert_eq!(answer.status(), status, "{misdeed} in {at}");
            assert!(answer.values("x-b").is_empty(), "{misdeed} in {at}: {answer:?}");
            assert_eq!(client.get("/").text(), "hello", "after {misdeed} in {at}");
        }
        assert_eq!(failures(&proxy, misdeed, "contract"), 10, "{misdeed} in {at}");
        let all = proxy.counter("linkspan_plugin_failures_total", &[("plugin", misdeed)]);
        assert_eq!(all, 10, "{misdeed} in {at}");
    }
}

#[test]
fn of_a_router_cost_a_503_each() {
    let misdeeds =
        ["unknown-cluster", "bad-status", "bad-redirect", "framing-header", "crlf-header"];
    are_contained("route", &misdeeds, 503);
}

#[test]
fn of_a_balancer_are_stood_in_for() {
    are_contained("pick", &["bad-index"], 200);
}

#[test]
fn of_a_rewriter_cost_a_502_each() {
    let misdeeds = ["framing-header", "crlf-header", "bad-path", "bad-status"];
    are_contained("on-request", &misdeeds, 502);
    are_contained("on-response", &misdeeds, 502);
}

#[test]
fn a_path_that_breaks_the_request_line_reaches_no_upstream() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start_with(&misbehaving(&origin, "route", &["web"], ""), &["misbehave"]);
    let fields = [("x-do", "bad-path"), ("x-cluster", "web")];
    assert_eq!(proxy.connect().ask("GET", "/", &fields, &[]).status(), 503);
    assert_eq!(origin.hits(), 0);
    assert_eq!(failures(&proxy, "web", "contract"), 1);
}

#[test]
fn an_address_that_nobody_granted_is_a_502() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start_with(&misbehaving(&origin, "route", &["web"], ""), &["misbehave"]);
    let mut client = proxy.connect();
    assert_eq!(ask(&mut client, "ungranted-address").status(), 502);
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn answers_beyond_what_the_host_takes_cost_one_request() {
    let origin = Origin::replying("hello");
    for (at, misdeed, status) in [
        ("route", "many-headers", 503),
        ("route", "big-body", 503),
        ("on-request", "many-headers", 502),
        ("on-response", "many-headers", 502),
    ] {
        let proxy = Proxy::start_with(&misbehaving(&origin, at, &["web"], ""), &["misbehave"]);
        let mut client = proxy.connect();
        for _ in 0..3 {
            assert_eq!(ask(&mut client, misdeed).status(), status, "{misdeed} in {at}");
            assert_eq!(client.get("/").text(), "hello", "after {misdeed} in {at}");
        }
    }
}

#[test]
fn a_balancer_that_names_nobody_leaves_a_503_and_no_failure() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start_with(&misbehaving(&origin, "pick", &["web"], ""), &["misbehave"]);
    let mut client = proxy.connect();
    for misdeed in ["nobody", "next"] {
        assert_eq!(ask(&mut client, misdeed).status(), 503);
    }
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
}
