//! What RFC 9113 and RFC 7541 say of frames, streams and compressed fields, section by section: what is
//! in order is answered, and what is not ends the stream or the connection.

use super::{Http2, connect, speaking};
use crate::support::http2::{
    ACK, Answer, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, frame, get, head,
};
use crate::support::{Origin, Proxy, reply};

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

/// A case: the section, the bytes that are sent, and the codes with which its stream or its connection
/// may be ended.
type Case = (&'static str, Vec<u8>, &'static [u32]);

fn proxy() -> (Origin, Proxy) {
    let origin = Origin::answering(|_| reply(200, &[], "some text"));
    let proxy = speaking(origin.address());
    (origin, proxy)
}

/// Plays cases that are not in order.
#[track_caller]
fn refused(cases: Vec<Case>) {
    let (_origin, proxy) = proxy();
    let mut wrong = Vec::new();
    for (section, bytes, codes) in cases {
        let mut client = connect(&proxy);
        client.try_send(bytes);
        let reset = |client: &Http2| client.answers.values().find_map(|answer| answer.reset);
        client.until(|client| reset(client).is_some() || !client.goaways.is_empty());
        let code = reset(&client).or_else(|| client.goaways.first().copied());
        if !code.is_some_and(|code| codes.contains(&code)) {
            wrong.push(format!("{section}: {code:?}, not {codes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays cases that are: after which a request of stream 99 is answered.
#[track_caller]
fn accepted(cases: Vec<(&'static str, Vec<u8>)>) {
    let (_origin, proxy) = proxy();
    for (section, bytes) in cases {
        let mut client = connect(&proxy);
        client.send(bytes);
        let Answer { statuses, whole, .. } = client.get(99, "/");
        assert!(statuses == [200] && whole, "{section}: {client:?}");
    }
}

fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, head("POST", "/", &[]))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes())
}

fn settings(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, payload)
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// A head of these bytes.
fn block(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes)
}

fn plain() -> Vec<u8> {
    head("GET", "/", &[])
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn frames_of_whatever_kind_and_flags_are_taken() {
    let large = vec![b'x'; 1 << 14];
    accepted(vec![
        ("4.1 unknown kind", frame(0x16, 0, 0, "12345678")),
        ("4.1 unknown flags", frame(PING, 0x16, 0, "12345678")),
        ("4.1 reserved bit", frame(PING, 0, 1 << 31, "12345678")),
        ("4.2 the largest frame", joined(&[open(1), frame(DATA, END_STREAM, 1, large)])),
        ("5.1 closed: PRIORITY", joined(&[get(1, "/"), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 15])])),
        ("5.1 idle: PRIORITY", frame(PRIORITY, 0, 5, [0, 0, 0, 0, 15])),
        ("5.1 half-closed: WINDOW_UPDATE", joined(&[get(1, "/"), window(1, 9)])),
        ("5.1 closed: RST_STREAM", joined(&[get(1, "/"), reset(1)])),
        ("6.1 padding", joined(&[open(1), frame(DATA, END_STREAM | PADDED, 1, [2, b'x', 0, 0])])),
        ("6.2 priority", {
            let payload = [&[0, 0, 0, 0, 15][..], &plain()].concat();
            frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, payload)
        }),
        ("6.5.2 unknown setting", settings(0xff, 1)),
        ("6.5.3 settings twice", joined(&[settings(4, 100), settings(4, 1 << 20)])),
        ("6.7 PING", frame(PING, 0, 0, "12345678")),
        ("6.7 PING that acknowledges", frame(PING, ACK, 0, "12345678")),
        ("6.10 parts of a head", {
            let head = plain();
            joined(&[
                frame(HEADERS, END_STREAM, 1, &head[..9]),
                frame(CONTINUATION, 0, 1, &head[9..20]),
                frame(CONTINUATION, END_HEADERS, 1, &head[20..]),
            ])
        }),
        ("7 unknown code", joined(&[open(1), frame(RST_STREAM, 0, 1, 255_u32.to_be_bytes())])),
        ("8.1 trailers", {
            let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(&[("x-test", "ok")]));
            joined(&[open(1), frame(DATA, 0, 1, "test"), trailers])
        }),
        ("8.1.1 length", {
            let head = head("POST", "/", &[("content-length", "4")]);
            joined(&[frame(HEADERS, END_HEADERS, 1, head), frame(DATA, END_STREAM, 1, "test")])
        }),
    ]);
}

#[test]
fn frames_out_of_place_are_refused() {
    let data = |stream| frame(DATA, END_STREAM, stream, "test");
    let part = || frame(HEADERS, END_STREAM, 1, plain());
    let rest = |stream| frame(CONTINUATION, END_HEADERS, stream, fields(&[("x", "y")]));
    refused(vec![
        ("5.1 idle: DATA", data(1), &[PROTOCOL]),
        ("5.1 idle: RST_STREAM", reset(1), &[PROTOCOL]),
        ("5.1 idle: WINDOW_UPDATE", window(1, 100), &[PROTOCOL]),
        ("5.1 idle: CONTINUATION", rest(1), &[PROTOCOL]),
        ("5.1 half-closed: DATA", joined(&[get(1, "/"), data(1)]), &[CLOSED, PROTOCOL]),
        ("5.1 half-closed: HEADERS", joined(&[get(1, "/"), get(1, "/")]), &[CLOSED, PROTOCOL]),
        ("5.1 half-closed: CONTINUATION", joined(&[get(1, "/"), rest(1)]), &[CLOSED, PROTOCOL]),
        ("5.1 reset: DATA", joined(&[open(1), reset(1), data(1)]), &[CLOSED]),
        ("5.1 reset: HEADERS", joined(&[open(1), reset(1), get(1, "/")]), &[CLOSED, PROTOCOL]),
        ("5.1 reset: CONTINUATION", joined(&[open(1), reset(1), rest(1)]), &[CLOSED, PROTOCOL]),
        ("5.1.1 even", get(2, "/"), &[PROTOCOL]),
        ("5.1.1 decreasing", joined(&[get(5, "/"), get(3, "/")]), &[PROTOCOL]),
        ("5.5 unknown kind within a head", joined(&[part(), frame(0x16, 0, 0, "")]), &[PROTOCOL]),
        ("6.1 stream 0", data(0), &[PROTOCOL]),
        ("6.2 stream 0", get(0, "/"), &[PROTOCOL]),
        (
            "6.2 PRIORITY within a head",
            joined(&[part(), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1])]),
            &[PROTOCOL],
        ),
        ("6.2 another within a head", joined(&[part(), get(3, "/")]), &[PROTOCOL]),
        ("6.3 stream 0", frame(PRIORITY, 0, 0, [0, 0, 0, 0, 1]), &[PROTOCOL]),
        ("6.4 stream 0", reset(0), &[PROTOCOL]),
        ("6.5 stream 1", frame(SETTINGS, 0, 1, [0, 3, 0, 0, 0, 1]), &[PROTOCOL]),
        (
            "6.6 PUSH_PROMISE",
            joined(&[
                get(1, "/"),
                frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &plain()].concat()),
            ]),
            &[PROTOCOL],
        ),
        ("6.7 stream 1", frame(PING, 0, 1, "12345678"), &[PROTOCOL]),
        ("6.8 stream 1", frame(GOAWAY, 0, 1, [0; 8]), &[PROTOCOL]),
        ("6.10 DATA within a head", joined(&[frame(HEADERS, 0, 1, plain()), data(1)]), &[PROTOCOL]),
        ("6.10 stream 0", joined(&[part(), rest(0)]), &[PROTOCOL]),
        ("6.10 after the head", joined(&[open(1), rest(1)]), &[PROTOCOL]),
        ("6.10 after the last part", joined(&[part(), rest(1), rest(1)]), &[PROTOCOL, CLOSED]),
        ("6.10 after DATA", joined(&[open(1), data(1), rest(1)]), &[PROTOCOL, CLOSED]),
        ("8.1 a second head", joined(&[open(1), open(1)]), &[PROTOCOL]),
    ]);
}

#[test]
fn frames_of_a_wrong_size_are_refused() {
    let large = vec![b'x'; (1 << 14) + 1];
    let field = [("x", "y".repeat(1 << 14))];
    let field = [(field[0].0, &*field[0].1)];
    refused(vec![
        ("4.2 DATA", joined(&[open(1), frame(DATA, END_STREAM, 1, &large)]), &[SIZE]),
        ("4.2 HEADERS", block(head("GET", "/", &field)), &[SIZE]),
        (
            "6.1 padding",
            joined(&[open(1), frame(DATA, PADDED, 1, [6, b't', b'e', b's', b't'])]),
            &[PROTOCOL],
        ),
        ("6.2 padding", frame(HEADERS, END_HEADERS | PADDED, 1, [9, 0x82, 0x86]), &[PROTOCOL]),
        ("6.3", frame(PRIORITY, 0, 1, [0; 4]), &[SIZE, PROTOCOL]),
        ("6.4", joined(&[open(1), frame(RST_STREAM, 0, 1, [0; 3])]), &[SIZE, PROTOCOL]),
        ("6.5 of an acknowledgement", frame(SETTINGS, ACK, 0, [0; 6]), &[SIZE, PROTOCOL]),
        ("6.5", frame(SETTINGS, 0, 0, [0; 3]), &[SIZE, PROTOCOL]),
        ("6.7", frame(PING, 0, 0, "123456"), &[SIZE, PROTOCOL]),
        ("6.9", frame(WINDOW_UPDATE, 0, 0, [0; 3]), &[SIZE, PROTOCOL]),
    ]);
}

#[test]
fn values_out_of_range_are_refused() {
    const MOST: u32 = (1 << 31) - 1;
    let own = [0, 0, 0, 1, 15];
    let with_own = [&own[..], &plain()].concat();
    refused(vec![
        (
            "5.3.1 HEADERS",
            frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, with_own),
            &[PROTOCOL],
        ),
        ("5.3.1 PRIORITY", joined(&[open(1), frame(PRIORITY, 0, 1, own)]), &[PROTOCOL]),
        ("6.5.2 ENABLE_PUSH", settings(2, 2), &[PROTOCOL]),
        ("6.5.2 INITIAL_WINDOW_SIZE", settings(4, 1 << 31), &[FLOW, PROTOCOL]),
        ("6.5.2 MAX_FRAME_SIZE too small", settings(5, (1 << 14) - 1), &[PROTOCOL]),
        ("6.5.2 MAX_FRAME_SIZE too large", settings(5, 1 << 24), &[PROTOCOL]),
        ("6.9 none, connection", window(0, 0), &[PROTOCOL]),
        ("6.9 none, stream", joined(&[open(1), window(1, 0)]), &[PROTOCOL]),
        ("6.9.1 too much, connection", joined(&[window(0, MOST), window(0, MOST)]), &[FLOW]),
        ("6.9.1 too much, stream", joined(&[open(1), window(1, MOST), window(1, MOST)]), &[FLOW]),
        (
            "6.9.2 too much by settings",
            joined(&[open(1), window(1, MOST - 65_535), settings(4, 65_536)]),
            &[FLOW],
        ),
        (
            "8.1.1 length",
            {
                let head = head("POST", "/", &[("content-length", "1")]);
                joined(&[frame(HEADERS, END_HEADERS, 1, head), frame(DATA, END_STREAM, 1, "test")])
            },
            &[PROTOCOL],
        ),
        (
            "8.1.1 length of several",
            {
                let head = head("POST", "/", &[("content-length", "1")]);
                let data = [frame(DATA, 0, 1, "te"), frame(DATA, END_STREAM, 1, "st")].concat();
                joined(&[frame(HEADERS, END_HEADERS, 1, head), data])
            },
            &[PROTOCOL],
        ),
        (
            "8.3 :status",
            block(fields(&[
                (":status", "200"),
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
            ])),
            &[PROTOCOL],
        ),
    ]);
}

#[test]
fn fields_that_cannot_be_decompressed_are_refused() {
    let after = |bytes: &[u8]| block([&plain(), bytes].concat());
    let codes = &[COMPRESSION, PROTOCOL];
    refused(vec![
        ("4.3 no field", block([0x00, 0xff]), codes),
        ("2.3.3 no such place", after(&[0xc6]), codes),
        ("2.3.3 no such name", after(&[0x7f, 0x16, 0x01, b'x']), codes),
        ("4.2 the size at the end", after(&[0x20]), codes),
        (
            "5.2 padding of eight bits",
            after(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
            codes,
        ),
        ("5.2 padding of zeros", after(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), codes),
        (
            "5.2 the end of texts",
            after(b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),
            codes,
        ),
        ("6.1 place 0", after(&[0x80]), codes),
        ("6.3 a larger table", block([&[0x3f, 0xe2, 0x1f][..], &plain()].concat()), codes),
    ]);
}

#[test]
fn a_ping_is_answered_as_it_was_sent() {
    let (_origin, proxy) = proxy();
    let mut client = connect(&proxy);
    client.send(frame(PING, 0, 0, "whatever"));
    loop {
        let came = client.frame().unwrap();
        if came.kind == PING {
            assert_eq!((came.flags, &came.payload[..]), (ACK, &b"whatever"[..]));
            return;
        }
    }
}

#[test]
fn a_wrong_preface_ends_the_connection() {
    let origin = Origin::echo();
    let config = crate::support::one_cluster(&[origin.address()], "http-versions = ['h2']", "");
    let proxy = Proxy::start(&config);
    let mut client = Http2::raw(proxy.address("web"));
    client.send("INVALID CONNECTION PREFACE\r\n\r\n");
    client.listen_to_end();
    assert_eq!(origin.hits(), 0);
}

#[test]
fn whoever_does_not_speak_http2_is_closed_in_order_and_not_reset() {
    let origin = Origin::echo();
    let config = crate::support::one_cluster(&[origin.address()], "http-versions = ['h2']", "");
    let proxy = Proxy::start(&config);
    for _ in 0..20 {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\nand what was not read of it");
        assert!(client.ends_in_order(), "a reset");
    }
    assert_eq!(origin.hits(), 0);
}
