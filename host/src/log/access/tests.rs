//! Lines as readers get them.

use std::fs;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use super::calls::{Cost, Label};
use super::*;
use crate::config::LogTarget;
use crate::log::id::RequestIds;
use crate::log::sink::Writer;

/// What two plugins did.
fn calls() -> Calls {
    let (route, pick) = (Label::new("by-path", "1a2b3c4d5e6f"), Label::new("a b,c", "0"));
    let (route, pick) = (Rc::new(route), Rc::new(pick));
    let cost = Cost { called: true, time: Duration::from_nanos(850), failed: None };
    let mut calls = Calls::default();
    calls.add(&route, cost);
    calls.add(&pick, Cost { failed: Some("deadline"), ..cost });
    calls.add(&pick, cost);
    calls
}

fn record<'a>(id: &'a RequestId, plugins: &'a Calls) -> AccessRecord<'a> {
    AccessRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_500),
        id,
        client: "192.0.2.7:4711",
        listener: "web",
        request: Some(RequestLine {
            method: "GET",
            target: b"/a\"\n{\"status\":200}",
            protocol: Version::HTTP_11,
            status: 502,
        }),
        bytes_up: 0,
        bytes_down: 12,
        route: Some("by-path"),
        cluster: Some("the static one"),
        endpoint: None,
        balancer: Some("hash"),
        fallback: true,
        attempts: 2,
        plugins,
        times: Times {
            queued: Some(Duration::from_millis(2)),
            connect: Some(Duration::from_micros(250)),
            ..Times::default()
        },
        error: Some("the upstream said \"no\""),
        retried: Some("127.0.0.1:1: connection refused"),
    }
}

fn written(json: bool, records: &[AccessRecord<'_>]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access");
    let thread = Writer::start(&LogTarget::File(path.clone()), Duration::from_secs(60));
    let thread = thread.unwrap();
    let log = AccessLog::new(thread.sink(), json);
    let mut writer = log.writer();
    for record in records {
        writer.record(record);
    }
    drop(writer);
    drop(thread);
    assert_eq!(log.dropped(), 0);
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_json_line_says_it_all() {
    let id = RequestIds::new().issue();
    let line = written(true, &[record(&id, &calls())]);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:01.500Z",
        "id": id.to_string(),
        "client": "192.0.2.7:4711",
        "listener": "web",
        "method": "GET",
        "target": "/a\"\n{\"status\":200}",
        "protocol": "HTTP/1.1",
        "status": 502,
        "bytes_up": 0,
        "bytes_down": 12,
        "route": "by-path",
        "cluster": "the static one",
        "balancer": "hash",
        "fallback": true,
        "attempts": 2,
        "plugins": [
            {"plugin": "by-path", "version": "1a2b3c4d5e6f", "calls": 1, "us": 0.8},
            {"plugin": "a b,c", "version": "0", "calls": 2, "us": 1.7, "failed": "deadline"},
        ],
        "queued_ms": 2.0,
        "connect_ms": 0.25,
        "retried": "127.0.0.1:1: connection refused",
        "error": "the upstream said \"no\"",
    });
    assert_eq!(value, expected);
}

#[test]
fn a_text_line_cannot_be_forged() {
    let id = RequestIds::new().issue();
    let line = written(false, &[record(&id, &calls())]);
    let expected = format!(
        "1970-01-01T00:00:01.500Z {id} 192.0.2.7:4711 web \
         \"GET /a\\\"\\x0a{{\\\"status\\\":200}} HTTP/1.1\" 502 up=0 down=12 route=by-path \
         cluster=\"the static one\" balancer=hash fallback=true attempts=2 \
         plugins=by-path@1a2b3c4d5e6f:0.8us,a\\x20b\\x2cc@0:1.7us/2!deadline queued=2.000ms \
         connect=0.250ms \
         error=\"the upstream said \\\"no\\\"\" retried=\"127.0.0.1:1: connection refused\"\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn a_connection_without_requests_has_neither_method_nor_status() {
    let (id, plugins) = (RequestIds::new().issue(), Calls::default());
    let record = AccessRecord { request: None, ..record(&id, &plugins) };
    let value: serde_json::Value = serde_json::from_str(&written(true, &[record])).unwrap();
    assert_eq!(value["protocol"], "TCP");
    assert!(["method", "target", "status"].iter().all(|key| value.get(key).is_none()), "{value}");
    let line = written(false, &[record]);
    assert!(line.contains(" 192.0.2.7:4711 web TCP up=0 down=12 route=by-path "), "{line}");
}

#[test]
fn every_request_has_its_line_whatever_its_length() {
    let mut ids = RequestIds::new();
    let target = "é".repeat(100_000);
    let ids: Vec<_> = std::iter::repeat_with(|| ids.issue()).take(50).collect();
    let plugins = Calls::default();
    let make = |id| {
        let record = record(id, &plugins);
        let request = record.request.map(|it| RequestLine { target: target.as_bytes(), ..it });
        AccessRecord { request, ..record }
    };
    let records: Vec<_> = ids.iter().map(make).collect();
    for json in [true, false] {
        let text = written(json, &records);
        assert_eq!(text.lines().count(), records.len());
        assert!(text.lines().all(|line| line.len() < 8 * MAX_TARGET_BYTES));
        assert!(
            text.lines()
                .zip(&records)
                .all(|(line, record)| { line.contains(&record.id.to_string()) })
        );
    }
}

#[test]
fn one_that_is_off_keeps_nothing() {
    let mut writer = AccessLog::off().writer();
    assert!(!writer.is_on());
    writer.record(&record(&RequestIds::new().issue(), &calls()));
    assert!(writer.buffer.is_empty());
}
