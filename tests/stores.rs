//! Stores that servers hold: memcached, the real one and one that breaks every rule.
//!
//! The guest `waits` is a router that asks the store `sites` which cluster a path belongs to.

use crate::support::memcached::Memcached;
use crate::support::{Origin, Proxy, eventually};

/// A proxy whose router asks this store, with its further keys.
fn proxy(origins: &[Origin; 2], store: &str) -> Proxy {
    let [main, other] = origins.each_ref().map(Origin::address);
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['ask']\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{main}']\n[clusters.other]\nendpoints = ['{other}']\n\
         {store}\n[plugins.ask]\ncomponent = 'waits'\nconfig = {{ store = 'sites' }}\n\
         grants = {{ stores = ['sites'] }}\n"
    );
    Proxy::start_with(&toml, &["waits"])
}

fn origins() -> [Origin; 2] {
    ["main", "other"].map(Origin::replying)
}

#[test]
fn a_key_that_is_set_changed_or_deleted_counts_from_the_next_request_on() {
    let (origins, server) = (origins(), Memcached::start());
    let proxy = proxy(&origins, &server.store("timeout = '5s'"));
    let mut client = proxy.connect();
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
}
