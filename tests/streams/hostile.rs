//! What a router, a client or an upstream does wrong costs its own connection: it ends as documented, with
//! a count and a line in the log.

use std::net::Shutdown;

use super::{all_closed, answer, echo, errors, events, reason, routed, tcp, text, toml};
use crate::support::{Down, Origin, Proxy, eventually};

#[test]
fn a_router_that_never_decides_is_given_so_much_time() {
    let proxy = routed("", "decide-timeout = '200ms'", "");
    let mut client = proxy.connect();
    client.send("who?");
    assert_eq!(text(client.rest()), "");
    let why = "stream router streams had not decided within decide-timeout = 200ms of listener web, \
               after 4 bytes";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!(errors(&proxy, "undecided"), 1);
    all_closed(&proxy);
}

#[test]
fn a_router_that_never_decides_is_shown_so_many_bytes() {
    let proxy = routed("", "max-buffer = '100B'", "");
    assert_eq!(answer(&proxy, &"x".repeat(5_000)), "");
    let why = "stream router streams had not decided when max-buffer = 100B of listener web was full, \
               after 100 bytes";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!(errors(&proxy, "undecided"), 1);
}

#[test]
fn a_client_that_ends_before_anything_can_be_decided_gets_an_end_too() {
    let proxy = routed("", "", "");
    let mut client = proxy.connect();
    client.send("who?");
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.expect_closed();
    let why = "stream router streams had not decided when the client ended, after 4 bytes";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!(events(&proxy, "ended"), 1, "it was asked a last time");
}

#[test]
fn a_client_that_sends_byte_by_byte_is_asked_about_at_each() {
    let origin = echo();
    let rules = format!("rules = [{{ begins = '12345', to = ['{}'] }}]", tcp(origin.address()));
    let proxy = routed(&rules, "", "");
    let mut client = proxy.connect();
    for (number, byte) in ["1", "2", "3", "4", "5"].into_iter().enumerate() {
        let asked = || events(&proxy, "decided") > number as u64;
        eventually("the router to be asked", || asked().then_some(()));
        client.send(byte);
    }
    assert_eq!(text(client.rest()), format!("{}:12345", origin.address().port()));
    assert_eq!(events(&proxy, "decided"), 6);
    assert_eq!(events(&proxy, "accepted"), 1);
}

#[test]
fn nonsense_is_a_failure_of_the_router() {
    let rules = "rules = [{ begins = 'a', to = [] }, { begins = 'b', to = ['nobody'] }]";
    let proxy = routed(rules, "", "");
    for (number, (bytes, why)) in [
        ("a", "answered against the contract: 0 upstreams are not 1 to 64"),
        ("b", "answered against the contract: there is no cluster \"nobody\""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(answer(&proxy, bytes), "");
        assert_eq!(reason(&proxy, number + 1), format!("stream router streams failed: {why}"));
    }
    assert_eq!(errors(&proxy, "plugin"), 2);
    let labels = [("plugin", "streams"), ("cause", "contract")];
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &labels), 2);
}

#[test]
fn a_router_that_breaks_costs_its_own_connection() {
    let origin = echo();
    let rules = format!(
        "rules = [{{ begins = 'trap', do = 'trap' }}, {{ begins = 'loop', do = 'loop' }},
          {{ begins = 'x', to = ['{}'] }}]",
        tcp(origin.address())
    );
    let toml = toml(&rules, "", "").replace("deadline = '5s'", "deadline = '100ms'");
    let proxy = Proxy::start_with(&toml, &["streams"]);
    let fine = format!("{}:x", origin.address().port());
    for (number, (bytes, cause)) in [("trap", "trap"), ("loop", "deadline")].into_iter().enumerate()
    {
        assert_eq!(answer(&proxy, bytes), "");
        assert_eq!(answer(&proxy, "x"), fine, "after {bytes}");
        let labels = [("plugin", "streams"), ("cause", cause)];
        assert_eq!(proxy.counter("linkspan_plugin_failures_total", &labels), 1, "{bytes}");
        assert_eq!(errors(&proxy, "plugin"), number as u64 + 1);
    }
}

#[test]
fn a_router_that_fails_can_be_passed_over() {
    let (main, down) = (echo(), Down::new());
    let rules = format!(
        "rules = [{{ begins = 'trap', do = 'trap' }}, {{ begins = 'b', to = ['nobody'] }},
          {{ begins = 'c', to = ['{}'] }}]",
        tcp(down.address())
    );
    let cluster = format!("[clusters.main]\nendpoints = ['{}']", main.address());
    let listener = "default-cluster = 'main'\nconnect-attempts = 0";
    let toml = toml(&rules, listener, &cluster)
        .replace("[plugins.streams]", "[plugins.streams]\non-failure = 'next'");
    let proxy = Proxy::start_with(&toml, &["streams"]);
    for bytes in ["trap", "b"] {
        assert_eq!(answer(&proxy, bytes), format!("{}:{bytes}", main.address().port()));
    }
    assert_eq!(answer(&proxy, "c"), "", "an upstream that is down is no failure of the router");
}

#[test]
fn a_router_that_is_refused_says_so_in_its_own_words() {
    let toml = toml("rule = []", "", "");
    let refused = Proxy::try_start(&toml, &["streams"]).err().unwrap();
    assert!(refused.contains("rule: unknown key"), "{refused}");
    let router =
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'prefix'";
    let refused = Proxy::try_start(router, &[]).err().unwrap();
    assert!(refused.contains("it is used as a stream-router, and is a router"), "{refused}");
}

#[test]
fn an_upstream_that_closes_without_a_word_counts_as_one_that_is_not_there() {
    let origin = Origin::scripted(|peer| drop(peer.some()));
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(origin.address()));
    let proxy = routed(&rules, "", "");
    assert_eq!(answer(&proxy, "x"), "");
    let why = "closed the connection without having sent anything";
    assert_eq!(reason(&proxy, 1), format!("{}: {why}", origin.address()));
    assert_eq!((errors(&proxy, "connect"), events(&proxy, "connect_failed")), (1, 1));
    assert_eq!(origin.connections(), 1, "what it was sent is sent to nobody else");
}

#[test]
fn a_client_that_left_while_nobody_could_be_connected_to_is_given_up() {
    let down = Down::new();
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(down.address()));
    let proxy = routed(&rules, "connect-attempts = 1000\nretry-delay = '10ms'", "");
    let mut client = proxy.connect();
    client.send("x");
    let attempts = || proxy.counter("linkspan_upstream_attempts", &[]) >= 2;
    eventually("some attempts", || attempts().then_some(()));
    client.reset_on_close();
    drop(client);
    assert_eq!(reason(&proxy, 1), "the client went away before it was connected to an upstream");
    assert_eq!((errors(&proxy, "client_gone"), events(&proxy, "connect_failed")), (1, 0));
}

#[test]
fn a_reset_goes_through_a_stream() {
    let origin = Origin::scripted(|peer| {
        let bytes = peer.some();
        peer.send(bytes);
        if peer.some() == b"!" {
            peer.reset();
        }
    });
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(origin.address()));
    let proxy = routed(&rules, "", "");
    let mut client = proxy.connect();
    client.send("x");
    client.skip(1).unwrap();
    client.send("!");
    assert!(client.skip(1).is_err());
    let why = "its end of the stream broke: connection reset";
    assert_eq!(reason(&proxy, 1), format!("{}: {why}", origin.address()));
    assert_eq!(errors(&proxy, "broken"), 1);
}

#[test]
fn nobody_who_is_turned_away_is_told_in_http() {
    let origin = echo();
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(origin.address()));
    let proxy = routed(&rules, "max-connections-per-address = 1", "");
    let _first = proxy.connect();
    let mut second = proxy.connect();
    second.expect_closed();
}
