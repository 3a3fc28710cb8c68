//! What a plugin costs that fails within a body: that body, told as broken off.

use super::{MIB, events, text, to, wait_for, with_bodies};
use crate::support::{Origin, Proxy, UNHURRIED, eventually, reply};

/// So little memory that it is used up before the time is.
const LIMITS: &str = "limits = { memory = '8MiB', deadline = '100ms' }";

fn failures(proxy: &Proxy, cause: &str) -> u64 {
    proxy.counter("linkspan_plugin_failures_total", &[("plugin", "bodies"), ("cause", cause)])
}

#[test]
fn a_body_that_a_plugin_fails_on_is_visibly_cut_off() {
    let body = text(3 * MIB);
    let origin = Origin::answering(move |_| reply(200, &[], &body));
    let expected = [
        ("trap=1000000", "trap", "trapped"),
        ("loop=1000000", "deadline", "ran past its deadline"),
        ("eat=1000000", "memory", "bytes of memory"),
        ("flood=1000000", "contract", "262145 bytes are more than 262144"),
        ("promise=1000000", "contract", "promised more"),
        ("trap-at-end", "trap", "trapped"),
    ];
    for (task, cause, said) in expected {
        let proxy = Proxy::start_with(&with_bodies(&origin, LIMITS), &["bodies"]);
        let mut client = proxy.connect();
        let before = origin.connections();
        let response = super::ask(&mut client, task);
        assert_eq!(response.status(), 200, "{task}");
        assert!(!response.complete && response.body.len() <= 3 * MIB, "{task}");
        let whole = text(3 * MIB);
        assert!(whole.starts_with(&response.body), "{task}: what came is right");
        client.expect_closed();
        assert_eq!(failures(&proxy, cause), 1, "{task}");
        let line = &proxy.access(1)[0];
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("rewriter bodies") && error.contains(said), "{error}");
        assert_eq!(line["plugins"][0]["failed"], cause);
        assert_eq!(origin.connections(), before + 1);
        if task != "trap-at-end" {
            let gone = || (origin.open_connections() == 0).then_some(());
            eventually("the upstream's connection to be closed", gone);
        }
        let after = super::ask(&mut proxy.connect(), "identity");
        assert!(after.complete && after.body == whole, "after {task}");
    }
}

#[test]
fn an_answer_against_the_contract_costs_no_instance() {
    let origin = Origin::replying("hello");
    let proxy = to(&origin);
    assert!(!super::ask(&mut proxy.connect(), "flood").complete);
    wait_for(&proxy, "abandoned", 1);
    assert!(super::ask(&mut proxy.connect(), "identity").complete);
    assert_eq!(events(&proxy, "stray"), 0);
}

#[test]
fn a_plugin_that_gives_up_a_body_has_not_failed() {
    let origin = Origin::replying("hello");
    let proxy = to(&origin);
    for _ in 0..10 {
        let response = super::ask(&mut proxy.connect(), "give-up");
        assert!(!response.complete && response.body.is_empty());
    }
    let failures = proxy.counter("linkspan_plugin_failures_total", &[]);
    assert_eq!((failures, proxy.counter("linkspan_plugin_parked", &[])), (0, 0));
    assert_eq!(super::ask(&mut proxy.connect(), "give-up-at-once").status(), 502);
    let lines = proxy.access(11);
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.starts_with("rewriter bodies failed: gave up the body: it is,"), "{error}");
    assert_eq!(lines[0]["plugins"][0]["failed"], "given-up");
    assert_eq!((events(&proxy, "abandoned"), events(&proxy, "stray")), (0, 0));
}

#[test]
fn before_the_first_byte_on_failure_decides() {
    let origin = Origin::replying("hello");
    let start = |treatment: &str| {
        let more = format!("{UNHURRIED}\non-failure = '{treatment}'");
        Proxy::start_with(&with_bodies(&origin, &more), &["bodies"])
    };
    let proxy = start("reject");
    let mut client = proxy.connect();
    assert_eq!(super::ask(&mut client, "trap-at-once").status(), 502);
    assert_eq!(client.get("/").text(), "hello", "on the same connection");
    let line = &proxy.access(2)[0];
    assert!(line["error"].as_str().unwrap().contains("rewriter bodies"), "{line}");
    let proxy = start("skip");
    let response = super::ask(&mut proxy.connect(), "trap-at-once");
    assert_eq!((response.text().as_str(), response.length()), ("hello", Some(5)));
    assert_eq!(response.value("x-bodies"), None, "none of its edits is made");
    assert_eq!(failures(&proxy, "trap"), 1);
}

#[test]
fn an_upstream_that_breaks_off_ends_the_body_for_both_sides() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
    let proxy = to(&origin);
    let response = super::ask(&mut proxy.connect(), "upper");
    assert!(!response.complete && b"HELLO".starts_with(&response.body));
    wait_for(&proxy, "abandoned", 1);
    assert_eq!(events(&proxy, "finished"), 0);
    let line = &proxy.access(1)[0];
    assert!(line["error"].as_str().unwrap().contains("closed the connection"), "{line}");
}

#[test]
fn one_instance_for_the_process_is_refused() {
    let origin = Origin::replying("");
    let config = with_bodies(&origin, "instances = 'shared'");
    let said = Proxy::try_start(&config, &["bodies"]).err().unwrap();
    assert!(said.contains("transforms bodies") && said.contains("shared"), "{said}");
}

#[test]
fn a_plugin_without_a_body_interface_cannot_ask_for_bodies() {
    let origin = Origin::replying("hello");
    let config = crate::support::one_cluster(&[origin.address()], "rewriters = ['bad']", "");
    let plugin = "[plugins.bad]\ncomponent = 'misbehave'\nconfig = { at = 'on-response' }\n";
    let proxy = Proxy::start_with(&format!("{config}{plugin}"), &["misbehave"]);
    let mut client = proxy.connect();
    assert_eq!(super::ask(&mut client, "transform-body").status(), 502);
    let error = proxy.access(1)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("exports no `body`"), "{error}");
}
