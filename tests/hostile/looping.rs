//! Guests that never return.

use std::time::Duration;

use tokio::time::Instant;

use super::{ask, failures, misbehaving};
use crate::support::{Client, Origin, Proxy, eventually, request};

/// Long enough to see whether somebody waits for it.
const DEADLINE: Duration = Duration::from_secs(1);

fn looping(at: &str) -> (Origin, Proxy) {
    let origin = Origin::replying("hello");
    let toml = misbehaving(&origin, at, &["web", "other"], "limits = { deadline = '1s' }");
    let proxy = Proxy::start_with(&toml, &["misbehave"]);
    (origin, proxy)
}

fn send_loop(client: &mut Client) {
    client.send(request("GET", "/", &[("x-do", "loop")], &[]));
}

#[test]
fn a_request_is_answered_soon_after_its_deadline() {
    let (_origin, proxy) = looping("route");
    for round in 0..2 {
        let begun = Instant::now();
        assert_eq!(ask(&mut proxy.connect(), "loop").status(), 503);
        let took = begun.elapsed();
        // Later calls yield, and machines are busy.
        assert!((DEADLINE..DEADLINE * 5).contains(&took), "call {round} took {took:?}");
    }
}

// That all wait once is for its deadline and no longer is judged by `make soak`, as times are.
#[test]
fn neighbours_wait_once_and_then_calls_yield() {
    let (_origin, proxy) = looping("route");
    assert_eq!(ask(&mut proxy.connect(), "loop").status(), 503, "all wait for this one");
    let mut looping = proxy.connect();
    send_loop(&mut looping);
    let calls = || proxy.counter("linkspan_plugin_calls_total", &[("plugin", "web")]);
    eventually("the call", || (calls() == 2).then_some(()));
    for listener in ["other", "web"] {
        let mut client = Client::connect(proxy.address(listener));
        assert_eq!(client.get("/").text(), "hello", "{listener}");
        assert!(looping.is_quiet_for(Duration::from_millis(1)), "{listener} waited for the loop");
    }
    assert_eq!(looping.response().status(), 503);
    assert_eq!(failures(&proxy, "web", "deadline"), 2);
}

#[test]
fn sockets_are_looked_at_each_time_that_a_looping_call_yields() {
    // Each of these needs three looks or so, of which a second of yielding gives a thousand; it gave 16.
    const REQUESTS: usize = 20;
    let (_origin, proxy) = looping("route");
    assert_eq!(ask(&mut proxy.connect(), "loop").status(), 503, "all wait for this one");
    let mut looping = proxy.connect();
    let mut client = Client::connect(proxy.address("other"));
    assert_eq!(client.get("/").text(), "hello");
    send_loop(&mut looping);
    let calls = || proxy.counter("linkspan_plugin_calls_total", &[("plugin", "web")]);
    eventually("the call", || (calls() == 2).then_some(()));
    for request in 0..REQUESTS {
        assert_eq!(client.get("/").text(), "hello");
        assert!(looping.is_quiet_for(Duration::from_millis(1)), "{request} in all of the loop");
    }
    assert_eq!(looping.response().status(), 503);
}

#[test]
fn a_client_that_leaves_ends_neither_the_call_nor_its_account() {
    let (_origin, proxy) = looping("on-response");
    assert_eq!(ask(&mut proxy.connect(), "loop").status(), 502);
    // Each request is a call before and one after.
    let mut gone = proxy.connect();
    send_loop(&mut gone);
    let calls = || proxy.counter("linkspan_plugin_calls_total", &[("plugin", "web")]);
    eventually("the call", || (calls() == 4).then_some(()));
    drop(gone);
    eventually("the end of the call", || (failures(&proxy, "web", "deadline") == 2).then_some(()));
    assert_eq!(proxy.get("/").text(), "hello");
}

#[test]
fn a_proxy_can_leave_while_guests_loop() {
    let (_origin, proxy) = looping("route");
    assert_eq!(ask(&mut proxy.connect(), "loop").status(), 503);
    let mut clients: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    clients.iter_mut().for_each(send_loop);
    let calls = || proxy.counter("linkspan_plugin_calls_total", &[("plugin", "web")]);
    eventually("the calls", || (calls() == 4).then_some(()));
    let clean = proxy.shut_down(Some(Duration::ZERO)).recv_timeout(crate::support::PATIENCE);
    assert_eq!(clean, Ok(false), "they were cut off, and nothing else broke");
}
