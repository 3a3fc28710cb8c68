//! What ProxyMachine's own tests ask for, and what its users rely on besides.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{all_closed, answer, echo, errors, events, next, reason, routed, tcp, text};
use crate::support::{Down, Origin, Peer, Proxy, eventually};

/// The router of its tests, before two servers that echo; `down` is where nobody listens.
fn machine(one: &Origin, other: &Origin, down: &Down) -> Proxy {
    let (one, other, down) = (tcp(one.address()), tcp(other.address()), tcp(down.address()));
    let rules = format!(
        "rules = [
          {{ begins = 'connect reject', to = ['{down}'] }},
          {{ begins = 'inactivity', to = ['{one}'], data = 'sleep', inactivity-timeout = 1000 }},
          {{ begins = 'a', to = ['{one}'] }},
          {{ begins = 'b', to = ['{other}'] }},
          {{ begins = 'xxx' }},
          {{ begins = 'c', to = ['{one}'], data = 'ccc' }},
          {{ begins = 'd', close = 'ddd' }},
          {{ begins = 'e', ends = 'f', to = ['{one}'] }},
          {{ begins = 'g', to = ['{one}'], data = 'g2', reply = 'g3-' }},
          {{ begins = 'n', to = ['{one}'], data = '', reply = 'welcome ' }},
        ]"
    );
    routed(&rules, "", "")
}

#[test]
fn all_of_proxymachines_own_tests_but_those_about_failures() {
    let (one, other, down) = (echo(), echo(), Down::new());
    let proxy = machine(&one, &other, &down);
    let (first, second) = (one.address().port(), other.address().port());
    assert_eq!(answer(&proxy, "a"), format!("{first}:a"));
    assert_eq!(answer(&proxy, "b"), format!("{second}:b"));
    assert_eq!(answer(&proxy, "xxx"), "");
    assert_eq!(answer(&proxy, "c"), format!("{first}:ccc"));
    assert_eq!(answer(&proxy, "d"), "ddd");
    assert_eq!(answer(&proxy, "g"), format!("g3-{first}:g2"));

    let mut client = proxy.connect();
    let many = "e".repeat(2_048);
    client.send(&many);
    eventually("the router to be asked about it", || {
        (events(&proxy, "decided") >= 14).then_some(())
    });
    client.send("f");
    assert_eq!(text(client.rest()), format!("{first}:{many}f"));
    drop(client);
    all_closed(&proxy);
    let lines = proxy.access(7);
    assert!(lines.iter().all(|line| line["error"].is_null()), "{lines:#?}");
    let fits = |line: &&Value| line["protocol"] == "TCP" && line["route"] == "streams";
    assert!(lines.iter().all(|line| fits(&line)), "{lines:#?}");
    let of_g = lines.iter().find(|line| line["bytes_up"] == 2).unwrap();
    assert_eq!(of_g["bytes_down"], format!("g3-{first}:g2").len());
}

#[test]
fn an_upstream_that_refuses_is_tried_ten_times_more_before_the_router_is_told() {
    let (one, other, down) = (echo(), echo(), Down::new());
    let proxy = machine(&one, &other, &down);
    let begun = Instant::now();
    assert_eq!(answer(&proxy, "connect reject"), "");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(events(&proxy, "connect_failed"), 1);
    let port = proxy.counter("linkspan_plugin_value", &[("name", "failed_port")]);
    assert_eq!(port, u64::from(down.address().port()));
    let line = &proxy.access(1)[0];
    assert_eq!(line["attempts"], 11);
    assert_eq!(line["error"], format!("{}: connection refused", down.address()));
    assert_eq!(errors(&proxy, "connect"), 1);
}

/// Says nothing until the other side has left.
fn silent() -> Origin {
    Origin::scripted(Peer::hang)
}

#[test]
fn an_upstream_that_says_nothing_for_too_long_is_left_and_the_router_told() {
    let (one, other, down) = (silent(), echo(), Down::new());
    let proxy = machine(&one, &other, &down);
    let begun = Instant::now();
    assert_eq!(answer(&proxy, "inactivity"), "");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(events(&proxy, "inactivity_failed"), 1);
    let why = "sent nothing within its inactivity-timeout of 1s";
    assert_eq!(reason(&proxy, 1), format!("{}: {why}", one.address()));
    assert_eq!(errors(&proxy, "inactivity"), 1);
    all_closed(&proxy);
    assert_eq!(one.open_connections(), 0);
}

#[test]
fn the_router_is_not_told_of_an_upstream_that_is_silent_for_a_client_that_has_left() {
    let (one, other, down) = (silent(), echo(), Down::new());
    let proxy = machine(&one, &other, &down);
    let mut client = proxy.connect();
    client.send("inactivity");
    eventually("the upstream to be connected to", || (one.connections() == 1).then_some(()));
    drop(client);
    all_closed(&proxy);
    assert_eq!(events(&proxy, "inactivity_failed"), 0);
}

#[test]
fn bytes_that_come_after_the_decision_arrive_once_and_in_order() {
    let down = Down::new();
    let address = down.address();
    let proxy = routed(&format!("rules = [{{ begins = '1', to = ['{}'] }}]", tcp(address)), "", "");
    let mut client = proxy.connect();
    client.send("1");
    // It is refused a few times, and served when there is somebody.
    let attempts = || proxy.counter("linkspan_upstream_attempts", &[]) >= 3;
    eventually("some attempts", || attempts().then_some(()));
    (2..100).for_each(|number| client.send(number.to_string()));
    let origin = down.up(|peer| {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"99") {
            bytes.extend(peer.some());
        }
        peer.send(bytes);
    });
    let expected: String = (1..100).map(|number: u32| number.to_string()).collect();
    assert_eq!(text(client.rest()), expected);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_reply_comes_before_the_upstream_is_connected_to() {
    let (one, other, down) = (echo(), echo(), Down::new());
    let rule = format!("{{ begins = 'x', reply = 'granted', to = ['{}'] }}", tcp(down.address()));
    let proxy = routed(&format!("rules = [{rule}]"), "retry-delay = '1m'", "");
    let mut client = proxy.connect();
    client.send("x");
    assert_eq!(next(&mut client, 7), "granted");
    let proxy = machine(&one, &other, &down);
    let mut client = proxy.connect();
    client.send("no more of this");
    assert_eq!(next(&mut client, 8), "welcome ");
    client.send("but this");
    assert_eq!(text(client.rest()), format!("{}:but this", one.address().port()));
}
