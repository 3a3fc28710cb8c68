//! Bodies, trailers and interim responses, in both directions.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Client, Origin, PATIENCE, Peer, Proxy, one_cluster, reply, request};

mod expect;
mod framing;
mod interim;
mod memory;
mod trailers;

const MIB: usize = 1 << 20;

fn to(origin: &Origin) -> Proxy {
    Proxy::start(&one_cluster(&[origin.address()], "", ""))
}

/// Bytes of which no two stretches are alike for a long way.
fn pattern(length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(4)).map(|word| u32::try_from(word).unwrap());
    let mut bytes: Vec<u8> =
        words.flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bytes.truncate(length);
    bytes
}

#[test]
fn bodies_of_any_size_pass_both_ways_unchanged() {
    let origin = Origin::echo();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for length in [0, 1, 16 << 10, (64 << 10) + 1, MIB, 16 * MIB] {
        let body = pattern(length);
        let response = client.ask("POST", "/", &[], &body);
        assert!(response.complete, "{length}");
        assert_eq!(response.length(), Some(length));
        assert!(response.body == body, "{length}");
    }
    assert_eq!(origin.connections(), 1);
    let line = &proxy.access(6)[5];
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&(16 * MIB).into(), &(16 * MIB).into()));
}

/// Sends each chunk back as it comes.
fn mirror(peer: &mut Peer) {
    while peer.request_head().is_some() {
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        loop {
            let line = peer.line().unwrap();
            let size = usize::from_str_radix(&line, 16).unwrap();
            let mut chunk = Vec::new();
            peer.take(size + 2, &mut chunk).unwrap();
            peer.send(format!("{size:x}\r\n"));
            peer.send(&chunk);
            if size == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_response_flows_while_its_request_still_does() {
    let origin = Origin::scripted(mirror);
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    for turn in 0..3 {
        client.send("5\r\nhello\r\n");
        if turn == 0 {
            assert_eq!(client.response_head().status(), 200);
        }
        let mut chunk = Vec::new();
        client.take(10, &mut chunk).unwrap();
        assert_eq!(chunk, b"5\r\nhello\r\n", "before anything more is sent");
    }
    client.send("0\r\n\r\n");
    let mut end = Vec::new();
    client.take(5, &mut end).unwrap();
    assert_eq!(end, b"0\r\n\r\n");
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(client.response().complete, "the connection goes on");
    assert_eq!(origin.connections(), 2, "who answers early is asked once");
}

#[test]
fn a_response_body_is_passed_on_as_it_comes() {
    let (go_on, going) = channel();
    let going = Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
        for _ in 0..5 {
            peer.send("ab");
            going.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        peer.hang();
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[], b""));
    assert_eq!(client.response_head().length(), Some(10));
    for _ in 0..5 {
        let mut part = Vec::new();
        client.take(2, &mut part).unwrap();
        assert_eq!(part, b"ab", "before the origin sends more");
        go_on.send(()).unwrap();
    }
}

#[test]
fn trailers_pass_both_ways_without_what_does_not_belong_there() {
    let origin = Origin::answering(|request| {
        let sum = request.trailers.iter().find(|trailer| trailer.0 == "x-sum").unwrap();
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             2\r\nok\r\n0\r\nx-sum: {}\r\ncontent-length: 7\r\nset-cookie: a=b\r\n\r\n",
            sum.1
        )
        .into()
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send(
        "POST / HTTP/1.1\r\nhost: test\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 42\r\nhost: evil\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.text().as_str(), response.complete), ("ok", true));
    assert_eq!(response.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    let request = origin.request();
    assert_eq!(request.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    assert_eq!(client.ask("GET", "/", &[], b"").status(), 502, "this one had no trailers");
}

#[test]
fn interim_responses_pass_before_the_final_one() {
    let origin = Origin::answering(|request| {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-hop\r\n\
                     x-hop: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        [hints.as_bytes(), &reply(200, &[], request.target())].concat()
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for target in ["/a", "/b"] {
        client.send(request("GET", target, &[], b""));
        let hints = client.response_head();
        assert_eq!((hints.status(), hints.value("link")), (103, Some("</a.css>")));
        assert_eq!((hints.value("x-hop"), hints.value("connection")), (None, None));
        assert_eq!(client.response_head().status(), 102);
        assert_eq!(client.response().text(), target);
    }
    client.send("GET /c HTTP/1.0\r\nhost: test\r\n\r\n");
    assert_eq!(client.response_head().status(), 200, "HTTP/1.0 knows no interim responses");
}

#[test]
fn an_answer_that_comes_early_reaches_a_client_that_is_still_sending() {
    // The origin refuses after the head, and reads on or closes.
    for reads_on in [true, false] {
        let origin = Origin::scripted(move |peer| {
            let Some(head) = peer.request_head() else { return };
            peer.send(reply(413, &[("connection", "close")], "too much"));
            if reads_on {
                peer.request_body(head);
            }
        });
        let proxy = to(&origin);
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n");
        // The answer may have come and the connection have gone meanwhile.
        let _ = client.write(vec![b'x'; MIB]);
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (413, "too much"), "{reads_on}");
    }
}

#[test]
fn an_answer_of_our_own_reaches_a_client_that_is_still_sending() {
    let origin = Origin::echo();
    let listener = "max-body-bytes = '1MiB'";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
    for framing in ["content-length: 100000000", "transfer-encoding: chunked"] {
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n400000\r\n"));
        // Whoever sends on may find the connection closed, but has the answer.
        let _ = client.write(vec![b'x'; 4 * MIB]);
        assert_eq!(client.response().status(), 413, "{framing}");
    }
}

#[test]
fn an_upload_that_the_client_breaks_off_is_not_taken_for_whole() {
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let (tell, begun) = channel();
        let origin = Origin::scripted(move |peer| {
            let Some(head) = peer.request_head() else { return };
            let _ = tell.send(());
            peer.request_body(head);
        });
        let proxy = to(&origin);
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n4\r\nhalf\r\n"));
        // Who leaves before the head has been sent has asked for nothing.
        begun.recv_timeout(PATIENCE).unwrap();
        drop(client);
        let request = {
            origin.wait_for(1);
            origin.request()
        };
        assert!(!request.complete, "{framing}: {request:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| reply(200, &[], request.target()));
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let requests: Vec<_> = (0..10).map(|n| request("GET", &format!("/{n}"), &[], b"")).collect();
    client.send(requests.concat());
    for n in 0..10 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
}

/// Writes until the other side takes no more for a while, and says how much it took.
pub(crate) fn fill(peer: &mut Peer, chunk: &[u8], taken: &AtomicUsize) {
    peer.stream().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while let Ok(bytes) = peer.stream().write(chunk) {
        taken.fetch_add(bytes, Ordering::SeqCst);
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_its_upstream_only() {
    let taken = Arc::new(AtomicUsize::new(0));
    let (counted, (stalled, stopped)) = (Arc::clone(&taken), channel());
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.request_head() else { return };
        if head.target() == "/quick" {
            return peer.send(reply(200, &[("connection", "close")], "quick"));
        }
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        fill(peer, &[b'x'; 64 << 10], &counted);
        stalled.send(()).unwrap();
        peer.hang();
    });
    let proxy = to(&origin);
    let mut slow = Client::small(proxy.address("web"));
    slow.send(request("GET", "/", &[], b""));
    stopped.recv_timeout(PATIENCE).unwrap();
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken < 32 * MIB, "{taken} bytes for nobody");
    assert_eq!(proxy.get("/quick").text(), "quick");
}

/// Sends in a thread of its own, so that both directions can move.
fn upload(client: &mut Client, body: &[u8], read: impl FnOnce(&mut Client)) {
    let mut writer = client.stream().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(body).unwrap());
        read(client);
    });
}

#[test]
fn large_bodies_flow_both_ways_at_once() {
    let origin = Origin::scripted(mirror);
    let proxy = to(&origin);
    let mut client = proxy.connect();
    let body = pattern(MIB);
    let mut chunks = Vec::new();
    for _ in 0..8 {
        write!(chunks, "{:x}\r\n", body.len()).unwrap();
        chunks.extend_from_slice(&body);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    upload(&mut client, &chunks, |client| {
        let response = client.response();
        assert!(response.complete && response.body.len() == 8 * MIB);
        assert!(response.body.chunks(MIB).all(|part| part == body));
    });
}
