//! What a plugin costs that traps, loops, eats memory or answers nonsense: one request, never the
//! proxy.
//!
//! The guest `misbehave` does what a request's `x-do` asks for, in the call that its `at` names.

mod answers;
mod injection;
mod looping;
mod parking;
mod sharing;
mod upstream;

use std::fmt::Write;

use crate::support::{Binary, Client, Message, Origin, Proxy, UNHURRIED};

/// What breaks a guest, and what its failure counts as.
const BREAKS: [(&str, &str); 5] = [
    ("trap", "trap"),
    ("panic", "trap"),
    ("deep-recursion", "trap"),
    ("eat", "memory"),
    ("loop", "deadline"),
];

/// So little memory that it is used up before the time is.
const LIMITS: &str = "limits = { memory = '4MiB', deadline = '100ms' }";

/// A listener for each name, on which a plugin of that name misbehaves in a call; `more` are
/// further keys of the plugins.
fn misbehaving(origin: &Origin, at: &str, names: &[&str], more: &str) -> String {
    let mut toml = String::new();
    for name in names {
        let (listener, cluster) = match at {
            "route" => (format!("routers = ['{name}']"), String::new()),
            "pick" => (String::new(), format!("balancer = '{name}'")),
            _ => (format!("rewriters = ['{name}']"), String::new()),
        };
        let _ = writeln!(
            toml,
            "[listeners.{name}]\nbind = '127.0.0.1:0'\ndefault-cluster = '{name}'\n{listener}\n\
             [clusters.{name}]\nendpoints = ['{}']\n{cluster}\n\
             [plugins.{name}]\ncomponent = 'misbehave'\nconfig = {{ at = '{at}' }}\n{more}",
            origin.address()
        );
    }
    toml
}

/// Asks for a misdeed.
#[track_caller]
fn ask(client: &mut Client, misdeed: &str) -> Message {
    client.ask("GET", "/", &[("x-do", misdeed)], &[])
}

fn failures(proxy: &Proxy, plugin: &str, cause: &str) -> u64 {
    proxy.counter("linkspan_plugin_failures_total", &[("plugin", plugin), ("cause", cause)])
}

/// Each break in that call is answered with `status`, and nothing else is affected.
#[track_caller]
fn costs_one_request(at: &str, treatment: &str, status: u16) {
    let origin = Origin::replying("hello");
    let names = BREAKS.map(|(name, _)| name);
    let treatment =
        if treatment.is_empty() { String::new() } else { format!("on-failure = '{treatment}'") };
    let more = format!("{treatment}\n{LIMITS}");
    let proxy = Proxy::start_with(&misbehaving(&origin, at, &names, &more), &["misbehave"]);
    for (misdeed, cause) in BREAKS {
        let mut client = Client::connect(proxy.address(misdeed));
        let mut other = Client::connect(proxy.address(misdeed));
        assert_eq!(other.get("/").text(), "hello");
        assert_eq!(ask(&mut client, misdeed).status(), status, "{misdeed} in {at}");
        assert_eq!(client.get("/").text(), "hello", "after {misdeed}, on the same connection");
        assert_eq!(other.get("/").text(), "hello", "after {misdeed}, on another");
        assert_eq!(failures(&proxy, misdeed, cause), 1, "{misdeed} in {at}");
        let all = proxy.counter("linkspan_plugin_failures_total", &[("plugin", misdeed)]);
        assert_eq!(all, 1, "{misdeed} in {at}");
    }
    assert_eq!(proxy.counter("linkspan_plugin_busy_total", &[]), 0);
    assert_eq!(proxy.counter("linkspan_plugin_parked", &[]), 0);
}

#[test]
fn a_router_that_breaks_costs_a_503() {
    costs_one_request("route", "", 503);
}

#[test]
fn a_router_that_breaks_may_be_passed_over() {
    costs_one_request("route", "next", 200);
}

#[test]
fn a_balancer_that_breaks_is_stood_in_for() {
    costs_one_request("pick", "", 200);
}

#[test]
fn a_balancer_that_breaks_may_cost_a_503() {
    costs_one_request("pick", "reject", 503);
}

#[test]
fn a_rewriter_of_requests_that_breaks_costs_a_502() {
    costs_one_request("on-request", "", 502);
}

#[test]
fn a_rewriter_of_responses_that_breaks_costs_a_502() {
    costs_one_request("on-response", "", 502);
}

#[test]
fn a_rewriter_that_breaks_may_be_skipped() {
    costs_one_request("on-request", "skip", 200);
    costs_one_request("on-response", "skip", 200);
}

#[test]
fn a_failure_is_one_line_with_plugin_version_call_and_stack() {
    let origin = Origin::replying("hello");
    let toml = format!(
        "[log]\nformat = 'json'\n[server]\nplugin-dir = 'plugins.d'\n{}",
        misbehaving(&origin, "route", &["web"], "")
    );
    let mut linkspan = Binary::with(&toml, &["misbehave"], &["run"]);
    let mut client = linkspan.connect();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "trap").status(), 503);
    }
    linkspan.wait_for_stderr("trapped");
    let stderr = linkspan.stderr();
    let lines: Vec<_> = stderr.lines().filter(|line| line.contains("trapped")).collect();
    assert!((1..3).contains(&lines.len()), "one line a second: {stderr}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    let text = line.to_string();
    assert!(text.contains("\"web\"") && text.contains("\"route\""), "{text}");
    assert!(text.contains("\"version\""), "{text}");
    assert!(
        text.contains("misbehave") && text.contains("unreachable"),
        "the guest's stack: {text}"
    );
}

#[test]
fn a_flood_of_messages_is_dropped_and_counted() {
    let origin = Origin::replying("hello");
    let proxy =
        Proxy::start_with(&misbehaving(&origin, "route", &["web"], UNHURRIED), &["misbehave"]);
    assert_eq!(ask(&mut proxy.connect(), "log-flood").text(), "hello");
    let dropped = proxy.counter("linkspan_plugin_messages_dropped_total", &[("plugin", "web")]);
    assert!((800..=900).contains(&dropped), "{dropped} of 1,000 messages were dropped");
}
