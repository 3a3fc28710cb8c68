//! What a memcached may say that must lead nowhere, told to the router `memcached-remap` over a real
//! socket: such an answer is an error or a malformed value, never a miss, and what comes after it is
//! as if it had not been.

use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::memcached::{KEY, SLOW, found, remap, shop, url};
use crate::support::memcached::{FakeMemcached, Say};
use crate::support::{Origin, Proxy, eventually};

/// A server that answers so to the first that it is asked, and then as it should, with that value.
fn once(answer: impl Into<Vec<u8>>, value: String) -> FakeMemcached {
    let (answer, asked) = (answer.into(), AtomicUsize::new(0));
    FakeMemcached::answering(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Say::This(answer.clone()),
        _ => Say::value(KEY, &value),
    })
}

/// What the router has counted under a name.
fn events(proxy: &Proxy, name: &str) -> u64 {
    proxy.counter("linkspan_plugin_events", &[("plugin", "remap"), ("name", name)])
}

/// How many connections to the store are open.
fn open(proxy: &Proxy) -> u64 {
    proxy.counter("linkspan_store_connections_open", &[("store", "sites")])
}

#[test]
fn a_value_with_another_scheme_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let path = path.display();
    for value in [
        "unix:/run/docker.sock:80".to_owned(),
        format!("unix:{path}:80"),
        format!("unix:{path}"),
        format!("unix://{path}:80/"),
        format!("http://unix:{path}:80/"),
    ] {
        let origin = Origin::replying("a");
        let answer = format!("VALUE {KEY} 0 {}\r\n{value}\r\nEND\r\n", value.len());
        let fake = once(answer, url(origin.address()));
        let proxy = Proxy::start(&remap(&fake.store(SLOW), "", ""));
        let mut client = proxy.connect();
        assert_eq!(shop(&mut client), (404, "404 Not Found\n".to_owned()), "{value}");
        let counted = ["malformed", "hits", "misses", "errors"].map(|name| events(&proxy, name));
        assert_eq!((counted, origin.hits()), ([1, 0, 0, 0], 0), "{value}");
        assert_eq!(shop(&mut client), found("a"), "{value}");
        assert_eq!(fake.connections(), 1, "the answer was a good one");
    }
    assert!(socket.accept().is_err(), "nobody has come");
}

#[test]
fn an_answer_of_a_wrong_length_costs_the_connection() {
    for answer in [
        format!("VALUE {KEY} 0 3\r\nabcdef\r\nEND\r\n"),
        format!("VALUE {KEY} 0 -1\r\n\r\nEND\r\n"),
    ] {
        let origin = Origin::replying("a");
        let fake = once(answer.clone(), url(origin.address()));
        let proxy = Proxy::start(&remap(&fake.store(SLOW), "", ""));
        let mut client = proxy.connect();
        assert_eq!(shop(&mut client), (503, "503 Service Unavailable\n".to_owned()), "{answer:?}");
        assert_eq!((open(&proxy), origin.hits()), (0, 0), "{answer:?}");
        assert_eq!((events(&proxy, "errors"), events(&proxy, "misses")), (1, 0), "{answer:?}");
        assert_eq!(shop(&mut client), found("a"), "{answer:?}");
        assert_eq!((fake.connections(), fake.lines().len()), (2, 2), "nothing is asked again");
    }
}

#[test]
fn an_answer_in_memcached_s_binary_protocol_costs_the_connection() {
    let origin = Origin::replying("a");
    let fake = once(*b"\x81\0\0\0\0\0\0\0", url(origin.address()));
    let proxy = Proxy::start(&remap(&fake.store("timeout = '200ms'"), "", ""));
    let mut client = proxy.connect();
    // It has no end of a line, for which is waited as long as for any.
    assert_eq!(shop(&mut client), (503, "503 Service Unavailable\n".to_owned()));
    assert_eq!((open(&proxy), origin.hits(), fake.connections()), (0, 0, 1));
    assert_eq!((events(&proxy, "errors"), events(&proxy, "misses")), (1, 0));
    // On a busy machine what comes next can be too late as well.
    eventually("the origin", || (shop(&mut client) == found("a")).then_some(()));
    assert!(fake.connections() > 1, "on another connection");
}
