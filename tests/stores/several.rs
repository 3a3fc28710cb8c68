//! Several servers: keys are shared out among them, and those of one that is down are nobody else's.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Asking, UNHURRIED};
use crate::support::memcached::Memcached;
use crate::support::{NameServer, eventually};

const KEYS: usize = 60;

fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("/{number}"))
}

#[test]
fn keys_are_shared_out_and_an_outage_concerns_those_of_one_server() {
    let mut servers = [Memcached::start(), Memcached::start(), Memcached::start()];
    let addresses = servers.each_ref().map(|server| format!("'{}'", server.address())).join(", ");
    let store = format!("[stores.sites]\ntype = 'memcached'\nservers = [{addresses}]\n{UNHURRIED}");
    let asking = Asking::start(&store);
    // Where a key is found is where it belongs.
    let mut place = BTreeMap::new();
    for key in keys() {
        for (number, server) in servers.iter().enumerate() {
            server.set(&key, "other");
            if asking.get(&key).text() == "other" {
                place.insert(key.clone(), number);
            }
            server.delete(&key);
        }
        servers.iter().for_each(|server| server.set(&key, "other"));
    }
    assert_eq!(place.len(), KEYS);
    let of = |number| place.values().filter(|place| **place == number).count();
    assert!((0..3).all(|number| of(number) > 5), "{place:?}");
    servers[1].kill();
    for key in keys() {
        let answer = asking.get(&key);
        let expected = if place[&key] == 1 { 503 } else { 200 };
        assert_eq!((answer.status(), answer.text() == "main"), (expected, false), "{key}");
    }
    servers[1].restart();
    keys().for_each(|key| servers[1].set(&key, "other"));
    eventually("all keys", || keys().all(|key| asking.get(&key).text() == "other").then_some(()));
}

#[test]
fn a_server_may_have_a_name() {
    let (names, server) = (NameServer::start(), Memcached::start());
    let port = server.address().port();
    let servers = format!("servers = 'cache.test:{port}'\n{UNHURRIED}");
    let store = format!("{}[stores.sites]\ntype = 'memcached'\n{servers}", names.section());
    names.host("cache.test", 60, &["127.0.0.1"]);
    server.set("/a", "other");
    let asking = Asking::start(&store);
    assert_eq!(asking.get("/a").text(), "other");
    assert_eq!(asking.get("/a").text(), "other");
    assert_eq!(names.queries("cache.test"), 1, "it is asked for once");
}

#[test]
fn a_name_that_is_found_too_late_for_one_is_known_to_the_next() {
    let (names, server) = (NameServer::start(), Memcached::start());
    let port = server.address().port();
    let servers = format!("servers = 'cache.test:{port}'\ntimeout = '1s'");
    let store = format!("{}[stores.sites]\ntype = 'memcached'\n{servers}", names.section());
    let asking = Asking::start(&store);
    // Nobody knows the name yet.
    let error = asking.error("/a").to_lowercase();
    assert!(error.contains("timeout") || error.contains("unavailable"), "{error}");
    names.host("cache.test", 60, &["127.0.0.1"]);
    server.set("/a", "other");
    eventually("the name", || (asking.get("/a").text() == "other").then_some(()));
}

#[test]
fn an_address_of_a_server_that_is_silent_leaves_time_for_the_next() {
    let (names, server) = (NameServer::start(), Memcached::start());
    let port = server.address().port();
    // It listens, and takes no more connections than fill its backlog.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 2], port));
    silent.bind(&address.into()).unwrap();
    silent.listen(0).unwrap();
    let within = Duration::from_millis(200);
    let mut waiting = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&address, within) {
        waiting.push(connection);
        assert!(waiting.len() < 100, "the backlog is full at some time");
    }
    let servers = format!("servers = 'cache.test:{port}'\ntimeout = '4s'");
    let store = format!("{}[stores.sites]\ntype = 'memcached'\n{servers}", names.section());
    names.host("cache.test", 60, &["127.0.0.2", "127.0.0.1"]);
    server.set("/a", "other");
    let asking = Asking::start(&store);
    assert_eq!(asking.get("/a").text(), "other");
}
