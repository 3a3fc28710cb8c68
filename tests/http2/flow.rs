//! Flow control: nothing is sent that nobody has room for, and nothing is kept that nobody takes.

use super::{connect, speaking, speaking_with};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, SETTINGS, WINDOW_UPDATE, frame, get, head,
};
use crate::support::{Origin, eventually, reply};

const MUCH: usize = 3 << 20;

/// Bytes of which each shows where it stands.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

#[test]
fn large_bodies_go_through_whole() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send(frame(HEADERS, END_HEADERS, 1, head("POST", "/", &[])));
    let body = bytes(MUCH);
    let mut window = 65_535_i64;
    let mut connection = 65_535_i64;
    // As much as the proxy has room for.
    let mut pieces = body.chunks(16 << 10).peekable();
    while let Some(piece) = pieces.next() {
        let length = i64::try_from(piece.len()).unwrap();
        while window.min(connection) < length {
            let came = client.frame().unwrap();
            match came.kind {
                WINDOW_UPDATE => {
                    let more = i64::from(u32::from_be_bytes(came.payload.try_into().unwrap()));
                    let of = if came.stream == 0 { &mut connection } else { &mut window };
                    *of += more;
                }
                SETTINGS if came.flags == 0 => {
                    // The proxy's own windows are larger than usual.
                    for setting in came.payload.chunks(6) {
                        if setting[..2] == [0, 4] {
                            let size = u32::from_be_bytes(setting[2..].try_into().unwrap());
                            window += i64::from(size) - 65_535;
                        }
                    }
                    client.send(frame(SETTINGS, 1, 0, ""));
                }
                _ => {}
            }
        }
        window -= length;
        connection -= length;
        let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
        client.send(frame(DATA, flags, 1, piece));
    }
    let answer = client.answer(1);
    assert!(answer.whole && answer.body == body, "{} bytes", answer.body.len());
}

#[test]
fn large_answers_come_beside_each_other_in_order() {
    // More than is gathered before it is sent, of several streams, in pieces that fit nowhere.
    let origin = Origin::answering(|_| reply(200, &[], bytes(MUCH)));
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    client.send([get(1, "/"), get(3, "/"), get(5, "/"), get(7, "/")].concat());
    for stream in [1, 3, 5, 7] {
        let answer = client.answer(stream);
        assert!(answer.whole && answer.body == bytes(MUCH), "{} bytes", answer.body.len());
    }
}

#[test]
fn a_window_is_never_exceeded() {
    let origin = Origin::answering(|_| reply(200, &[], bytes(100)));
    let proxy = speaking(origin.address());
    // As in 6.9.2 of RFC 9113: windows of one byte, of two and of none.
    let mut client = Http2::with(proxy.address("web"), &[(4, 1)]);
    client.takes = false;
    client.send(get(1, "/"));
    client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.body.len() == 1));
    client.send(frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 3]));
    client.until(|client| client.answers[&1].body.len() == 3);
    client.send(frame(WINDOW_UPDATE, 0, 1, 97_u32.to_be_bytes()));
    let answer = client.answer(1);
    assert!(answer.whole && answer.body == bytes(100));
}

#[test]
fn an_end_needs_no_window() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let origin = Origin::scripted(move |peer| {
        if peer.request().is_none() {
            return;
        }
        let _ = peer.write(head);
        // The client has no room for more than this.
        let _ = peer.write("0\r\n\r\n");
        peer.hang();
    });
    let proxy = speaking(origin.address());
    let mut client = Http2::with(proxy.address("web"), &[(4, 5)]);
    client.takes = false;
    client.send(get(1, "/"));
    let answer = client.answer(1);
    assert!(answer.whole && answer.body == b"hello");
}

#[test]
fn what_a_client_does_not_take_is_left_with_the_upstream() {
    let origin = Origin::scripted(|peer| {
        if peer.request().is_none() {
            return;
        }
        let _ = peer.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let piece = bytes(64 << 10);
        let mut written = 0;
        let pause = std::time::Duration::from_secs(1);
        peer.stream().set_write_timeout(Some(pause)).unwrap();
        while peer.write(&piece).is_ok() {
            written += piece.len();
        }
        peer.record(crate::support::Message { body: vec![0; written], ..Default::default() });
        peer.hang();
    });
    let proxy = speaking(origin.address());
    let mut client = Http2::with(proxy.address("web"), &[(4, 1 << 30)]);
    client.send(frame(WINDOW_UPDATE, 0, 0, (1_u32 << 30).to_be_bytes()));
    client.send(get(1, "/"));
    let written = eventually("the upstream to be held back", || {
        origin.requests().get(1).map(|request| request.body.len())
    });
    assert!(written < 64 << 20, "{written}");
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let origin = Origin::answering(|_| reply(200, &[], bytes(16 << 20)));
    let proxy = speaking_with(origin.address(), "body-timeout = '1s'", "");
    let mut client = Http2::with(proxy.address("web"), &[(4, 1 << 30)]);
    client.send(frame(WINDOW_UPDATE, 0, 0, (1_u32 << 30).to_be_bytes()));
    client.send(get(1, "/"));
    let why = proxy.access(1)[0]["error"].as_str().unwrap().to_owned();
    assert!(why.starts_with("the client took nothing for body-timeout = 1s"), "{why}");
}
