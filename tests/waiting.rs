//! Plugins that wait for a store: asynchronous calls, on a store that takes its time.
//!
//! The guest `waits` is a router that asks the store `sites` which cluster a path belongs to.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Client, Origin, Proxy, eventually, request};

/// A proxy with one worker, and a store with an entry for `/known` and these keys.
fn proxy(origins: [&Origin; 2], store: &str, plugin: &str) -> Result<Proxy, String> {
    let [main, other] = origins.map(Origin::address);
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['ask']\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{main}']\n[clusters.other]\nendpoints = ['{other}']\n\
         [stores.sites]\ntype = 'memory'\nentries = {{ '/known' = 'other' }}\n{store}\n\
         [plugins.ask]\ncomponent = 'waits'\nconfig = {{ store = 'sites' }}\n{plugin}\n"
    );
    Proxy::try_start(&toml, &["waits"])
}

const GRANTED: &str = "grants = { stores = ['sites'] }";

#[track_caller]
fn granted(origins: [&Origin; 2], store: &str, limits: &str) -> Proxy {
    let plugin = format!("{GRANTED}\nlimits = {{ {limits} }}");
    proxy(origins, store, &plugin).unwrap_or_else(|text| panic!("{text}"))
}

fn origins() -> [Origin; 2] {
    ["main", "other"].map(Origin::replying)
}

fn send(proxy: &Proxy, path: &str) -> Client {
    let mut client = proxy.connect();
    client.send(request("GET", path, &[], &[]));
    client
}

fn calls(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_plugin_calls_total", &[("plugin", "ask")])
}

/// Asks so many at once. Gives the time until all are answered.
#[track_caller]
fn all_at_once(proxy: &Proxy, requests: usize) -> Duration {
    let begun = Instant::now();
    let clients: Vec<_> = (0..requests).map(|_| send(proxy, "/known")).collect();
    for mut client in clients {
        assert_eq!(client.response().text(), "other");
    }
    begun.elapsed()
}

#[test]
fn a_store_decides_and_what_it_does_not_hold_goes_on() {
    let origins = origins();
    let proxy = granted(origins.each_ref(), "", "");
    assert_eq!(proxy.get("/known").text(), "other");
    assert_eq!(proxy.get("/unknown").text(), "main");
}

#[test]
fn a_hundred_requests_wait_together_on_one_worker() {
    let origins = origins();
    // Longer than the plugin's deadline, which waiting does not use up.
    let proxy = granted(origins.each_ref(), "latency = '200ms'\ntimeout = '1s'", "instances = 100");
    let took = all_at_once(&proxy, 100);
    assert!(took < Duration::from_secs(10), "one after the other would take 20 s: {took:?}");
    assert_eq!(calls(&proxy), 100);
    let measured = proxy.counter("linkspan_plugin_guest_seconds", &[("plugin", "ask")]);
    assert_eq!(measured, 96, "six calls are measured, and each stands for sixteen");
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
}

#[test]
fn no_more_wait_at_a_time_than_there_may_be_instances() {
    let origins = origins();
    let proxy = granted(origins.each_ref(), "latency = '20ms'", "instances = 5");
    let took = all_at_once(&proxy, 50);
    assert!(took >= Duration::from_millis(200), "ten rounds take longer than {took:?}");
}

#[test]
fn who_waits_too_long_for_an_instance_gets_the_plugins_treatment() {
    let origins = origins();
    let store = "latency = '700ms'\ntimeout = '2s'";
    let proxy = granted(origins.each_ref(), store, "instances = 1");
    let mut clients: Vec<_> = (0..8).map(|_| send(&proxy, "/known")).collect();
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.response().status()).collect();
    let turned_away = statuses.iter().filter(|status| **status == 503).count();
    assert!((5..8).contains(&turned_away), "{statuses:?}");
    let busy = proxy.counter("linkspan_plugin_busy_total", &[("plugin", "ask")]);
    assert_eq!(busy, turned_away as u64);
    assert_eq!(proxy.counter("linkspan_plugin_parked", &[]), 0, "nothing has failed");
    assert_eq!(proxy.get("/known").text(), "other");
}

#[test]
fn a_store_that_is_too_slow_is_the_guests_to_know() {
    let origins = origins();
    let proxy = granted(origins.each_ref(), "latency = '1s'\ntimeout = '20ms'", "");
    for _ in 0..10 {
        let answer = proxy.get("/known");
        assert_eq!(answer.status(), 503);
        assert!(answer.text().to_lowercase().contains("timeout"), "{:?}", answer.text());
    }
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
}

#[test]
fn a_client_that_leaves_while_its_plugin_waits_costs_no_instance() {
    let origins = origins();
    let store = "latency = '300ms'\ntimeout = '2s'";
    let proxy = granted(origins.each_ref(), store, "instances = 1");
    let mut gone = send(&proxy, "/known");
    eventually("the call", || (calls(&proxy) == 1).then_some(()));
    // This one leaves before it gets an instance.
    let mut queued = send(&proxy, "/known");
    // An end in good order would be one side's only, for a while.
    gone.reset_on_close();
    queued.reset_on_close();
    drop((gone, queued));
    assert_eq!(proxy.get("/known").text(), "other");
    assert_eq!(proxy.counter("linkspan_plugin_busy_total", &[]), 0);
    assert_eq!(origins[1].hits(), 1, "what nobody waits for goes nowhere");
}

#[test]
fn a_proxy_leaves_in_order_while_plugins_wait() {
    let origins = origins();
    let store = "latency = '500ms'\ntimeout = '2s'";
    let proxy = granted(origins.each_ref(), store, "");
    let mut client = send(&proxy, "/known");
    eventually("the call", || (calls(&proxy) == 1).then_some(()));
    let left = proxy.shut_down(None);
    assert_eq!(client.response().text(), "other");
    assert_eq!(left.recv_timeout(crate::support::PATIENCE), Ok(true));
}

#[test]
fn a_store_that_nobody_granted_is_refused_when_it_is_loaded() {
    let origins = origins();
    let said = proxy(origins.each_ref(), "", "").err().unwrap();
    assert!(said.contains("\"ask\"") && said.contains("keyvalue"), "{said}");
    assert!(said.contains("grants = { stores"), "{said}");
    let shared = format!("{GRANTED}\ninstances = 'shared'");
    let said = proxy(origins.each_ref(), "", &shared).err().unwrap();
    assert!(said.contains("shared"), "{said}");
}
