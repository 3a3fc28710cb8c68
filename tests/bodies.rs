//! Bodies that plugins transform on their way down.
//!
//! The guest `bodies` does what a request's `x-do`, or its own `do`, asks for.

mod failures;
mod leaving;
mod memory;
mod sharing;

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::{
    Client, Message, Origin, PATIENCE, Proxy, UNHURRIED, eventually, one_cluster, reply,
};

const MIB: usize = 1 << 20;

/// A configuration with the plugin `bodies`; `more` are further keys of it.
fn with_bodies(origin: &Origin, more: &str) -> String {
    let config = one_cluster(&[origin.address()], "rewriters = ['bodies']", "");
    format!("{config}[plugins.bodies]\ncomponent = 'bodies'\n{more}\n")
}

fn to(origin: &Origin) -> Proxy {
    Proxy::start_with(&with_bodies(origin, UNHURRIED), &["bodies"])
}

/// Asks for something to be done to a body.
#[track_caller]
fn ask(client: &mut Client, task: &str) -> Message {
    client.ask("GET", "/", &[("x-do", task)], b"")
}

/// What the guest has counted.
fn events(proxy: &Proxy, name: &str) -> u64 {
    proxy.counter("linkspan_plugin_events_total", &[("name", name)])
}

/// Waits until the guest has counted so many.
#[track_caller]
fn wait_for(proxy: &Proxy, name: &str, count: u64) {
    eventually(name, || (events(proxy, name) >= count).then_some(()));
    assert_eq!(events(proxy, name), count, "{name}");
}

/// Text of this length that does not repeat soon.
fn text(length: usize) -> Vec<u8> {
    let letters = (b'a'..=b'z').chain(*b" \n").cycle();
    letters
        .enumerate()
        .filter(|(place, _)| place % 11 != 0)
        .map(|(_, byte)| byte)
        .take(length)
        .collect()
}

#[test]
fn bodies_pass_through_a_plugin_unchanged_or_not() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for length in [0, 1, 100, (64 << 10) + 1, 3 * MIB] {
        let body = text(length);
        let plain = client.ask("POST", "/", &[], &body);
        assert!(plain.complete && plain.length() == Some(length) && plain.body == body);
        let same = client.ask("POST", "/", &[("x-do", "identity")], &body);
        assert!(same.complete && same.is_chunked() && same.length().is_none(), "{length}");
        assert!(same.body == body, "{length}");
        assert_eq!(same.value("x-bodies"), Some("yes"));
        let upper = client.ask("POST", "/", &[("x-do", "upper")], &body);
        assert!(upper.complete && upper.body == body.to_ascii_uppercase(), "{length}");
    }
    assert_eq!(origin.connections(), 1, "the upstream's connection is used again");
    assert_eq!((events(&proxy, "begun"), events(&proxy, "finished")), (10, 10));
    assert_eq!((events(&proxy, "abandoned"), events(&proxy, "stray")), (0, 0));
    let line = &proxy.access(15)[14];
    assert_eq!(line["bytes_down"], 3 * MIB);
    let calls = line["plugins"][0]["calls"].as_u64().unwrap();
    assert!(calls > 3 * 16, "{line}: on-request, on-response, begin, the chunks, finish");
}

#[test]
fn chunks_are_no_larger_than_promised_and_outputs_are_asked_for_in_parts() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let response = client.ask("POST", "/", &[("x-do", "sizes")], &text(MIB));
    let text_of = response.text();
    let sizes: Vec<usize> = text_of.split_whitespace().map(|size| size.parse().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), MIB);
    assert!(sizes.iter().all(|size| (1..=64 << 10).contains(size)), "{sizes:?}");
    let body = text(500_000);
    let response = client.ask("POST", "/", &[("x-do", "hold")], &body);
    assert!(response.complete && response.body == body, "all of it is given at the end, in parts");
    let body = vec![b'x'; 100_000];
    let response = client.ask("POST", "/", &[("x-do", "repeat=9")], &body);
    assert!(response.complete && response.body == vec![b'x'; 900_000]);
    assert_eq!(client.ask("POST", "/", &[("x-do", "nothing")], &body).body, b"");
}

#[test]
fn responses_without_a_body_are_edited_and_not_transformed() {
    let origin = Origin::answering(|request| match request.target() {
        "/204" => reply(204, &[], ""),
        "/304" => reply(304, &[], ""),
        _ if request.method() == "HEAD" => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec(),
        _ => reply(200, &[], ""),
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for (method, target) in [("HEAD", "/"), ("GET", "/204"), ("GET", "/304")] {
        let response = client.ask(method, target, &[("x-do", "footer")], b"");
        assert_eq!((response.length(), response.is_chunked()), (None, false), "{method} {target}");
        assert_eq!(response.value("x-bodies"), Some("yes"));
    }
    assert_eq!(events(&proxy, "begun"), 0);
    assert_eq!(ask(&mut client, "footer").text(), "<footer>", "an empty body is one");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_http_1_0_client_finds_the_end_of_a_transformed_body() {
    let origin = Origin::replying("hello");
    let proxy = to(&origin);
    for connection in ["close", "keep-alive"] {
        let mut client = proxy.connect();
        client.send(format!("GET / HTTP/1.0\r\nconnection: {connection}\r\nx-do: upper\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.text().as_str(), response.is_chunked()), ("HELLO", false));
        assert_eq!(response.length(), None);
    }
}

#[test]
fn a_body_begins_with_the_head_that_its_plugin_decided_on() {
    let origin = Origin::replying("hello");
    let proxy = to(&origin);
    let response = proxy.connect().ask("POST", "/a/b?c", &[("x-do", "tell")], b"x");
    assert_eq!(response.text(), "helloPOST /a/b 200 marked=false");
}

#[test]
fn the_chain_composes_from_the_upstream_to_the_client() {
    let origin = Origin::replying("hello");
    let chain = |listener: &str, cluster: &str| {
        let plugin = |name: &str| {
            format!("[plugins.{name}]\ncomponent = 'bodies'\nconfig = {{ do = '{name}' }}\n")
        };
        let config = one_cluster(&[origin.address()], listener, cluster);
        format!("{config}{}{}", plugin("upper"), plugin("footer"))
    };
    let both = chain("rewriters = ['upper', 'footer']", "");
    let proxy = Proxy::start_with(&both, &["bodies"]);
    assert_eq!(proxy.get("/").text(), "HELLO<FOOTER>", "in the reverse of the order of requests");
    let apart = chain("rewriters = ['footer']", "rewriters = ['upper']");
    let proxy = Proxy::start_with(&apart, &["bodies"]);
    assert_eq!(proxy.get("/").text(), "HELLO<footer>", "the cluster's before the listener's");
    drop(proxy);
    let twice = chain("rewriters = ['footer', 'footer']", "");
    let proxy = Proxy::start_with(&twice, &["bodies"]);
    let response = proxy.get("/");
    assert_eq!((response.text().as_str(), response.complete), ("hello<footer><footer>", true));
}

#[test]
fn trailers_follow_unless_they_are_about_the_bytes() {
    let origin = Origin::raw(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, content-md5\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 5\r\ncontent-md5: abc\r\n\r\n",
    );
    let proxy = to(&origin);
    let fields = [("te", "trailers"), ("x-do", "footer")];
    let response = proxy.connect().ask("GET", "/", &fields, b"");
    assert_eq!(response.text(), "hello<footer>");
    let plain = proxy.connect().ask("GET", "/", &[("te", "trailers")], b"");
    let without = plain.trailers.iter().filter(|(name, _)| name != "content-md5");
    assert_eq!(response.trailers, without.cloned().collect::<Vec<_>>());
    assert_eq!(response.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    assert_eq!(plain.trailers.len(), 2);
    assert!(response.complete);
}

#[test]
fn what_a_plugin_gives_is_passed_on_at_once() {
    let (go_on, going) = channel::<()>();
    let going = Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        if peer.request().is_none() {
            return;
        }
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
        for byte in *b"abc" {
            going.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            peer.send([byte]);
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(crate::support::request("GET", "/", &[("x-do", "upper")], b""));
    assert!(client.response_head().is_chunked());
    for chunk in ["A", "B", "C"] {
        go_on.send(()).unwrap();
        assert_eq!(client.line().unwrap(), "1");
        assert_eq!(client.line().unwrap(), chunk);
    }
    assert_eq!(client.line().unwrap(), "0");
}
