//! Clients that want to harm: their connection ends, and others are served as if nothing had been.

use super::{Http2, connect, speaking};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
    head,
};
use crate::support::{Origin, Proxy, reply};

/// How the connection ends over which this is sent for ever: the codes of GOAWAY.
fn flooded(proxy: &Proxy, mut next: impl FnMut(u32) -> Vec<u8>) -> Vec<u32> {
    let mut client = connect(proxy);
    let mut innocent = connect(proxy);
    for round in 0..100_000_u32 {
        if !client.try_send(next(round)) {
            break;
        }
        if round % 1_000 == 0 {
            assert_eq!(innocent.get(2 * round / 1_000 + 1, "/innocent").statuses, [200]);
        }
    }
    client.listen_to_end();
    client.goaways
}

/// Whether a connection was ended for what came over it. What was said of it may be lost where the
/// client went on sending.
#[track_caller]
fn is_calmed(codes: &[u32]) {
    assert!(codes.is_empty() || codes.contains(&11), "{codes:?}");
}

fn stream(round: u32) -> u32 {
    2 * round + 1
}

#[test]
fn rapid_resets_end_the_connection() {
    let origin = Origin::replying("hello");
    let proxy = speaking(origin.address());
    let reset = |round| {
        let stream = stream(round);
        [get(stream, "/rapid"), frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes())].concat()
    };
    is_calmed(&flooded(&proxy, reset));
    let rapid = origin.requests().iter().filter(|r| r.head.target() == "/rapid").count();
    assert!(rapid < 1_000, "{rapid}");
}

#[test]
fn resets_that_the_proxy_is_made_to_send_end_the_connection() {
    let origin = Origin::replying("hello");
    let proxy = speaking(origin.address());
    // A window that is not to be widened by nothing is an error of the stream.
    let made = |round| {
        let stream = stream(round);
        [get(stream, "/made"), frame(WINDOW_UPDATE, 0, stream, [0; 4])].concat()
    };
    let codes = flooded(&proxy, made);
    assert!(codes.is_empty() || codes.iter().all(|code| *code != 0), "{codes:?}");
    let made = origin.requests().iter().filter(|r| r.head.target() == "/made").count();
    assert!(made <= 1_124, "{made}");
}

#[test]
fn frames_that_do_nothing_end_the_connection() {
    let origin = Origin::replying("hello");
    let proxy = speaking(origin.address());
    for (what, bytes) in [
        ("ping", frame(PING, 0, 0, "12345678")),
        ("pong", frame(PING, 1, 0, "12345678")),
        ("settings", frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])),
        ("priority", frame(2, 0, 1, [0, 0, 0, 0, 16])),
        ("unknown", frame(77, 0, 0, "")),
        ("window", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
    ] {
        let codes = flooded(&proxy, |_| bytes.repeat(10));
        assert!(codes.is_empty() || codes == [11], "{what}: {codes:?}");
    }
}

#[test]
fn empty_data_ends_the_connection() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut open = false;
    let codes = flooded(&proxy, |_| {
        let begin = frame(HEADERS, END_HEADERS, 1, head("POST", "/", &[]));
        let data = frame(DATA, 0, 1, "").repeat(10);
        if std::mem::replace(&mut open, true) { data } else { [begin, data].concat() }
    });
    is_calmed(&codes);
}

#[test]
fn heads_that_unfold_to_much_end_the_connection() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    // One large field is put into the table, and then named again and again.
    let large = crate::support::http2::field(b"x", "y".repeat(3_900).as_bytes());
    let first = [&head("GET", "/", &[])[..], &[0x40], &large[1..]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, first));
    assert_eq!(client.answer(1).statuses, [200]);
    let bomb = [&head("GET", "/bomb", &[])[..], &[0xbe; 16_000]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, bomb));
    client.listen_to_end();
    assert!(!client.goaways.is_empty());
    assert_eq!(origin.hits(), 1);
}

#[test]
fn numbers_without_end_end_the_connection() {
    let origin = Origin::echo();
    let proxy = speaking(origin.address());
    // Nor may the table be resized again and again.
    let sizes = [&[0x20; 100][..], &head("GET", "/", &[])].concat();
    for number in [
        &[0xff_u8; 20][..],
        &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x3f, 0xe2, 0x1f],
        &sizes,
    ] {
        let mut client = connect(&proxy);
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, number));
        client.listen_to_end();
        assert!(!client.goaways.is_empty() && client.goaways[0] != 0, "{number:?}");
    }
    assert_eq!(origin.hits(), 0);
}

#[test]
fn requests_beyond_the_most_are_never_live() {
    let origin = Origin::scripted(|peer| peer.hang());
    let proxy = speaking(origin.address());
    let mut client = connect(&proxy);
    let mut stream = 1;
    for _ in 0..150 {
        client.send(get(stream, "/"));
        client.send(frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes()));
        stream += 2;
    }
    for _ in 0..100 {
        client.try_send(get(stream, "/"));
        stream += 2;
    }
    assert!(origin.open_connections() <= 100, "{}", origin.open_connections());
}

#[test]
fn a_window_of_single_bytes_costs_a_frame_each() {
    let origin = Origin::answering(|_| reply(200, &[], "x".repeat(100_000)));
    let proxy = speaking(origin.address());
    let mut client = Http2::with(proxy.address("web"), &[(4, 1)]);
    client.takes = false;
    client.send(get(1, "/"));
    let mut updates = 0;
    while client.try_send(frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])) {
        updates += 1;
        if !client.until(|client| client.answers.get(&1).is_some_and(|a| a.body.len() > updates)) {
            break;
        }
    }
    assert!(updates < 10_000, "{updates}");
}
