//! The cases of HTTP/2 as they stand in `cases.json`, each within the bounds that it has.

use std::net::SocketAddr;

use serde::Deserialize;

use super::{Http2, speaking_with};
use crate::cases::file::expanded;
use crate::support::http2::{END_HEADERS, HEADERS, frame, head};
use crate::support::{Origin, eventually};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    bytes: String,
    expect: String,
    rfc: String,
    #[serde(default)]
    allow_status: Vec<u16>,
    upstream_max: Option<usize>,
}

fn cases() -> Vec<Case> {
    let file: File = serde_json::from_str(include_str!("cases.json")).unwrap();
    assert_eq!(file.cases.len(), 25);
    file.cases
}

/// What becomes of a case's stream: its status, or that it or the connection was ended.
fn played(case: &Case, proxy: SocketAddr) -> Option<u16> {
    let mut client = Http2::raw(proxy);
    client.try_send(expanded(&case.bytes));
    client.until(|client| {
        let over = |answer: &crate::support::http2::Answer| answer.whole || answer.reset.is_some();
        client.answers.get(&1).is_some_and(over) || !client.goaways.is_empty()
    });
    let answer = client.answers.get(&1).cloned().unwrap_or_default();
    answer.statuses.last().copied().filter(|_| answer.reset.is_none())
}

/// Whoever has not sent such a thing is served.
fn innocent(proxy: SocketAddr) {
    assert_eq!(Http2::connect(proxy).get(1, "/innocent").statuses, [200]);
}

#[test]
fn malformed_requests_reach_nobody() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| !case.allow_status.is_empty()) {
        let origin = Origin::echo();
        let proxy = speaking_with(origin.address(), "", "");
        let status = played(case, proxy.address("web"));
        innocent(proxy.address("web"));
        if status != Some(200) {
            let errors = || proxy.counter("linkspan_errors", &[]);
            eventually("the refusal to be counted", || (errors() > 0).then_some(()));
        }
        let reached = origin.requests().iter().filter(|r| r.head.target() != "/innocent").count();
        let fits = match status {
            Some(status) => case.allow_status.contains(&status),
            None => case.allow_status.contains(&400),
        };
        if !fits || reached > case.upstream_max.unwrap_or(usize::MAX) {
            let Case { id, rfc, expect, .. } = case;
            wrong.push(format!("{id} ({rfc}): {status:?}, {reached} upstream: {expect}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn case(id: &str) -> Case {
    cases().into_iter().find(|case| case.id == id).unwrap()
}

#[test]
fn crumbs_of_a_cookie_are_joined() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "", "");
    assert_eq!(played(&case("h2-039-cookie-crumbs"), proxy.address("web")), Some(200));
    assert_eq!(origin.request().head.values("cookie"), ["a=1; b=2"]);
}

#[test]
fn floods_of_head_parts_end_the_connection() {
    for id in ["h2-029-continuation-flood", "h2-030-empty-continuation-flood"] {
        let origin = Origin::echo();
        let proxy = speaking_with(origin.address(), "", "");
        assert_eq!(played(&case(id), proxy.address("web")), None, "{id}");
        innocent(proxy.address("web"));
        assert_eq!(origin.hits(), 1);
    }
}

#[test]
fn a_flood_of_settings_ends_the_connection() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "", "");
    let mut client = Http2::raw(proxy.address("web"));
    client.try_send(expanded(&case("h2-032-settings-flood").bytes));
    client.listen_to_end();
    innocent(proxy.address("web"));
}

#[test]
fn a_client_without_a_window_waits_for_its_answer() {
    let origin = Origin::replying("hello");
    let proxy = speaking_with(origin.address(), "body-timeout = '1s'", "");
    let mut client = Http2::raw(proxy.address("web"));
    client.send(expanded(&case("h2-035-window-zero").bytes));
    let answer = client.answer(1);
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[200][..], &b""[..]));
    // It is given up, and told so.
    assert_eq!((answer.whole, answer.reset), (false, Some(8)));
    eventually("the upstream to be free", || (origin.open_connections() <= 1).then_some(()));
    let line = &proxy.access(1)[0];
    let why = line["error"].as_str().unwrap();
    assert!(why.starts_with("the client took nothing for body-timeout = 1s"), "{why}");
}

#[test]
fn streams_beyond_the_most_are_refused() {
    let origin = Origin::scripted(|peer| peer.hang());
    let proxy = speaking_with(origin.address(), "", "");
    let mut client = Http2::connect(proxy.address("web"));
    // As h2-036-too-many-streams has it.
    for stream in (1..1_000).step_by(2) {
        client.send(frame(HEADERS, END_HEADERS, stream, head("GET", "/", &[])));
    }
    for stream in (201..1_000).step_by(2) {
        assert_eq!(client.answer(stream).reset, Some(7), "{stream}");
    }
    assert!(origin.open_connections() <= 100);
    assert!(client.answers.iter().all(|(stream, answer)| *stream > 200 || answer.reset.is_none()));
}

#[test]
fn a_body_that_waits_for_consent_is_asked_for() {
    let origin = Origin::echo();
    let proxy = speaking_with(origin.address(), "", "");
    let mut client = Http2::raw(proxy.address("web"));
    client.send(expanded(&case("h2-040-expect-over-h2").bytes));
    client.until(|client| client.answers.get(&1).is_some_and(|answer| !answer.statuses.is_empty()));
    client.send(frame(0, 1, 1, "body"));
    let answer = client.answer(1);
    assert_eq!((&answer.statuses[..], &answer.body[..]), (&[100, 200][..], &b"body"[..]));
}
