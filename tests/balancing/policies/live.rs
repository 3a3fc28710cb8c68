//! Balancers that go by what is in flight: held requests, and who gets the next.

use std::sync::{Arc, Condvar, Mutex};

use super::{PATIENT, config, plain};
use crate::support::{Client, Origin, PATIENCE, Proxy, eventually, reply, request};

/// Holds answers back until it is opened.
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
        let passed = self.opened.wait_timeout_while(open, PATIENCE, |open| !*open);
        assert!(!passed.unwrap().1.timed_out(), "held for too long");
    }
}

/// An origin that answers with its name, requests for `/hold` only when the gate is open.
fn holding(name: &str) -> (Origin, Arc<Gate>) {
    let gate = Arc::<Gate>::default();
    let (name, held_by) = (name.to_owned(), Arc::clone(&gate));
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/hold" {
                held_by.pass();
            }
            if peer.write(reply(200, &[], &name)).is_err() {
                return;
            }
        }
    });
    (origin, gate)
}

/// A client whose request is held, and which of the origins got it.
fn hold(proxy: &Proxy, origins: &[Origin]) -> (Client, usize) {
    let before: Vec<_> = origins.iter().map(Origin::hits).collect();
    let mut client = proxy.connect();
    client.send(request("GET", "/hold", &[], b""));
    let place = eventually("a request to be held", || {
        origins.iter().zip(&before).position(|(origin, before)| origin.hits() > *before)
    });
    (client, place)
}

#[test]
fn picks_follow_the_live_counts() {
    for name in ["least-connections", "sqf", "fair", "by-busyness", "p2c", "Least Connections"] {
        let ((a, open_a), (b, open_b)) = (holding("a"), holding("b"));
        let origins = [a, b];
        let proxy = Proxy::start(&plain(&origins, &format!("balancer = '{name}'")));
        let (mut first, one) = hold(&proxy, &origins);
        let (mut second, other) = hold(&proxy, &origins);
        assert_ne!(one, other, "{name}");
        let (mut third, twice) = hold(&proxy, &origins);
        let idler = if twice == 0 { "b" } else { "a" };
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), idler, "{name}: two against one");
        }
        [&open_a, &open_b][twice].open();
        third.response();
        if one == twice {
            first.response()
        } else {
            second.response()
        };
        let name_of = ["a", "b"][twice];
        eventually("the counts to return", || (proxy.get("/").text() == name_of).then_some(()));
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), name_of, "{name}: none against one");
        }
        [&open_a, &open_b][1 - twice].open();
        if one == twice {
            second.response()
        } else {
            first.response()
        };
    }
}

#[test]
fn least_connections_prefers_the_first_of_equals() {
    let ((a, open_a), (b, open_b)) = (holding("a"), holding("b"));
    let origins = [a, b];
    let proxy = Proxy::start(&plain(&origins, "balancer = 'leastconnections'"));
    let mut held: Vec<_> = (0..3).map(|_| hold(&proxy, &origins)).collect();
    assert_eq!(held.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [0, 1, 0], "MK-6");
    open_a.open();
    open_b.open();
    held.iter_mut().for_each(|(client, _)| assert_eq!(client.response().status(), 200));
    let counts = eventually("the counts to return", || {
        let answers: Vec<_> = (0..3).map(|_| proxy.get("/").text()).collect();
        (answers == ["a", "a", "a"]).then_some(answers)
    });
    assert_eq!(counts.len(), 3);
}

#[test]
fn a_weight_is_a_share_of_the_live_requests() {
    for name in ["least-connections", "sqf"] {
        let ((a, open_a), (b, open_b)) = (holding("a"), holding("b"));
        let origins = [a, b];
        let endpoints = [(origins[0].address(), "weight = 3"), (origins[1].address(), "")];
        let proxy = Proxy::start(&config(&endpoints, &format!("balancer = '{name}'"), ""));
        let held: Vec<_> = (0..8).map(|_| hold(&proxy, &origins)).collect();
        let heavy = held.iter().filter(|(_, place)| *place == 0).count();
        assert_eq!(heavy, 6, "{name}");
        open_a.open();
        open_b.open();
        for (mut client, _) in held {
            client.response();
        }
    }
}

#[test]
fn least_connections_goes_on_in_list_order_unless_strict() {
    let ((a, _), (b, _), (c, _)) = (holding("a"), holding("b"), holding("c"));
    let addresses = [a.address(), b.address(), c.address()].map(|address| (address, ""));
    drop(a);
    let cluster = format!("balancer = 'own'\n{PATIENT}");
    let own = |strict: bool| {
        let rest = format!(
            "[plugins.own]\ncomponent = 'least-connections'\nconfig = {{ strict = {strict} }}\n"
        );
        Proxy::start(&config(&addresses, &cluster, &rest))
    };
    assert_eq!(own(false).get("/").text(), "b", "MK-7, but with failover");
    assert_eq!(own(true).get("/").status(), 503, "MK-7");
}

#[test]
fn bounded_load_lets_others_help() {
    for component in ["ring-hash", "maglev"] {
        let ((a, open_a), (b, open_b)) = (holding("a"), holding("b"));
        let origins = [a, b];
        let endpoints = [(origins[0].address(), ""), (origins[1].address(), "")];
        let own = format!(
            "[plugins.own]\ncomponent = '{component}'\nconfig = {{ bounded-load = 1.25 }}\n"
        );
        let proxy = Proxy::start(&config(&endpoints, "balancer = 'own'", &own));
        let held: Vec<_> = (0..10).map(|_| hold(&proxy, &origins)).collect();
        let own = held[0].1;
        let at_own = held.iter().filter(|(_, place)| *place == own).count();
        // Never more than 1.25 times half of those in flight, rounded up.
        assert!((5..=7).contains(&at_own), "{component}: {at_own} of 10");
        open_a.open();
        open_b.open();
        for (mut client, _) in held {
            client.response();
        }
    }
}

#[test]
fn p2c_can_go_by_latency() {
    let ((a, open_a), (b, _)) = (holding("a"), holding("b"));
    let origins = [a, b];
    let endpoints = [(origins[0].address(), ""), (origins[1].address(), "")];
    let own = "[plugins.own]\ncomponent = 'p2c'\nconfig = { latency = true }\n";
    let proxy = Proxy::start(&config(&endpoints, "balancer = 'own'", own));
    // While the first holds its only answer back nothing is known of it but that it is busy.
    let (mut client, place) = loop {
        let (client, place) = hold(&proxy, &origins);
        if place == 0 {
            break (client, place);
        }
        // The other's gate is shut as well. A client that leaves counts until it is known to have left.
        drop(client);
        let open = || proxy.counter("linkspan_connections_open", &[("listener", "web")]);
        eventually("the client to be let go", || (open() == 0).then_some(()));
    };
    assert_eq!(place, 0);
    assert_eq!((0..6).filter(|_| proxy.get("/").text() == "a").count(), 0);
    open_a.open();
    client.response();
}
