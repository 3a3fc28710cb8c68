//! Clients, configurations and proxies that leave while a body is transformed.

use std::time::Duration;

use super::{MIB, events, text, to, wait_for, with_bodies};
use crate::support::{Client, Origin, PATIENCE, Proxy, UNHURRIED, eventually, reply, request};

/// An origin that sends `hello`, and the rest when told to.
fn halting() -> (Origin, std::sync::mpsc::Sender<()>) {
    let (go_on, going) = std::sync::mpsc::channel::<()>();
    let going = std::sync::Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
            if going.lock().unwrap().recv_timeout(PATIENCE).is_err() {
                return;
            }
            if peer.write("world").is_err() {
                return;
            }
        }
    });
    (origin, go_on)
}

/// Asks, and reads what comes of the first half.
fn begin(client: &mut Client, task: &str, first: &str) {
    client.send(request("GET", "/", &[("x-do", task)], b""));
    assert!(client.response_head().is_chunked());
    assert_eq!((client.line().unwrap(), client.line().unwrap()), ("5".into(), first.into()));
}

#[test]
fn a_client_that_leaves_has_its_body_abandoned() {
    let body = text(32 * MIB);
    let origin = Origin::answering(move |_| reply(200, &[], &body));
    let proxy = to(&origin);
    let mut client = Client::small(proxy.address("web"));
    client.send(request("GET", "/", &[("x-do", "upper")], b""));
    assert_eq!(client.response_head().status(), 200);
    drop(client);
    wait_for(&proxy, "abandoned", 1);
    eventually("the upstream's connection", || (origin.open_connections() == 0).then_some(()));
    let response = super::ask(&mut proxy.connect(), "identity");
    assert!(response.complete && response.body.len() == 32 * MIB);
    assert_eq!((events(&proxy, "finished"), events(&proxy, "stray")), (1, 0));
    let failures = proxy.counter("linkspan_plugin_failures_total", &[("plugin", "bodies")]);
    assert_eq!(failures, 0, "its instance lives on");
}

#[test]
fn a_client_that_leaves_within_a_call_ends_neither_the_call_nor_its_account() {
    let origin = Origin::replying("hello");
    let more = "limits = { deadline = '1s' }";
    let proxy = Proxy::start_with(&with_bodies(&origin, more), &["bodies"]);
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[("x-do", "loop")], b""));
    assert_eq!(client.response_head().status(), 200);
    assert_eq!(proxy.get("/").text(), "hello", "others are served meanwhile");
    assert!(client.is_quiet_for(Duration::from_millis(1)), "they waited for the loop");
    drop(client);
    let labels = [("plugin", "bodies"), ("cause", "deadline")];
    let missed = || proxy.counter("linkspan_plugin_failures_total", &labels);
    eventually("the end of the call", || (missed() == 1).then_some(()));
    assert_eq!(super::ask(&mut proxy.connect(), "upper").text(), "HELLO");
}

#[test]
fn a_body_stays_with_the_version_that_it_began_with() {
    let (origin, go_on) = halting();
    let set =
        |task: &str| with_bodies(&origin, &format!("config = {{ do = '{task}' }}\n{UNHURRIED}"));
    let mut proxy = Proxy::start_with(&set("upper"), &["bodies"]);
    let mut old = proxy.connect();
    begin(&mut old, "", "HELLO");
    proxy.reload(&set("identity")).unwrap();
    let mut new = proxy.connect();
    begin(&mut new, "", "hello");
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    assert_eq!((old.line().unwrap(), old.line().unwrap()), ("5".into(), "WORLD".into()));
    assert_eq!((new.line().unwrap(), new.line().unwrap()), ("5".into(), "world".into()));
    assert_eq!(old.line().unwrap(), "0");
}

#[test]
fn a_proxy_can_leave_while_bodies_are_transformed() {
    let (origin, _go_on) = halting();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    begin(&mut client, "upper", "HELLO");
    let clean = proxy.shut_down(Some(Duration::ZERO)).recv_timeout(PATIENCE);
    assert_eq!(clean, Ok(false), "it was cut off, and nothing else broke");
    client.expect_closed();
}
