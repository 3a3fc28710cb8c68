//! The router `memcached-remap` with a `cache`: what a worker has learnt counts for all instances on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::memcached::{KEY, SLOW, found, remap, shop, url};
use crate::support::memcached::{FakeMemcached, Memcached, Say};
use crate::support::{Client, Origin, Proxy, eventually, request};

/// A server that takes its time, and says where the shop is: at the second once that is set.
fn shops(origins: &[Origin; 2], moved: &Arc<AtomicBool>) -> FakeMemcached {
    let values = origins.each_ref().map(|origin| url(origin.address()));
    let moved = Arc::clone(moved);
    FakeMemcached::answering_after(Duration::from_millis(20), move |_| {
        let [before, after] = &values;
        Say::value(KEY, if moved.load(Ordering::SeqCst) { after } else { before })
    })
}

/// All of them ask at once. Gives what each is told.
fn all_at_once(clients: &mut [Client]) -> Vec<String> {
    for client in &mut *clients {
        client.send(request("GET", "/", &[("host", "shop.test")], b""));
    }
    clients.iter_mut().map(|client| client.response().text()).collect()
}

/// How many of the look-ups came to that.
fn outcomes(proxy: &Proxy, outcome: &str) -> u64 {
    let labels = [("store", "sites"), ("operation", "get"), ("outcome", outcome)];
    proxy.counter("linkspan_store_operations_total", &labels)
}

#[test]
fn a_worker_looks_a_key_up_once_for_all_instances() {
    let (origins, moved) = (["a", "b"].map(Origin::replying), Arc::default());
    let fake = shops(&origins, &moved);
    let proxy = Proxy::start(&remap(&fake.store(SLOW), "cache = '1h'", "instances = 50"));
    let mut clients: Vec<_> = (0..100).map(|_| proxy.connect()).collect();
    assert_eq!(all_at_once(&mut clients), ["a"; 100], "nobody knew it yet");
    moved.store(true, Ordering::SeqCst);
    assert_eq!(all_at_once(&mut clients), ["a"; 100]);
    assert_eq!(fake.lines(), [format!("get {KEY}")]);
    assert_eq!((outcomes(&proxy, "hit"), outcomes(&proxy, "remembered")), (1, 199));
    assert_eq!(proxy.counter("linkspan_plugin_events", &[("name", "hits")]), 200);
}

#[test]
fn who_has_seen_a_change_never_sees_what_was_before_it() {
    let (origins, moved) = (["a", "b"].map(Origin::replying), Arc::default());
    let fake = shops(&origins, &moved);
    let proxy = Proxy::start(&remap(&fake.store(SLOW), "cache = '100ms'", "instances = 20"));
    let mut clients: Vec<_> = (0..20).map(|_| proxy.connect()).collect();
    // One after the other, so that not all would learn of the key at the same time.
    for client in &mut clients {
        assert_eq!(shop(client), found("a"));
    }
    assert_eq!(all_at_once(&mut clients), ["a"; 20]);
    moved.store(true, Ordering::SeqCst);
    eventually("the change", || all_at_once(&mut clients).contains(&"b".to_owned()).then_some(()));
    for _ in 0..50 {
        assert_eq!(all_at_once(&mut clients), ["b"; 20]);
    }
}

#[test]
fn absence_is_remembered_and_an_error_is_not() {
    let mut server = Memcached::start();
    let origin = Origin::replying("a");
    let proxy = Proxy::start(&remap(&server.store(SLOW), "cache = '1h'", ""));
    let mut client = proxy.connect();
    server.kill();
    assert_eq!(shop(&mut client).0, 503);
    server.restart();
    eventually("the store to be asked again", || (shop(&mut client).0 == 404).then_some(()));
    server.set(KEY, url(origin.address()));
    assert_eq!(shop(&mut client).0, 404);
    assert_eq!(client.get("/").status(), 404);
    assert_eq!(outcomes(&proxy, "remembered"), 1, "another key is another matter");
}
