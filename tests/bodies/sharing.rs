//! Instances and their bodies: as long as there may be more, each body has one to itself.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::{events, wait_for, with_bodies};
use crate::support::{Client, Origin, PATIENCE, Proxy, eventually, request};

/// An origin that sends `hello` at once, and `!` when told to, apart for `/a` and `/b`.
fn halting() -> (Origin, [Sender<()>; 2]) {
    let ((a, going_a), (b, going_b)) = (channel::<()>(), channel::<()>());
    let [going_a, going_b] = [going_a, going_b].map(|going| Arc::new(Mutex::new(going)));
    let origin = Origin::scripted(move |peer| {
        let Some(asked) = peer.request() else { return };
        let going = if asked.target() == "/b" { &going_b } else { &going_a };
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello");
        if going.lock().unwrap().recv_timeout(PATIENCE).is_ok() {
            // Whose body was cut off is gone.
            let _ = peer.write("!");
        }
    });
    (origin, [a, b])
}

fn begin(proxy: &Proxy, target: &str, task: &str) -> Client {
    let mut client = proxy.connect();
    client.send(request("GET", target, &[("x-do", task)], b""));
    assert!(client.response_head().is_chunked());
    assert_eq!(client.line().unwrap(), "5");
    assert_eq!(client.line().unwrap().to_lowercase(), "hello");
    client
}

/// Two bodies at a time, of which the second traps; what the client of the first gets then.
fn beside_a_trap(instances: usize) -> String {
    let (origin, [go_on_a, go_on_b]) = halting();
    let more = format!("limits = {{ instances = {instances}, deadline = '5s' }}");
    let proxy = Proxy::start_with(&with_bodies(&origin, &more), &["bodies"]);
    let mut first = begin(&proxy, "/a", "identity");
    let mut second = begin(&proxy, "/b", "trap=6");
    wait_for(&proxy, "begun", 2);
    go_on_b.send(()).unwrap();
    assert!(second.rest().is_empty(), "cut off without an end");
    go_on_a.send(()).unwrap();
    let mut rest = Vec::new();
    while let Ok(line) = first.line() {
        let over = line == "0";
        rest.push(line);
        if over {
            break;
        }
    }
    go_on_a.send(()).unwrap();
    let again = proxy.connect().ask("GET", "/a", &[("x-do", "upper")], b"");
    assert_eq!((again.text().as_str(), again.complete), ("HELLO!", true), "the next one is served");
    let failures = proxy.counter("linkspan_plugin_failures_total", &[("plugin", "bodies")]);
    assert_eq!(failures, 1, "one trap, however many bodies it costs");
    let lines = proxy.access(3);
    let lost = lines.iter().filter(|line| line["error"].as_str().is_some()).count();
    assert_eq!(lost, if rest.is_empty() { 2 } else { 1 });
    rest.join(" ")
}

#[test]
fn a_trap_costs_one_body_where_each_has_an_instance() {
    assert_eq!(beside_a_trap(64), "1 ! 0");
}

#[test]
fn a_trap_costs_the_bodies_that_share_its_instance() {
    assert_eq!(beside_a_trap(1), "");
}

#[test]
fn instances_are_used_again_and_no_more_of_them_than_allowed() {
    let (origin, [go_on_a, go_on_b]) = halting();
    let more = "limits = { instances = 2, deadline = '5s' }";
    let proxy = Proxy::start_with(&with_bodies(&origin, more), &["bodies"]);
    let mut clients: Vec<_> = (0..6).map(|_| begin(&proxy, "/a", "upper")).collect();
    (0..6).for_each(|_| go_on_a.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.line().unwrap(), "1");
    }
    let mut last = begin(&proxy, "/b", "identity");
    go_on_b.send(()).unwrap();
    assert_eq!(last.line().unwrap(), "1");
    eventually("all ends", || (events(&proxy, "finished") == 7).then_some(()));
    assert_eq!((events(&proxy, "begun"), events(&proxy, "stray")), (7, 0));
    assert_eq!(proxy.counter("linkspan_plugin_busy_total", &[]), 0);
}

#[test]
fn bodies_that_begin_before_the_first_instance_is_there_share_it() {
    let (origin, [go_on, _]) = halting();
    let more = "limits = { instances = 1, deadline = '5s' }";
    let proxy = Proxy::start_with(&with_bodies(&origin, more), &["bodies"]);
    let mut clients: Vec<_> = (0..12).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(request("GET", "/a", &[("x-do", "identity")], b""));
    }
    for client in &mut clients {
        assert_eq!(client.response_head().status(), 200, "no body has ended yet");
    }
    (0..12).for_each(|_| go_on.send(()).unwrap());
    eventually("all ends", || (events(&proxy, "finished") == 12).then_some(()));
}
