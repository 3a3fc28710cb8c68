//! Upstreams that do not keep to HTTP/2: each costs its own connection and requests, and nothing hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::before;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, OK, PING, PUSH_PROMISE,
    RST_STREAM, Raw, SETTINGS, block, literal, server,
};
use crate::support::{Proxy, eventually, one_cluster};

type Deed = fn(&mut Raw, u32);

/// What a client gets of an upstream that does this to a request.
#[track_caller]
fn meets(what: &str, deed: Deed) -> (u16, bool) {
    let address = server(move |raw| {
        while let Some(stream) = raw.request() {
            deed(raw, stream);
        }
    });
    let proxy = before(address, "response-timeout = '5s'\nbody-timeout = '5s'");
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    let response = client.response();
    assert!(!response.text().contains("evil"), "{what}: {response:?}");
    (response.status(), response.complete)
}

fn answer(raw: &mut Raw, stream: u32, fields: &[(&str, &[u8])], body: &[u8]) {
    raw.frame(HEADERS, END_HEADERS, stream, &block(fields));
    raw.frame(DATA, END_STREAM, stream, body);
}

#[test]
fn malformed_heads_get_502() {
    let deeds: [(&str, Deed); 16] = [
        ("a CR in a value", |raw, stream| answer(raw, stream, &[("a", b"b\rc")], b"evil")),
        ("a LF in a value", |raw, stream| answer(raw, stream, &[("a", b"b\nevil: c")], b"evil")),
        ("a NUL in a value", |raw, stream| answer(raw, stream, &[("a", b"b\0c")], b"evil")),
        ("a blank before a value", |raw, stream| answer(raw, stream, &[("a", b" b")], b"evil")),
        ("a name with capitals", |raw, stream| answer(raw, stream, &[("Evil", b"b")], b"evil")),
        ("a name with a colon", |raw, stream| answer(raw, stream, &[("a:b", b"c")], b"evil")),
        ("an empty name", |raw, stream| answer(raw, stream, &[("", b"c")], b"evil")),
        ("Connection", |raw, stream| answer(raw, stream, &[("connection", b"close")], b"evil")),
        ("Transfer-Encoding", |raw, stream| {
            answer(raw, stream, &[("transfer-encoding", b"chunked")], b"evil");
        }),
        ("Upgrade", |raw, stream| answer(raw, stream, &[("upgrade", b"evil")], b"evil")),
        ("a length that is none", |raw, stream| {
            answer(raw, stream, &[("content-length", b"+4")], b"evil");
        }),
        ("two lengths", |raw, stream| {
            let twice: [(&str, &[u8]); 2] = [("content-length", b"4"), ("content-length", b"4")];
            answer(raw, stream, &twice, b"evil");
        }),
        ("no status", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS | END_STREAM, stream, &literal("a", b"b"));
        }),
        ("a pseudo-field after others", |raw, stream| {
            let mut fields = literal("a", b"b");
            fields.push(OK);
            raw.frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields);
        }),
        ("a switch of protocols", |raw, stream| {
            let switch = literal(":status", b"101");
            raw.frame(HEADERS, END_HEADERS, stream, &switch);
        }),
        ("interim responses without end", |raw, stream| {
            let interim = literal(":status", b"103");
            while raw.frame(HEADERS, END_HEADERS, stream, &interim) {}
        }),
    ];
    for (what, deed) in deeds {
        assert_eq!(meets(what, deed), (502, true), "{what}");
    }
}

#[test]
fn heads_that_are_too_large_get_502_and_the_log_names_the_limit() {
    for (limit, fields) in [
        ("max-response-head-bytes = 8KiB", vec![("a", 9 << 10)]),
        ("max-response-headers = 3", vec![("a", 1), ("b", 1), ("c", 1), ("d", 1)]),
    ] {
        let fields: Vec<u8> =
            fields.iter().flat_map(|(name, size)| literal(name, &vec![b'x'; *size])).collect();
        let address = server(move |raw| {
            while let Some(stream) = raw.request() {
                let block = [&[OK][..], &fields].concat();
                raw.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
            }
        });
        let (key, value) = limit.split_once(" = ").unwrap();
        let value = if value.ends_with("KiB") { format!("'{value}'") } else { value.to_owned() };
        let proxy = before(address, &format!("{key} = {value}"));
        assert_eq!(proxy.get("/").status(), 502);
        let line = proxy.access(1).remove(0);
        let reason = line["error"].as_str().unwrap();
        assert!(reason.contains(key), "{reason}");
    }
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let deeds: [(&str, Deed); 9] = [
        ("no frame", |raw, _| {
            raw.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        }),
        ("DATA before a head", |raw, stream| {
            raw.frame(DATA, END_STREAM, stream, b"evil");
        }),
        ("a promise", |raw, stream| {
            let promise = [&2_u32.to_be_bytes()[..], &[0x82, 0x84, 0x86]].concat();
            raw.frame(PUSH_PROMISE, END_HEADERS, stream, &promise);
        }),
        ("a response to nothing", |raw, stream| {
            raw.answer(stream + 2, b"evil");
        }),
        ("a stream of its own", |raw, _| {
            raw.answer(2, b"evil");
        }),
        ("HPACK that is none", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        }),
        ("CONTINUATION without end", |raw, stream| {
            raw.frame(HEADERS, 0, stream, &[OK]);
            while raw.frame(CONTINUATION, 0, stream, &literal("a", &[b'x'; 1000])) {}
        }),
        ("a frame larger than allowed", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
            raw.frame(PING, 0, 0, &[0; 20_000]);
        }),
        ("a window that is none", |raw, stream| {
            raw.frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]);
            raw.answer(stream, b"evil");
        }),
    ];
    for (what, deed) in deeds {
        let (status, complete) = meets(what, deed);
        assert!(status == 502 || !complete, "{what}: {status}, {complete}");
    }
}

#[test]
fn bodies_that_break_the_rules_break_off() {
    let deeds: [(&str, Deed); 5] = [
        ("less than its length", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &block(&[("content-length", b"9")]));
            raw.frame(DATA, 0, stream, b"some");
            raw.frame(DATA, END_STREAM, stream, b"");
        }),
        ("more than its length", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &block(&[("content-length", b"9")]));
            raw.frame(DATA, 0, stream, b"some");
            raw.frame(DATA, END_STREAM, stream, b"more and more");
        }),
        ("a reset without a reason", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
            raw.frame(DATA, 0, stream, b"some");
            raw.frame(RST_STREAM, 0, stream, &[0; 4]);
        }),
        ("trailers that are too many", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
            raw.frame(DATA, 0, stream, b"some");
            let trailers: Vec<u8> =
                (0..200).flat_map(|n| literal(&format!("a{n}"), b"evil")).collect();
            raw.frame(HEADERS, END_HEADERS | END_STREAM, stream, &trailers);
        }),
        ("trailers in the middle", |raw, stream| {
            raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
            raw.frame(DATA, 0, stream, b"some");
            raw.frame(HEADERS, END_HEADERS, stream, &literal("a", b"b"));
            raw.frame(DATA, END_STREAM, stream, b"evil");
        }),
    ];
    for (what, deed) in deeds {
        let (status, complete) = meets(what, deed);
        assert!(status == 502 || !complete, "{what}: {status}, {complete}");
    }
}

#[test]
fn data_beyond_what_was_granted_is_not_kept() {
    const FLOW_CONTROL_ERROR: [u8; 4] = [0, 0, 0, 3];
    let over = Arc::new(AtomicBool::new(false));
    let of_server = Arc::clone(&over);
    let address = server(move |raw| {
        let Some(stream) = raw.request() else { return };
        raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
        for _ in 0..64 {
            raw.frame(DATA, 0, stream, &[b'x'; 16 << 10]);
        }
        let reset = |frame: &Frame| (frame.kind, frame.stream) == (RST_STREAM, stream);
        let frames = std::iter::from_fn(|| raw.read());
        let found = { frames }.find(reset).is_some_and(|frame| frame.payload == FLOW_CONTROL_ERROR);
        of_server.store(found, Ordering::SeqCst);
    });
    let proxy = before(address, "");
    // A client that reads nothing grants the upstream nothing.
    let mut client = crate::support::Client::small(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually("the stream to be reset", || over.load(Ordering::SeqCst).then_some(()));
    assert!(!client.response().complete);
}

#[test]
fn one_that_gives_no_sign_of_life_is_asked_for_nothing_more() {
    let address = server(|raw| {
        while let Some(stream) = raw.request() {
            if raw.number > 0 {
                raw.answer(stream, b"alive");
            }
        }
    });
    let proxy = before(address, "response-timeout = '200ms'");
    assert_eq!(proxy.get("/").status(), 504);
    // While the first waited its SETTINGS were acknowledged, which is a sign.
    eventually("another connection", || (proxy.get("/").text() == "alive").then_some(()));
}

#[test]
fn malformed_answers_of_one_do_not_cost_others_theirs() {
    let waits = Arc::new(AtomicBool::new(false));
    let of_server = Arc::clone(&waits);
    let address = server(move |raw| {
        let Some(patient) = raw.request() else { return };
        if raw.number > 0 {
            raw.answer(patient, b"fine");
            return;
        }
        of_server.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            let Some(stream) = raw.request() else { return };
            answer(raw, stream, &[("connection", b"close")], b"evil");
        }
        raw.answer(patient, b"patient");
        raw.rest();
    });
    let proxy = before(address, "");
    let mut patient = proxy.connect();
    patient.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    eventually("it to wait", || waits.load(Ordering::SeqCst).then_some(()));
    for _ in 0..10 {
        assert_eq!(proxy.connect().ask("POST", "/", &[], b"").status(), 502);
    }
    assert_eq!(patient.response().text(), "patient");
    assert_eq!(proxy.get("/").text(), "fine", "over another connection");
}

#[test]
fn a_flood_of_an_upstream_costs_others_nothing() {
    let ping = crate::support::frames::frame(PING, 0, 0, b"evilevil").repeat(1000);
    let settings = crate::support::frames::frame(SETTINGS, 0, 0, &[]).repeat(1000);
    let empty = |stream| crate::support::frames::frame(DATA, 0, stream, b"").repeat(1000);
    let stop = Arc::new(AtomicBool::new(false));
    let of_server = Arc::clone(&stop);
    let address = server(move |raw| {
        let Some(stream) = raw.request() else { return };
        raw.frame(HEADERS, END_HEADERS, stream, &[OK]);
        let flood = match raw.number % 3 {
            0 => ping.clone(),
            1 => settings.clone(),
            _ => empty(stream),
        };
        raw.ignore_what_comes();
        while !of_server.load(Ordering::SeqCst) && raw.write(&flood) {}
    });
    let other = crate::support::Origin::replying("ok");
    let configuration = one_cluster(&[address], "", "protocol = 'h2'\nbody-timeout = '1s'");
    let others = format!(
        "[listeners.other]\nbind = '127.0.0.1:0'\ndefault-cluster = 'other'\n\
         [clusters.other]\nendpoints = ['{}']\n",
        other.address()
    );
    let proxy = Proxy::start(&format!("{configuration}{others}"));
    for _ in 0..3 {
        let mut flooded = proxy.connect();
        flooded.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        for _ in 0..20 {
            let response = crate::support::Client::connect(proxy.address("other")).get("/");
            assert_eq!(response.text(), "ok");
        }
        let response = flooded.response();
        assert!(!response.complete || response.status() == 502, "{response:?}");
    }
    stop.store(true, Ordering::SeqCst);
}

#[test]
fn goodbyes_are_understood() {
    // Streams above the last that it names were not begun.
    let address = server(|raw| {
        while let Some(stream) = raw.request() {
            if raw.number == 0 && stream > 1 {
                raw.frame(GOAWAY, 0, 0, &[[0, 0, 0, 1], [0; 4]].concat());
                raw.rest();
                return;
            }
            raw.answer(stream, if raw.number == 0 { b"first" } else { b"other" });
        }
    });
    let proxy = before(address, "");
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "first");
    assert_eq!(client.ask("POST", "/", &[], b"body").text(), "other");
}

#[test]
fn who_is_silent_when_it_should_say_how_it_speaks_is_not_waited_for() {
    let address = crate::support::frames::bare(|raw| {
        raw.rest();
    });
    let proxy = before(address, "connect-timeout = '200ms'");
    assert_eq!(proxy.get("/").status(), 503);
    let line = proxy.access(1).remove(0);
    assert!(line["error"].as_str().unwrap().contains("connect-timeout"), "{line}");
}

#[test]
fn an_upstream_that_says_goodbye_at_once_is_not_asked_for_ever() {
    let address = server(|raw| {
        raw.frame(GOAWAY, 0, 0, &[0; 8]);
        raw.rest();
    });
    let proxy = before(address, "");
    let status = eventually("an answer", || Some(proxy.get("/").status()));
    assert!(matches!(status, 502 | 503), "{status}");
}
