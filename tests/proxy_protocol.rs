//! The PROXY protocol: what proxies in front say of connections, and what Linkspan says of them to those
//! behind it.

mod outgoing;
mod peers;
mod refusals;

use std::net::SocketAddr;

use crate::support::{Client, Message, Origin, Proxy, eventually, one_cluster, request};

/// Where tests connect from, unless they say otherwise.
const TRUSTED: &str = "trusted-proxies = ['127.0.0.1']\nproxy-protocol = 'require'\n";

/// A line of version 1, of a client and where it had connected to.
fn v1(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, own) = if client.is_ipv4() { ("TCP4", "10.9.8.7") } else { ("TCP6", "fd00::9") };
    format!("PROXY {family} {} {own} {} 443\r\n", client.ip(), client.port()).into_bytes()
}

/// A block of version 2: command, family and protocol, and what follows.
fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

/// A block of version 2 about a client, with an attribute behind its addresses.
fn v2(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let port = client.port().to_be_bytes();
    let attribute = [4, 0, 3, 1, 2, 3];
    match client {
        SocketAddr::V4(client) => {
            let addresses = [client.ip().octets(), [10, 9, 8, 7]].concat();
            block(0x21, 0x11, &[&addresses, &port[..], &[1, 187], &attribute].concat())
        }
        SocketAddr::V6(client) => {
            let addresses = [client.ip().octets(), [0xfd; 16]].concat();
            block(0x21, 0x21, &[&addresses, &port[..], &[1, 187], &attribute].concat())
        }
    }
}

/// A proxy with these lines in its listener, in front of an origin.
fn expecting(listener: &str) -> (Origin, Proxy) {
    let origin = Origin::replying("ok");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    (origin, proxy)
}

/// A connection that begins with a header.
fn behind(header: &[u8], proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(header);
    client
}

/// What the origin got last.
fn told(origin: &Origin) -> Message {
    origin.requests().pop().unwrap()
}

fn refused(proxy: &Proxy, reason: &str) -> u64 {
    let labels = [("listener", "web"), ("reason", reason)];
    proxy.counter("linkspan_connections_refused", &labels)
}

#[test]
fn the_client_of_the_header_is_the_client_everywhere() {
    for header in [v1, v2] {
        let (origin, proxy) = expecting(TRUSTED);
        let mut client = behind(&header("192.0.2.7:40112"), &proxy);
        assert_eq!(client.get("/first").text(), "ok");
        assert_eq!(client.get("/second").text(), "ok");
        for request in origin.requests() {
            assert_eq!(request.value("x-forwarded-for"), Some("192.0.2.7"));
        }
        let lines = proxy.access(2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line["client"] == "192.0.2.7:40112"), "{lines:?}");

        assert_eq!(behind(&header("[2001:db8::7]:5"), &proxy).get("/").text(), "ok");
        assert_eq!(told(&origin).value("x-forwarded-for"), Some("2001:db8::7"));
        assert_eq!(proxy.access(3)[2]["client"], "[2001:db8::7]:5");

        assert_eq!(behind(&header("[::ffff:192.0.2.7]:5"), &proxy).get("/").text(), "ok");
        assert_eq!(told(&origin).value("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(proxy.access(4)[3]["client"], "192.0.2.7:5");
    }
}

#[test]
fn plugins_see_the_client_of_the_header() {
    let origins = ["a", "b", "c"].map(Origin::replying);
    let addresses = origins.each_ref().map(Origin::address);
    let proxy = Proxy::start(&one_cluster(&addresses, TRUSTED, "balancer = 'source-hash'"));
    // Neighbours go to neighbours; by the address that connects they would all go to one.
    let answers = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]
        .map(|client| behind(&v2(client), &proxy).get("/").text());
    let mut sorted = answers.clone();
    sorted.sort();
    assert_eq!(sorted, ["a", "b", "c"], "{answers:?}");
}

#[test]
fn a_request_may_come_with_its_header_and_is_not_lost() {
    let (origin, proxy) = expecting(TRUSTED);
    for header in [v1, v2] {
        let requests =
            [request("GET", "/a", &[], b""), request("POST", "/b", &[], b"body")].concat();
        let mut client = behind(&[header("192.0.2.7:1"), requests].concat(), &proxy);
        assert_eq!(
            (client.response().text(), client.response().text()),
            ("ok".into(), "ok".into())
        );
    }
    let targets: Vec<_> = origin.requests().iter().map(|it| it.target().to_owned()).collect();
    assert_eq!(targets, ["/a", "/b", "/a", "/b"]);
    assert_eq!(told(&origin).text(), "body");
}

#[test]
fn a_header_may_come_in_pieces() {
    let (_origin, proxy) = expecting(TRUSTED);
    for header in [v1("192.0.2.7:40112"), v2("192.0.2.7:40112"), v2("[2001:db8::7]:40112")] {
        for cut in 1..header.len() {
            let mut client = behind(&header[..cut], &proxy);
            client.send(&header[cut..]);
            assert_eq!(client.get("/").text(), "ok", "{cut}");
        }
        let mut client = proxy.connect();
        header.chunks(1).for_each(|byte| client.send(byte));
        assert_eq!(client.get("/").text(), "ok");
    }
    let lines = proxy.access(1);
    assert!(lines.iter().all(|line| line["client"].as_str().unwrap().ends_with("]:40112")
        || line["client"] == "192.0.2.7:40112"));
}

#[test]
fn a_header_may_have_much_behind_its_addresses() {
    let (origin, proxy) = expecting(TRUSTED);
    let addresses = [192, 0, 2, 7, 10, 9, 8, 7, 0, 1, 0, 2];
    let long = block(0x21, 0x11, &[&addresses[..], &[0xff; 4096 - 16 - 12]].concat());
    assert_eq!(long.len(), 4096);
    assert_eq!(behind(&long, &proxy).get("/").text(), "ok");
    assert_eq!(told(&origin).value("x-forwarded-for"), Some("192.0.2.7"));
    // Another byte would be too many, and is announced by the first sixteen.
    let longer = block(0x21, 0x11, &[&addresses[..], &[0xff; 4096 - 16 - 11]].concat());
    behind(&longer[..16], &proxy).expect_closed();
    assert_eq!(refused(&proxy, "bad_proxy_header"), 1);
}

/// Headers that are about no address.
fn nameless() -> Vec<Vec<u8>> {
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        block(0x20, 0x00, b""),
        block(0x20, 0x11, &[192, 0, 2, 7, 10, 9, 8, 7, 0, 1, 0, 2]),
        block(0x21, 0x00, b"more"),
        block(0x21, 0x31, &[b'/'; 216]),
    ]
}

#[test]
fn a_header_without_an_address_leaves_that_of_the_connection_which_speaks_for_nobody() {
    let (origin, proxy) = expecting(TRUSTED);
    let claims = [("x-forwarded-for", "192.0.2.66"), ("x-request-id", "mine")];
    let headers = nameless();
    for header in &headers {
        let mut client = behind(header, &proxy);
        assert_eq!(client.ask("GET", "/", &claims, b"").text(), "ok", "{header:?}");
        assert_eq!(told(&origin).value("x-forwarded-for"), Some("127.0.0.1"), "{header:?}");
    }
    for line in proxy.access(headers.len()) {
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert_ne!(line["id"], "mine");
    }
}

#[test]
fn what_requests_say_counts_if_the_client_of_the_header_is_trusted() {
    let trust = "trusted-proxies = ['127.0.0.1', '192.0.2.0/24']\nproxy-protocol = 'require'\n";
    let (origin, proxy) = expecting(trust);
    let claims = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
    let told_by = |client: &str| {
        assert_eq!(behind(&v2(client), &proxy).ask("GET", "/", &claims, b"").text(), "ok");
        let told = told(&origin);
        let value = |name| told.value(name).unwrap().to_owned();
        (value("x-forwarded-for"), value("x-forwarded-proto"))
    };
    assert_eq!(told_by("192.0.2.7:1"), ("198.51.100.1, 192.0.2.7".into(), "https".into()));
    assert_eq!(told_by("203.0.113.7:1"), ("203.0.113.7".into(), "http".into()));
}

#[test]
fn the_limit_per_address_is_that_of_the_client_of_the_header() {
    let listener = format!("{TRUSTED}max-connections-per-address = 2\n");
    let (_origin, proxy) = expecting(&listener);
    let mut of_one: Vec<_> =
        [v1, v2].iter().map(|header| behind(&header("192.0.2.7:1"), &proxy)).collect();
    of_one.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    // The same client by another name.
    behind(&v1("[::ffff:192.0.2.7]:9"), &proxy).expect_closed();
    assert_eq!(refused(&proxy, "too_many"), 1);
    let mut others: Vec<_> =
        (1..=6).map(|last| behind(&v2(&format!("192.0.2.{last}:1")), &proxy)).collect();
    others.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    of_one.pop();
    eventually("the place to be free", || {
        let mut again = behind(&v2("192.0.2.7:1"), &proxy);
        again.write(request("GET", "/", &[], b"")).ok()?;
        again.head().map(|head| assert_eq!(head.status(), 200))
    });
}

#[test]
fn others_than_the_trusted_are_clients_where_the_trusted_alone_send_headers() {
    let (origin, proxy) = expecting(&TRUSTED.replace("require", "from-trusted"));
    assert_eq!(behind(&v2("192.0.2.7:1"), &proxy).get("/").text(), "ok");
    assert_eq!(told(&origin).value("x-forwarded-for"), Some("192.0.2.7"));
    let elsewhere = || Client::from([127, 0, 0, 9], proxy.address("web"));
    assert_eq!(elsewhere().get("/").text(), "ok");
    assert_eq!(told(&origin).value("x-forwarded-for"), Some("127.0.0.9"));
    // Their headers are nothing but a bad request.
    let mut liar = elsewhere();
    liar.send(v1("192.0.2.7:1"));
    assert_eq!(liar.response().status(), 400);
    liar.expect_closed();
    // Nor may those leave them out who have to send one.
    let mut bare = proxy.connect();
    bare.send(request("GET", "/", &[], b""));
    bare.expect_closed();
    assert_eq!((refused(&proxy, "no_proxy_header"), origin.hits()), (1, 2));
}

#[test]
fn a_reload_changes_what_new_connections_begin_with() {
    let origin = Origin::replying("ok");
    let config = |listener| one_cluster(&[origin.address()], listener, "");
    let mut proxy = Proxy::start(&config(""));
    let mut before = proxy.connect();
    assert_eq!(before.get("/").text(), "ok");
    proxy.reload(&config(TRUSTED)).unwrap();
    let mut new = eventually("headers to be expected", || {
        let mut client = behind(&v1("192.0.2.7:1"), &proxy);
        client.write(request("GET", "/", &[], b"")).ok()?;
        client.head().filter(|head| head.status() == 200).map(|_head| client)
    });
    proxy.reload(&config("")).unwrap();
    eventually("headers to be expected no longer", || {
        let mut client = proxy.connect();
        client.write(request("GET", "/", &[], b"")).ok()?;
        client.head().filter(|head| head.status() == 200)
    });
    let mut body = Vec::new();
    new.take(2, &mut body).unwrap();
    assert_eq!(new.get("/").text(), "ok", "what has begun goes on");
}
