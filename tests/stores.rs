//! Stores that servers hold: memcached, the real one and one that breaks every rule.
//!
//! The guest `waits` is a router that asks the store `sites` which cluster a path belongs to. Who is
//! answered by `other` has been told so by the store, `main` stands for a miss, and 503 for an error of
//! the store, with its name.

mod answers;
mod direct;
mod faults;
mod several;

use std::time::Duration;

use tokio::time::Instant;

use crate::support::memcached::{FakeMemcached, Memcached, Say};
use crate::support::{Client, Message, Origin, Proxy, eventually, request};

/// Time enough for any answer that is to come.
const UNHURRIED: &str = "timeout = '30s'";

/// A proxy whose router asks the store that is configured so.
struct Asking {
    proxy: Proxy,
    _origins: [Origin; 2],
}

impl Asking {
    #[track_caller]
    fn start(store: &str) -> Self {
        let origins = ["main", "other"].map(Origin::replying);
        let [main, other] = origins.each_ref().map(Origin::address);
        let toml = format!(
            "{store}\n[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['ask']\n\
             default-cluster = 'main'\n[clusters.main]\nendpoints = ['{main}']\n\
             [clusters.other]\nendpoints = ['{other}']\n[plugins.ask]\ncomponent = 'waits'\n\
             config = {{ store = 'sites' }}\ngrants = {{ stores = ['sites'] }}\n"
        );
        Self { proxy: Proxy::start_with(&toml, &["waits"]), _origins: origins }
    }

    /// What is answered about a path.
    #[track_caller]
    fn get(&self, path: &str) -> Message {
        self.proxy.get(path)
    }

    /// The error of the store that a request gets.
    #[track_caller]
    fn error(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status(), 503, "{:?}", answer.text());
        answer.text()
    }

    /// How many look-ups have come to this.
    fn outcomes(&self, outcome: &str) -> u64 {
        let labels = [("store", "sites"), ("operation", "get"), ("outcome", outcome)];
        self.proxy.counter("linkspan_store_operations_total", &labels)
    }

    /// How many workers leave a server of the store alone.
    fn down(&self) -> u64 {
        self.proxy.counter("linkspan_store_server_down", &[("store", "sites")])
    }

    /// How many connections to its servers are open.
    fn open(&self) -> u64 {
        self.proxy.counter("linkspan_store_connections_open", &[("store", "sites")])
    }

    fn send(&self, path: &str) -> Client {
        let mut client = self.proxy.connect();
        client.send(request("GET", path, &[], &[]));
        client
    }
}

#[test]
fn a_key_that_is_set_changed_or_deleted_counts_from_the_next_request_on() {
    let server = Memcached::start();
    let asking = Asking::start(&server.store(UNHURRIED));
    let mut client = asking.proxy.connect();
    assert_eq!(client.get("/a").text(), "main");
    server.set("/a", "other");
    assert_eq!(client.get("/a").text(), "other");
    server.set("/a", "main");
    assert_eq!(client.get("/a").text(), "main");
    server.set("/a", "other");
    assert_eq!(client.get("/a").text(), "other");
    server.delete("/a");
    assert_eq!(client.get("/a").text(), "main");
    eventually("one connection for all", || (server.connections() == 1).then_some(()));
    assert_eq!((asking.outcomes("hit"), asking.outcomes("miss"), asking.open()), (3, 2, 1));
}

#[test]
fn a_thousand_requests_wait_together() {
    let server = FakeMemcached::answering_after(Duration::from_millis(20), |line| {
        Say::value(line.trim_start_matches("get "), "other")
    });
    let store = format!("[server]\nworkers = 2\n{}", server.store(UNHURRIED));
    let asking = Asking::start(&store);
    // Without optimisation, making the instances takes longer than requests wait for one.
    let took = eventually("as many instances as are needed", || {
        let begun = Instant::now();
        let clients: Vec<_> = (0..1_000).map(|number| asking.send(&format!("/{number}"))).collect();
        let answers = clients.into_iter().map(|mut client| client.response().status());
        (answers.filter(|status| *status == 200).count() == 1_000).then(|| begun.elapsed())
    });
    assert!(took < Duration::from_secs(15), "one after the other would take 20 s: {took:?}");
    assert!(asking.outcomes("hit") >= 1_000);
    assert_eq!((asking.outcomes("miss"), asking.outcomes("timeout")), (0, 0));
}

#[test]
fn no_more_connections_than_allowed_and_none_that_nobody_uses() {
    let server = FakeMemcached::answering_after(Duration::from_millis(20), |_| Say::miss());
    let keys = format!("{UNHURRIED}\nmax-connections = 3\nidle-timeout = '1s'");
    let asking = Asking::start(&server.store(&keys));
    let clients: Vec<_> = (0..20).map(|_| asking.send("/a")).collect();
    for mut client in clients {
        assert_eq!(client.response().text(), "main");
    }
    assert_eq!(server.connections(), 3);
    eventually("idle connections to be closed", || (asking.open() == 0).then_some(()));
    assert_eq!(asking.get("/a").text(), "main");
}

#[test]
fn a_crowd_of_our_own_is_no_outage_of_the_server() {
    let server = FakeMemcached::answering_after(Duration::from_secs(1), |_| Say::miss());
    let asking = Asking::start(&server.store("timeout = '1500ms'\nmax-connections = 3"));
    let clients: Vec<_> = (0..6).map(|_| asking.send("/a")).collect();
    let answers = clients.into_iter().map(|mut client| client.response().text());
    let answered = answers.filter(|text| text == "main").count();
    assert!(answered >= 3, "{answered} of 6 are answered: those that had a connection in time");
    assert_eq!(asking.get("/a").text(), "main", "the server is there");
}

#[test]
fn a_value_beyond_the_largest_is_an_error_and_the_largest_is_none() {
    let server = Memcached::start();
    let asking = Asking::start(&server.store(&format!("{UNHURRIED}\nmax-value = '1KiB'")));
    server.set("/largest", "x".repeat(1 << 10));
    server.set("/larger", "x".repeat((1 << 10) + 1));
    server.set("/giant", "x".repeat(700_000));
    server.set("/a", "other");
    for path in ["/larger", "/giant"] {
        let error = asking.error(path).to_lowercase();
        assert!(error.contains("toolarge"), "{path}: {error}");
        assert_eq!(asking.open(), 0, "{path}: what is left of it is not read");
        assert_eq!(asking.get("/a").text(), "other", "{path}");
    }
    asking.get("/largest");
    assert_eq!((asking.outcomes("too-large"), asking.outcomes("hit")), (2, 3));
    assert_eq!(asking.down(), 0, "the server is there");
}

#[test]
fn a_server_may_listen_on_a_unix_socket() {
    let mut server = Memcached::on_a_socket();
    let store = server.store(UNHURRIED);
    assert!(store.contains("'unix:/"), "{store}");
    let asking = Asking::start(&store);
    assert_eq!(asking.get("/a").text(), "main");
    server.set("/a", "other");
    assert_eq!(asking.get("/a").text(), "other");
    eventually("one connection for all", || (server.connections() == 1).then_some(()));
    server.kill();
    let error = asking.error("/a").to_lowercase();
    assert!(error.contains("unavailable"), "{error}");
    server.restart();
    server.set("/a", "other");
    eventually("the store to answer", || (asking.get("/a").text() == "other").then_some(()));
    assert_eq!(asking.outcomes("miss"), 1, "what nobody could know is no miss");
}
