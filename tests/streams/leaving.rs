//! What becomes of streams, and of what is not yet one, when the process is told to leave.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;

use super::{mirror, next};
use crate::shutdown::expect_refused;
use crate::support::{Binary, Client, Origin, Signal, eventually};

/// A process with a stream through which something has gone, and its client.
fn joined(origin: &Origin, server: &str) -> (Binary, Client) {
    let mut proxy = Binary::serve(&format!(
        "[server]\nworkers = 1\n{server}\n[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\n\
         default-cluster = 'main'\n[clusters.main]\nendpoints = ['{}']\n",
        origin.address()
    ));
    let mut client = proxy.connect();
    client.send("1");
    assert_eq!(next(&mut client, 1), "1");
    (proxy, client)
}

/// Its last words about the stream: of those through which something has gone.
fn line(proxy: &Binary) -> Value {
    let said = proxy.stderr();
    let lines = said.lines().filter(|line| line.contains("\"protocol\":\"TCP\""));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["bytes_up"] != 0).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn quit_waits_for_a_stream_without_limit() {
    let origin = mirror();
    let (mut proxy, mut client) = joined(&origin, "shutdown-grace = '100ms'");
    let address = proxy.address("web");
    proxy.signal(Signal::QUIT);
    expect_refused(address);
    assert!(client.is_quiet_for(Duration::from_millis(400)), "longer than the grace");
    client.send("2");
    assert_eq!(next(&mut client, 1), "2", "PM-10");
    drop(client);
    assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.stderr());
    assert!(!proxy.stderr().contains("cut off"), "{}", proxy.stderr());
    let line = line(&proxy);
    assert_eq!((&line["bytes_up"], &line["error"]), (&2.into(), &Value::Null));
}

#[test]
fn term_and_int_let_a_stream_finish_within_the_grace() {
    for signal in [Signal::TERM, Signal::INT] {
        let origin = mirror();
        let (mut proxy, mut client) = joined(&origin, "shutdown-grace = '1m'");
        let address = proxy.address("web");
        proxy.signal(signal);
        expect_refused(address);
        client.send("2");
        assert_eq!(next(&mut client, 1), "2");
        drop(client);
        assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.stderr());
        assert!(!proxy.stderr().contains("cut off"), "{}", proxy.stderr());
    }
}

#[test]
fn term_cuts_a_stream_off_after_the_grace() {
    let origin = mirror();
    let (mut proxy, mut client) = joined(&origin, "shutdown-grace = '200ms'");
    proxy.signal(Signal::TERM);
    let end = client.skip(1).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "nobody takes it for whole");
    assert_eq!(proxy.wait().code(), Some(0), "PM-11");
    assert_eq!(line(&proxy)["error"], "cut off at shutdown, after 1 bytes for the client");
    let said = proxy.stderr();
    assert!(said.contains("connections were cut off") && said.contains("\"connections\":1"));
    eventually("the other end", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn a_second_int_cuts_a_stream_off_at_once() {
    let origin = mirror();
    let (mut proxy, mut client) = joined(&origin, "shutdown-grace = '1h'");
    proxy.signal(Signal::INT);
    proxy.wait_for_stderr("leaving");
    client.send("2");
    assert_eq!(next(&mut client, 1), "2");
    proxy.signal(Signal::INT);
    assert!(client.skip(1).is_err());
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(line(&proxy)["error"], "cut off at shutdown, after 2 bytes for the client");
}

#[test]
fn who_is_not_yet_decided_about_is_waited_for_as_well() {
    let origin = mirror();
    let mut proxy = Binary::serve(&format!(
        "[server]\nworkers = 1\nshutdown-grace = '1m'\n[admin]\nbind = '127.0.0.1:0'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\n\
         stream-router = 'match-bytes'\n[clusters.main]\nendpoints = ['{}']\n\
         [plugins.match-bytes]\nconfig = {{ rules = [{{ match = '^ab', cluster = 'main' }}] }}\n",
        origin.address()
    ));
    let mut client = proxy.connect();
    client.send("a");
    // Who waits in the kernel to be accepted is not waited for.
    let mut admin = Client::connect(proxy.admin());
    eventually("the connection", || {
        let text = admin.ask("GET", "/metrics", &[("host", "localhost")], b"").text();
        text.contains("\nlinkspan_connections_open{listener=\"web\"} 1\n").then_some(())
    });
    drop(admin);
    proxy.signal(Signal::TERM);
    proxy.wait_for_stderr("leaving");
    client.send("b");
    assert_eq!(next(&mut client, 2), "ab");
    drop(client);
    assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.stderr());
    assert_eq!(line(&proxy)["error"], Value::Null);
}
