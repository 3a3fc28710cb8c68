//! What endpoints are told of the client before its first request.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::{TRUSTED, behind, block, v1, v2};
use crate::support::{Client, Origin, Peer, Proxy, eventually, one_cluster, reply, request};

/// What came in over one connection: its number, the header, and who the request says that it is from.
type Heard = Arc<Mutex<Vec<(usize, Vec<u8>, String)>>>;

/// Reads a header.
fn header(peer: &mut Peer, version: &str) -> Option<Vec<u8>> {
    if version == "v1" {
        return Some(format!("{}\r\n", peer.line().ok()?).into_bytes());
    }
    let mut header = Vec::new();
    peer.take(16, &mut header).ok()?;
    let length = u16::from_be_bytes(*header.last_chunk()?);
    peer.take(length.into(), &mut header).ok()?;
    Some(header)
}

/// An origin that reads a header first, and whom it has heard of.
fn hearing(version: &'static str) -> (Origin, Heard) {
    let heard = Heard::default();
    let seen = Arc::clone(&heard);
    let origin = Origin::scripted(move |peer| {
        let Some(header) = header(peer, version) else { return };
        let number = peer.number;
        peer.answer(|request| {
            let from = request.value("x-from").unwrap_or_default().to_owned();
            seen.lock().unwrap().push((number, header.clone(), from));
            reply(200, &[], "ok")
        });
    });
    (origin, heard)
}

/// A proxy that tells the origin with this version.
fn telling(origin: &Origin, version: &str, cluster: &str) -> Proxy {
    let cluster = format!("proxy-protocol = '{version}'\nidle-timeout = '1h'\n{cluster}");
    Proxy::start(&one_cluster(&[origin.address()], "", &cluster))
}

fn own(client: &Client) -> SocketAddr {
    client.stream().local_addr().unwrap()
}

/// Asks as whoever the client is.
fn ask(client: &mut Client) {
    let from = own(client).to_string();
    assert_eq!(client.ask("GET", "/", &[("x-from", &from)], b"").text(), "ok");
}

/// The header about a connection, as it should be.
fn expected(version: &str, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (source, destination) else {
        panic!("of IPv4 only");
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    match version {
        "v1" => format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
            .into_bytes(),
        _ => block(0x21, 0x11, &[&from.ip().octets()[..], &to.ip().octets(), &ports].concat()),
    }
}

#[test]
fn a_connection_tells_first_whose_requests_follow() {
    for version in ["v1", "v2"] {
        let (origin, heard) = hearing(version);
        let proxy = telling(&origin, version, "");
        let mut client = Client::from([127, 0, 0, 77], proxy.address("web"));
        ask(&mut client);
        ask(&mut client);
        let header = expected(version, own(&client), proxy.address("web"));
        let from = own(&client).to_string();
        let both = [(0, header.clone(), from.clone()), (0, header, from)];
        assert_eq!(*heard.lock().unwrap(), both, "{version}");
        assert_eq!(origin.connections(), 1, "the same client may use it again");
        assert_eq!(origin.requests()[0].value("x-forwarded-for"), Some("127.0.0.77"));
    }
}

#[test]
fn no_client_is_taken_for_another() {
    let (origin, heard) = hearing("v1");
    let proxy = telling(&origin, "v1", "max-idle-per-endpoint = 1000");
    let address = proxy.address("web");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                // All have one address, and differ by their ports alone.
                let mut kept = Client::connect(address);
                for _ in 0..10 {
                    ask(&mut Client::connect(address));
                    ask(&mut kept);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 160);
    for (_, header, from) in heard.iter() {
        assert_eq!(*header, expected("v1", from.parse().unwrap(), address));
    }
    assert_eq!(origin.connections(), 88, "one for each client");
}

#[test]
fn what_tells_of_a_client_goes_when_the_client_does() {
    let (origin, _heard) = hearing("v2");
    let proxy = telling(&origin, "v2", "");
    let mut client = proxy.connect();
    ask(&mut client);
    assert_eq!(origin.open_connections(), 1);
    drop(client);
    eventually("it to be closed", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn as_many_are_kept_as_of_others_and_the_newest() {
    let (origin, heard) = hearing("v2");
    let proxy = telling(&origin, "v2", "max-idle-per-endpoint = 2");
    let mut clients: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    clients.iter_mut().for_each(ask);
    eventually("those beyond the limit to go", || (origin.open_connections() == 2).then_some(()));
    ask(&mut clients[4]);
    ask(&mut clients[3]);
    assert_eq!(origin.connections(), 5);
    ask(&mut clients[0]);
    assert_eq!(origin.connections(), 6);
    let numbers: Vec<_> = heard.lock().unwrap().iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 4, 3, 5]);
    let proxy = telling(&origin, "v2", "max-idle-per-endpoint = 0");
    let mut client = proxy.connect();
    ask(&mut client);
    ask(&mut client);
    assert_eq!(origin.connections(), 8);
}

#[test]
fn a_connection_that_was_closed_is_made_again_and_tells_again() {
    let heard = Heard::default();
    let seen = Arc::clone(&heard);
    let origin = Origin::scripted(move |peer| {
        let Some(header) = header(peer, "v1") else { return };
        if peer.request().is_some() {
            seen.lock().unwrap().push((peer.number, header, String::new()));
            peer.send(reply(200, &[], "ok"));
        }
    });
    let proxy = telling(&origin, "v1", "");
    let mut client = proxy.connect();
    for _ in 0..3 {
        ask(&mut client);
        eventually("the origin to close", || (origin.open_connections() == 0).then_some(()));
    }
    let header = expected("v1", own(&client), proxy.address("web"));
    let expected: Vec<_> = (0..3).map(|number| (number, header.clone(), String::new())).collect();
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn a_reload_changes_what_new_connections_tell() {
    let words = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&words);
    let origin = Origin::scripted(move |peer| {
        while let Ok(line) = peer.line() {
            let begins = line.split(' ').next().unwrap_or_default().to_owned();
            let is_request = begins == "GET";
            seen.lock().unwrap().push(begins);
            if is_request {
                while peer.line().is_ok_and(|line| !line.is_empty()) {}
                if peer.write(reply(200, &[], "ok")).is_err() {
                    return;
                }
            }
        }
    });
    let config = |lines| one_cluster(&[origin.address()], "", lines);
    let mut proxy = Proxy::start(&config(""));
    let mut client = proxy.connect();
    ask(&mut client);
    for lines in ["proxy-protocol = 'v1'", "proxy-protocol = 'off'"] {
        proxy.reload(&config(lines)).unwrap();
        ask(&mut client);
    }
    assert_eq!(*words.lock().unwrap(), ["GET", "PROXY", "GET", "GET"]);
    assert_eq!(origin.connections(), 2, "what tells of nobody was kept, and used again");
}

#[test]
fn what_was_told_is_told_on() {
    let (origin, heard) = hearing("v1");
    let inner = telling_behind(&origin, "v1");
    let outer_to = one_cluster(&[inner.address("web")], TRUSTED, "proxy-protocol = 'v2'");
    let outer = Proxy::start(&outer_to);
    for (header, told) in [
        (v1("192.0.2.7:40112"), "PROXY TCP4 192.0.2.7 10.9.8.7 40112 443\r\n"),
        (v2("192.0.2.7:40112"), "PROXY TCP4 192.0.2.7 10.9.8.7 40112 443\r\n"),
        (v1("[2001:db8::7]:5"), "PROXY TCP6 2001:db8::7 fd00::9 5 443\r\n"),
        (v1("[::ffff:192.0.2.7]:5"), "PROXY TCP6 ::ffff:192.0.2.7 fd00::9 5 443\r\n"),
    ] {
        let mut client = behind(&header, &outer);
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(String::from_utf8_lossy(&heard.lock().unwrap().pop().unwrap().1), told);
    }
    // Of whom nothing is told, that has the address of the connection.
    let mut client = behind(&block(0x20, 0, b""), &outer);
    assert_eq!(client.get("/").text(), "ok");
    let header = expected("v1", own(&client), outer.address("web"));
    assert_eq!(heard.lock().unwrap().pop().unwrap().1, header);
    let lines = inner.access(5);
    assert_eq!(lines[0]["client"], "192.0.2.7:40112");
    assert_eq!(lines[4]["client"], own(&client).to_string());
}

fn telling_behind(origin: &Origin, version: &str) -> Proxy {
    let cluster = format!("proxy-protocol = '{version}'");
    Proxy::start(&one_cluster(&[origin.address()], TRUSTED, &cluster))
}

#[test]
fn checks_tell_that_they_are_nobodys() {
    for (version, told) in [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", block(0x20, 0x00, b""))] {
        for check in
            ["{ path = '/healthz', interval = '50ms' }", "{ type = 'tcp', interval = '50ms' }"]
        {
            let (origin, heard) = hearing_of_checks(version);
            let proxy = telling(&origin, version, &format!("health.check = {check}"));
            eventually("a check", || heard.lock().unwrap().contains(&told).then_some(()));
            let mut client = proxy.connect();
            ask(&mut client);
            let header = expected(version, own(&client), proxy.address("web"));
            let heard = heard.lock().unwrap();
            assert!(heard.iter().all(|one| *one == told || *one == header), "{heard:?}");
        }
    }
}

fn hearing_of_checks(version: &'static str) -> (Origin, Arc<Mutex<Vec<Vec<u8>>>>) {
    let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let seen = Arc::clone(&heard);
    let origin = Origin::scripted(move |peer| {
        let Some(header) = header(peer, version) else { return };
        seen.lock().unwrap().push(header);
        peer.answer(|_| reply(200, &[], "ok"));
    });
    (origin, heard)
}

#[test]
fn a_check_of_another_port_sends_what_it_always_does() {
    let (origin, _heard) = hearing("v1");
    let other = Origin::replying("fine");
    let port = other.address().port();
    let check = format!("health.check = {{ path = '/healthz', interval = '50ms', port = {port} }}");
    let _proxy = telling(&origin, "v1", &check);
    other.wait_for(1);
    assert_eq!(other.requests()[0].target(), "/healthz");
}

#[test]
fn endpoints_on_unix_sockets_are_told_as_well() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        stream.write_all(&reply(200, &[], "ok")).unwrap();
        seen
    });
    let config = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['unix:{}']\nproxy-protocol = 'v1'\n",
        path.display()
    );
    let proxy = Proxy::start(&config);
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[], b""));
    assert_eq!(client.response().text(), "ok");
    let header = expected("v1", own(&client), proxy.address("web"));
    let seen = served.join().unwrap();
    assert_eq!(&seen[..header.len()], header);
    assert!(seen[header.len()..].starts_with(b"GET / HTTP/1.1\r\n"));
}
