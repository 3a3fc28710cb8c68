//! WebSocket by a stream of HTTP/2 (RFC 8441), to an upstream of HTTP/1.

use super::{Http2, connect, speaking, speaking_with};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, fields, frame};
use crate::support::{Origin, Peer, eventually};

const REQUEST: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "a.test"),
    ("sec-websocket-version", "13"),
];

/// Asks for a tunnel, by stream 1.
fn ask(client: &mut Http2) {
    client.send(frame(HEADERS, END_HEADERS, 1, fields(&REQUEST)));
}

/// Answers a key as a server does that speaks WebSocket.
fn agree(peer: &mut Peer) -> bool {
    let Some(request) = peer.request() else { return false };
    let key = request.head.value("sec-websocket-key").unwrap();
    let accept = accept(key);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    peer.write(head).is_ok()
}

/// By the tool that everybody has, so that it is not the proxy's own that is asked.
fn accept(key: &str) -> String {
    let script = "import base64,hashlib,sys;print(base64.b64encode(hashlib.sha1((sys.argv[1]+\
                  '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode())";
    let output = std::process::Command::new("python3").args(["-c", script, key]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_tunnel_goes_both_ways_and_ends_with_both() {
    let origin = Origin::scripted(|peer| {
        if !agree(peer) {
            return;
        }
        let mut bytes = Vec::new();
        peer.take(4, &mut bytes).unwrap();
        assert_eq!(bytes, b"ping");
        let _ = peer.write("pong");
        assert_eq!(peer.rest(), b"bye");
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    ask(&mut client);
    client.until(|client| client.answers.get(&1).is_some_and(|a| !a.statuses.is_empty()));
    assert_eq!(client.answers[&1].statuses, [200]);
    client.send(frame(DATA, 0, 1, "ping"));
    client.until(|client| client.answers[&1].body == b"pong");
    client.send(frame(DATA, END_STREAM, 1, "bye"));
    assert!(client.answer(1).whole);
    let request = origin.request();
    assert_eq!(request.head.line, "GET /chat HTTP/1.1");
    assert_eq!(request.head.value("upgrade"), Some("websocket"));
    let line = &proxy.access(1)[0];
    assert_eq!(
        (&line["status"], &line["bytes_up"], &line["bytes_down"]),
        (&200.into(), &7.into(), &4.into())
    );
    assert!(line["error"].is_null());
}

#[test]
fn a_tunnel_that_is_reset_is_cut_at_both_ends() {
    let origin = Origin::scripted(|peer| {
        if agree(peer) {
            peer.hang();
        }
    });
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    ask(&mut client);
    client.until(|client| client.answers.get(&1).is_some_and(|a| !a.statuses.is_empty()));
    client.send(frame(RST_STREAM, 0, 1, 8_u32.to_be_bytes()));
    eventually("the upstream to be left", || (origin.open_connections() == 0).then_some(()));
    let line = &proxy.access(1)[0];
    assert_eq!(line["error"], "the client's end of the tunnel broke: connection reset");
}

#[test]
fn a_silent_tunnel_ends() {
    let origin = Origin::scripted(|peer| {
        if agree(peer) {
            peer.hang();
        }
    });
    let proxy = speaking_with(origin.address(), "", "tunnel-timeout = '1s'");
    let mut client = connect(&proxy);
    ask(&mut client);
    assert_eq!(client.answer(1).reset, Some(8));
    let line = &proxy.access(1)[0];
    let why = line["error"].as_str().unwrap();
    assert!(why.starts_with("nothing went through the tunnel for tunnel-timeout = 1s"), "{why}");
}

#[test]
fn an_answer_that_is_no_tunnel_is_not_taken_for_one() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: wrong\r\n\r\n",
            502,
        ),
    ] {
        let origin = Origin::raw(answer);
        let proxy = speaking(origin.address());
        let mut client = connect(&proxy);
        ask(&mut client);
        let answer = client.answer(1);
        assert_eq!(answer.statuses, [expected]);
        assert_eq!(proxy.access(1)[0]["status"], expected);
    }
}

#[test]
fn what_is_no_websocket_is_refused() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let mut request = REQUEST;
    request[1].1 = "connect-udp";
    client.send(frame(HEADERS, END_HEADERS, 1, fields(&request)));
    assert_eq!(client.answer(1).statuses, [405]);
    assert_eq!(origin.hits(), 0);
}
