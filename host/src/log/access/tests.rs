//! Lines as readers get them.

use std::fs;
use std::time::UNIX_EPOCH;

use super::*;
use crate::config::LogTarget;
use crate::log::id::RequestIds;
use crate::log::sink::Writer;

fn record(id: &RequestId) -> AccessRecord<'_> {
    AccessRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_500),
        id,
        client: "192.0.2.7:4711",
        listener: "web",
        method: "GET",
        target: b"/a\"\n{\"status\":200}",
        protocol: Version::HTTP_11,
        status: 502,
        bytes_up: 0,
        bytes_down: 12,
        route: Some("by-path"),
        cluster: Some("the static one"),
        endpoint: None,
        attempts: 2,
        times: Times { connect: Some(Duration::from_micros(250)), ..Times::default() },
        error: Some("the upstream said \"no\""),
    }
}

fn written(json: bool, records: &[AccessRecord<'_>]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access");
    let thread = Writer::start(&LogTarget::File(path.clone()), Duration::from_secs(60));
    let thread = thread.unwrap();
    let log = AccessLog::new(thread.sink().clone(), json);
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
    let line = written(true, &[record(&id)]);
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
        "attempts": 2,
        "connect_ms": 0.25,
        "total_ms": 0.0,
        "error": "the upstream said \"no\"",
    });
    assert_eq!(value, expected);
}

#[test]
fn a_text_line_cannot_be_forged() {
    let id = RequestIds::new().issue();
    let line = written(false, &[record(&id)]);
    let expected = format!(
        "1970-01-01T00:00:01.500Z {id} 192.0.2.7:4711 web \
         \"GET /a\\\"\\x0a{{\\\"status\\\":200}} HTTP/1.1\" 502 up=0 down=12 route=by-path \
         cluster=\"the static one\" attempts=2 connect=0.250ms total=0.000ms \
         error=\"the upstream said \\\"no\\\"\"\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn every_request_has_its_line_whatever_its_length() {
    let mut ids = RequestIds::new();
    let target = "é".repeat(100_000);
    let ids: Vec<_> = std::iter::repeat_with(|| ids.issue()).take(50).collect();
    let make = |id| AccessRecord { target: target.as_bytes(), ..record(id) };
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
    writer.record(&record(&RequestIds::new().issue()));
    assert!(writer.buffer.is_empty());
}
