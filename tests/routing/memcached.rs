//! The router `memcached-remap` in front of memcached: the real one, and one that tells what it was
//! asked.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::config;
use crate::support::memcached::{FakeMemcached, Memcached, Say};
use crate::support::{Client, Origin, PATIENCE, Proxy, eventually, request};

pub(super) const KEY: &str = "http://shop.test:80/";

/// A listener that asks that store; `keys` are further ones of the router's, and `limits` its.
pub(super) fn remap(store: &str, keys: &str, limits: &str) -> String {
    let plugins = format!(
        "[plugins.remap]\ncomponent = 'memcached-remap'\nlimits = {{ {limits} }}\n\
         grants = {{ stores = ['sites'], addresses = ['127.0.0.1:*'] }}\n\
         [plugins.remap.config]\nstore = 'sites'\n{keys}\n{store}"
    );
    config("routers = ['remap']", &[], &plugins)
}

/// What is said to a request for the shop: the status, and the body.
pub(super) fn shop(client: &mut Client) -> (u16, String) {
    let response = client.ask("GET", "/p?q=1", &[("host", "shop.test")], b"");
    (response.status(), response.text())
}

pub(super) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

pub(super) fn found(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

pub(super) const SLOW: &str = "timeout = '10s'";

#[test]
fn the_store_is_asked_once_for_each_request() {
    let origin = Origin::replying("a");
    let value = url(origin.address());
    let fake = FakeMemcached::answering(move |line| match line == format!("get {KEY}") {
        true => Say::value(KEY, &value),
        false => Say::miss(),
    });
    let proxy = Proxy::start(&remap(&fake.store(SLOW), "", ""));
    let mut client = proxy.connect();
    assert_eq!(shop(&mut client), found("a"));
    assert_eq!(fake.lines(), [format!("get {KEY}")]);
    assert_eq!(origin.request().target(), "/p?q=1");
    assert_eq!(origin.request().value("host"), Some("127.0.0.1"));
    assert_eq!(shop(&mut client), found("a"));
    assert_eq!(client.get("/").status(), 404);
    assert_eq!(fake.lines()[1..], [format!("get {KEY}"), "get http://test:80/".to_owned()]);
}

#[test]
fn what_could_speak_the_protocol_never_reaches_the_store() {
    let fake = FakeMemcached::answering(|_| Say::miss());
    let proxy = Proxy::start(&remap(&fake.store(SLOW), "", ""));
    let long = "h".repeat(300);
    for (host, status) in [(long.as_str(), 404), ("a b", 400), ("a\rflush_all", 400), ("", 400)] {
        let mut client = proxy.connect();
        client.send(request("GET", "/", &[("host", host)], b""));
        assert_eq!(client.response().status(), status, "{host:?}");
    }
    assert_eq!(fake.lines(), Vec::<String>::new());
    assert_eq!(proxy.get("/").status(), 404);
    assert_eq!(fake.lines(), ["get http://test:80/"], "nothing of them came later");
}

#[test]
fn a_key_that_changes_counts_for_the_next_request_of_a_connection() {
    let server = Memcached::start();
    let [a, b] = ["a", "b"].map(Origin::replying);
    let proxy = Proxy::start(&remap(&server.store(SLOW), "", ""));
    let mut client = proxy.connect();
    assert_eq!(shop(&mut client).0, 404);
    server.set(KEY, url(a.address()));
    assert_eq!(shop(&mut client), found("a"));
    server.set(KEY, format!("{}/", url(b.address())));
    assert_eq!(shop(&mut client), found("b"));
    for malformed in [format!("{}/zzz", url(b.address())), format!("{}\n", url(b.address()))] {
        server.set(KEY, malformed);
        assert_eq!(shop(&mut client).0, 404);
    }
    server.set(KEY, url(a.address()));
    assert_eq!(shop(&mut client), found("a"));
    server.delete(KEY);
    assert_eq!(shop(&mut client), (404, "404 Not Found\n".to_owned()));
    assert_eq!((a.hits(), b.hits()), (2, 1));
}

#[test]
fn a_store_that_is_down_is_told_from_one_that_knows_nothing() {
    let mut server = Memcached::start();
    let origin = Origin::replying("a");
    let proxy = Proxy::start(&remap(&server.store(SLOW), "", ""));
    let mut client = proxy.connect();
    server.set(KEY, url(origin.address()));
    assert_eq!(shop(&mut client), found("a"));
    server.kill();
    for _ in 0..3 {
        assert_eq!(shop(&mut client), (503, "503 Service Unavailable\n".to_owned()));
    }
    server.restart();
    eventually("the store to be asked again", || (shop(&mut client).0 == 404).then_some(()));
    server.set(KEY, url(origin.address()));
    assert_eq!(shop(&mut client), found("a"));
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0, "no fault of the router's");
}

/// Holds whoever comes until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }
}

/// Lets this process have as many files as it may: where it is not asked for, that is a thousand.
fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn a_thousand_requests_wait_for_the_store_together() {
    const REQUESTS: u64 = 1_000;
    many_files();
    let origin = Origin::replying("a");
    let (value, gate) = (url(origin.address()), Arc::<Gate>::default());
    let held = Arc::clone(&gate);
    let fake = FakeMemcached::answering(move |_| {
        held.pass();
        thread::park_timeout(Duration::from_millis(20));
        Say::value(KEY, &value)
    });
    let store = fake.store("timeout = '1m'\nmax-connections = 200");
    let proxy = Proxy::start(&remap(&store, "", &format!("instances = {REQUESTS}")));
    let fields = [("host", "shop.test")];
    let mut clients = Vec::new();
    while (clients.len() as u64) < REQUESTS {
        let mut client = proxy.connect();
        client.send(request("GET", "/", &fields, b""));
        clients.push(client);
        // Making a thousand instances at once takes a host without optimisation too long.
        if clients.len() % 20 == 0 {
            let asked = clients.len() as u64;
            let calls = || proxy.counter("linkspan_plugin_calls_total", &[("plugin", "remap")]);
            eventually("all to wait", || (calls() == asked).then_some(()));
        }
    }
    eventually("the connections", || (fake.lines().len() == 200).then_some(()));
    assert_eq!(proxy.access(0).len(), 0, "nobody has an answer");
    gate.open();
    for client in &mut clients {
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (200, "a"));
    }
    assert_eq!((origin.hits() as u64, fake.lines().len() as u64), (REQUESTS, REQUESTS));
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
}
