//! Many requests share a connection; how many there are, and when they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use h2::Reason;
use h2::server::Builder;
use tokio::sync::Notify;

use super::{before, to};
use crate::support::streams::Streams;
use crate::support::{Down, Origin, Proxy, eventually, one_cluster};

/// Answers when so many requests are there.
fn meeting(number: usize, builder: &Builder) -> Streams {
    let (there, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    Streams::built(builder, move |mut call| {
        let (there, all) = (Arc::clone(&there), Arc::clone(&all));
        async move {
            let waiting = all.notified();
            if there.fetch_add(1, Ordering::SeqCst) + 1 == number {
                all.notify_waiters();
            } else {
                waiting.await;
            }
            call.reply(200, &[], "all there");
        }
    })
}

fn together(proxy: &Proxy, number: usize) {
    let address = proxy.address("web");
    let get =
        move |_| thread::spawn(move || crate::support::Client::connect(address).get("/").text());
    let all: Vec<_> = (0..number).map(get).collect();
    for one in all {
        assert_eq!(one.join().unwrap(), "all there");
    }
}

#[test]
fn requests_at_the_same_time_share_a_connection() {
    let origin = meeting(20, &Builder::new());
    let proxy = to(&origin);
    together(&proxy, 20);
    assert_eq!((origin.hits(), origin.connections()), (20, 1));
}

#[test]
fn connections_are_added_when_streams_run_out() {
    let origin = meeting(7, Builder::new().max_concurrent_streams(2));
    let proxy = to(&origin);
    together(&proxy, 7);
    assert_eq!(origin.hits(), 7, "none was refused");
    let connections = origin.connections();
    assert!((4..=7).contains(&connections), "{connections}");
}

#[test]
fn unused_connections_go() {
    let origin = Streams::replying("ok");
    let proxy = before(origin.address(), "idle-timeout = '100ms'");
    assert_eq!(proxy.get("/").text(), "ok");
    eventually("it to be closed", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(proxy.get("/").text(), "ok");

    let none = before(origin.address(), "max-idle-per-endpoint = 0");
    assert_eq!(none.get("/").text(), "ok");
    eventually("none to stay", || (origin.open_connections() < 2).then_some(()));
}

#[test]
fn an_endpoint_that_leaves_the_configuration_loses_its_connections() {
    let (old, new) = (Streams::replying("old"), Streams::replying("new"));
    let mut proxy = to(&old);
    assert_eq!(proxy.get("/").text(), "old");
    proxy.reload(&one_cluster(&[new.address()], "", "protocol = 'h2'")).unwrap();
    assert_eq!(proxy.get("/").text(), "new");
    eventually("it to be closed", || (old.open_connections() == 0).then_some(()));
}

#[test]
fn an_upstream_that_leaves_finishes_what_it_has_and_gets_nothing_new() {
    let release = Arc::new(Notify::new());
    let of_origin = Arc::clone(&release);
    let origin = Streams::answering(move |mut call| {
        let release = Arc::clone(&of_origin);
        async move {
            if call.request.uri().path() == "/slow" {
                call.leave();
                release.notified().await;
            }
            call.reply(200, &[], if call.connection == 0 { "first" } else { "second" });
        }
    });
    let proxy = to(&origin);
    let mut slow = proxy.connect();
    slow.send("POST /slow HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    eventually("a new connection", || (proxy.get("/").text() == "second").then_some(()));
    release.notify_one();
    assert_eq!(slow.response().text(), "first");
    eventually("the first to go", || (origin.open_connections() == 1).then_some(()));
}

#[test]
fn a_refused_stream_is_repeated_whatever_its_method() {
    let origin = Streams::answering(|mut call| async move {
        if call.request.uri().path() == "/refuse" && call.connection == 0 {
            call.reset(Reason::REFUSED_STREAM);
            return;
        }
        let (body, _) = call.body().await;
        assert!(body.is_empty() || body == "body");
        call.reply(200, &[], "done");
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "done");
    assert_eq!(client.ask("POST", "/refuse", &[], b"body").text(), "done");
    assert_eq!(origin.connections(), 2, "it has said that it takes no more there");
}

#[test]
fn an_upstream_that_refuses_everything_gets_no_answer_for_ever() {
    let origin = Streams::answering(|mut call| async move { call.reset(Reason::REFUSED_STREAM) });
    let proxy = to(&origin);
    for _ in 0..3 {
        assert_eq!(proxy.connect().ask("POST", "/", &[], b"body").status(), 502);
    }
    assert!(origin.hits() < 10, "{}", origin.hits());
}

#[test]
fn a_broken_connection_fails_its_requests_as_one_of_http_1_would() {
    let origin = Streams::answering(|mut call| async move {
        if call.number == 1 && call.connection == 0 {
            call.abort(Reason::INTERNAL_ERROR);
        } else {
            call.reply(200, &[], "ok");
        }
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(client.get("/").text(), "ok", "it can be repeated");

    let origin = Streams::answering(|mut call| async move { call.reset(Reason::INTERNAL_ERROR) });
    let proxy = to(&origin);
    assert_eq!(proxy.connect().ask("POST", "/", &[], b"body").status(), 502);
    assert_eq!(origin.hits(), 1);
    let line = proxy.access(1).remove(0);
    let reason = line["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("reset the stream before answering: INTERNAL_ERROR"), "{reason}");
}

#[test]
fn who_does_not_speak_http_2_counts_as_not_connected() {
    let origin = Origin::raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let proxy = before(origin.address(), "");
    assert_eq!(proxy.connect().ask("POST", "/", &[], b"body").status(), 503);
    assert_eq!(before(Down::new().address(), "").get("/").status(), 503);

    let streams = Streams::replying("ok");
    let both = [origin.address(), streams.address()];
    let proxy = Proxy::start(&one_cluster(&both, "", "protocol = 'h2'\nbalancer = 'first-alive'"));
    assert_eq!(proxy.connect().ask("POST", "/", &[], b"body").text(), "ok");
}

#[test]
fn one_that_never_answers_is_waited_for_so_long_and_harms_no_other() {
    let origin = Streams::answering(|mut call| async move {
        match call.request.uri().path() {
            "/never" => call.watch().await,
            _ => call.reply(200, &[], "ok"),
        }
    });
    let proxy = before(origin.address(), "response-timeout = '200ms'");
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(proxy.get("/never").status(), 504);
    eventually("the stream to be reset", || {
        (origin.resets() == [Some(Reason::CANCEL)]).then_some(())
    });
    assert_eq!(proxy.get("/").text(), "ok");
}

#[test]
fn connections_with_a_proxy_header_serve_one_client_each() {
    let headers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&headers);
    let address = crate::support::frames::bare(move |raw| {
        if raw.proxy_header() && raw.preface() {
            counted.fetch_add(1, Ordering::SeqCst);
            raw.frame(crate::support::frames::SETTINGS, 0, 0, &[]);
            while let Some(stream) = raw.request() {
                raw.answer(stream, b"ok");
            }
        }
    });
    let proxy = before(address, "proxy-protocol = 'v1'");
    let (mut one, mut other) = (proxy.connect(), proxy.connect());
    for _ in 0..2 {
        assert_eq!((one.get("/").text(), other.get("/").text()), ("ok".into(), "ok".into()));
    }
    assert_eq!(headers.load(Ordering::SeqCst), 2);
}

#[test]
fn a_silent_body_is_given_up() {
    let origin = Streams::answering(|mut call| async move {
        let mut stream = call.begin(200, &[]);
        stream.send_data("part".into(), false).unwrap();
        call.watch_stream(&mut stream).await;
    });
    let proxy = before(origin.address(), "body-timeout = '100ms'");
    let response = proxy.get("/");
    assert!(!response.complete && response.text() == "part");
    eventually("the stream to be reset", || {
        (origin.resets() == [Some(Reason::CANCEL)]).then_some(())
    });
}
