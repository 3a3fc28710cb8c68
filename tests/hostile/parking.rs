//! Plugins that fail again and again.

use std::time::Duration;

use super::{ask, failures, misbehaving};
use crate::support::{Origin, Proxy, eventually, request};

fn proxy(origin: &Origin, more: &str) -> Proxy {
    Proxy::start_with(&misbehaving(origin, "route", &["web"], more), &["misbehave"])
}

fn calls(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_plugin_calls_total", &[("plugin", "web")])
}

fn parked(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_plugin_parked", &[("plugin", "web")])
}

#[test]
fn after_five_failures_a_plugin_is_left_alone_until_a_probe_succeeds() {
    let origin = Origin::replying("hello");
    let proxy = proxy(&origin, "");
    let mut client = proxy.connect();
    for failure in 1..=5 {
        assert_eq!(parked(&proxy), 0);
        assert_eq!(ask(&mut client, "trap").status(), 503);
        assert_eq!(calls(&proxy), failure);
    }
    assert_eq!(parked(&proxy), 1);
    for _ in 0..10 {
        assert_eq!(client.get("/").status(), 503, "treated as a failure, without being called");
    }
    assert_eq!((calls(&proxy), failures(&proxy, "web", "parked")), (5, 10));
    eventually("the end of the parking", || (client.get("/").status() == 200).then_some(()));
    assert_eq!((calls(&proxy), parked(&proxy)), (6, 0), "one probe");
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(ask(&mut client, "trap").status(), 503);
    assert_eq!(client.get("/").status(), 200, "failures are counted from the beginning");
}

#[test]
fn a_probe_whose_client_leaves_is_made_all_the_same() {
    let origin = Origin::replying("hello");
    let proxy = proxy(&origin, "limits = { deadline = '300ms' }");
    for _ in 0..5 {
        assert_eq!(ask(&mut proxy.connect(), "loop").status(), 503);
    }
    assert_eq!((calls(&proxy), parked(&proxy)), (5, 1));
    eventually("the probe", || {
        let mut client = proxy.connect();
        client.send(request("GET", "/", &[("x-do", "loop")], &[]));
        client.is_quiet_for(Duration::from_millis(100)).then_some(())
    });
    eventually("its end", || (failures(&proxy, "web", "deadline") == 6).then_some(()));
    assert_eq!((calls(&proxy), parked(&proxy)), (6, 1));
    assert_eq!(proxy.get("/").status(), 503, "parked for longer");
}

#[test]
fn a_parked_plugin_that_a_reload_replaces_is_parked_no_longer() {
    let origin = Origin::replying("hello");
    let toml = |more| misbehaving(&origin, "route", &["web"], more);
    let mut proxy = Proxy::start_with(&toml(""), &["misbehave"]);
    for _ in 0..5 {
        ask(&mut proxy.connect(), "trap");
    }
    assert_eq!(parked(&proxy), 1);
    proxy.reload(&toml("limits = { memory = '32MiB' }")).unwrap();
    assert_eq!(proxy.get("/").status(), 200);
    eventually("the gauge of the plugin that is gone", || (parked(&proxy) == 0).then_some(()));
}
