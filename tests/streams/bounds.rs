//! What is bounded before a connection is relayed: what a router gives, what a client takes and how slowly it
//! sends, and what happens when one of them comes too late.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::{all_closed, answer, errors, events, mirror, next, reason, routed, tcp, text, toml};
use crate::support::memcached::{FakeMemcached, Say};
use crate::support::{Client, Down, Origin, PATIENCE, Peer, Proxy, UNHURRIED, eventually};

#[test]
fn a_client_that_trickles_gains_no_time() {
    let proxy = routed("", "decide-timeout = '500ms'\nmax-buffer = '1MiB'", "");
    let mut client = proxy.connect();
    let mut sent = 0;
    while client.write("x").is_ok() && sent < 10_000 {
        sent += 1;
        // The next when it has been asked about, or turned away.
        eventually("the router to be asked", || {
            let asked = events(&proxy, "decided") > sent;
            (asked || errors(&proxy, "undecided") > 0).then_some(())
        });
    }
    let said = reason(&proxy, 1);
    let why = "had not decided within decide-timeout = 500ms of listener web, after ";
    assert!(said.contains(why) && !said.ends_with(" 0 bytes"), "{said}");
    assert_eq!(errors(&proxy, "undecided"), 1);
    all_closed(&proxy);
}

#[test]
fn what_is_longer_than_a_router_may_give_is_its_failure() {
    let origin = mirror();
    let to = tcp(origin.address());
    let rules = format!(
        "rules = [{{ begins = 'long', to = ['{to}'], data-bytes = 5000 }},
          {{ begins = 'short', to = ['{to}'], data-bytes = 2000 }}]"
    );
    let limits = "limits = { deadline = '5s', host-call-bytes = '4KiB' }";
    let proxy = Proxy::start_with(&toml(&rules, "", "").replace(UNHURRIED, limits), &["streams"]);
    assert_eq!(answer(&proxy, "long"), "");
    let said = reason(&proxy, 1);
    assert!(said.starts_with("stream router streams failed: "), "{said}");
    assert!(said.contains("too much data is being copied"), "{said}");
    assert_eq!(errors(&proxy, "plugin"), 1);
    let labels = [("plugin", "streams"), ("cause", "trap")];
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &labels), 1);
    assert_eq!(origin.connections(), 0);
    let mut client = proxy.connect();
    client.send("short");
    assert_eq!(next(&mut client, 2_000), "x".repeat(2_000));
}

#[test]
fn a_greeting_that_is_not_taken_is_no_decision() {
    let limits = "limits = { deadline = '5s', host-call-bytes = '64MiB' }";
    let toml = toml("greeting-bytes = 20_000_000", "decide-timeout = '300ms'", "");
    let proxy = Proxy::start_with(&toml.replace(UNHURRIED, limits), &["streams"]);
    let client = Client::small(proxy.address("web"));
    let why = "stream router streams had not decided within decide-timeout = 300ms of listener web, \
               after 0 bytes";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!(errors(&proxy, "undecided"), 1);
    drop(client);
    all_closed(&proxy);
}

#[test]
fn an_answer_that_comes_when_the_client_has_left_connects_nobody() {
    let origin = mirror();
    let (go_on, going) = mpsc::channel();
    let going = Mutex::new(going);
    let store = FakeMemcached::answering(move |line| {
        let _ = going.lock().unwrap().recv_timeout(PATIENCE);
        let key = line.strip_prefix("get ").unwrap_or_default();
        Say::value(key, "main")
    });
    let proxy = Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'git-path-store'\n\
         [plugins.git-path-store]\n{UNHURRIED}\ngrants.stores = ['sites']\nconfig.store = 'sites'\n\
         {}[clusters.main]\nendpoints = ['{}']\n",
        store.store("timeout = '1m'"),
        origin.address()
    ));
    let ask = || {
        let mut client = proxy.connect();
        let packet = "git-upload-pack /mojombo/god.git\0host=x\0";
        client.send(format!("{:04x}{packet}", packet.len() + 4));
        client
    };
    let mut leaving = ask();
    eventually("the store to be asked", || (store.lines().len() == 1).then_some(()));
    leaving.reset_on_close();
    drop(leaving);
    go_on.send(()).unwrap();
    assert_eq!(reason(&proxy, 1), "the client went away before it was connected to an upstream");
    assert_eq!(errors(&proxy, "client_gone"), 1);
    assert_eq!(proxy.counter("linkspan_upstream_attempts", &[]), 0);
    let mut staying = ask();
    go_on.send(()).unwrap();
    assert!(next(&mut staying, 4).starts_with("00"), "it is relayed");
}

#[test]
fn an_upstream_that_accepts_and_says_nothing_is_left_after_the_idle_timeout() {
    let origin = Origin::scripted(Peer::hang);
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(origin.address()));
    let proxy = routed(&rules, "idle-timeout = '300ms'", "");
    let mut client = proxy.connect();
    client.send("x");
    assert_eq!(text(client.rest()), "");
    let why = "nothing went through the stream for idle-timeout = 300ms of listener web";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!((errors(&proxy, "idle"), events(&proxy, "inactivity_failed")), (1, 0));
    all_closed(&proxy);
}

#[test]
fn a_client_that_leaves_before_a_retry_is_given_up_at_once() {
    let down = Down::new();
    let rules = format!("rules = [{{ begins = 'x', to = ['{}'] }}]", tcp(down.address()));
    let proxy = routed(&rules, "retry-delay = '1m'", "");
    let mut client = proxy.connect();
    client.send("x");
    let attempts = || proxy.counter("linkspan_upstream_attempts", &[]) == 1;
    eventually("the first attempt", || attempts().then_some(()));
    client.reset_on_close();
    drop(client);
    let gone = |line: &serde_json::Value| {
        line["total_ms"].as_f64().unwrap() < Duration::from_secs(55).as_secs_f64() * 1e3
    };
    assert!(gone(&proxy.access(1)[0]), "it is not waited for");
    assert_eq!((errors(&proxy, "client_gone"), events(&proxy, "connect_failed")), (1, 0));
}
