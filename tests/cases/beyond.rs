//! What the words of some cases say beyond their bytes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use crate::support::{Binary, Client, Origin, PATIENCE, Proxy, eventually, one_cluster};

use super::client::{End, Talk};
use super::complaints::Complaints;
use super::file::Case;
use super::rules;
use super::run;
use super::upstream::{Then, Upstream, plain};

/// Plays, and wants nothing to complain of.
#[track_caller]
fn holds(play: impl FnOnce(&mut Complaints)) {
    let complaints = Complaints::of(PATIENCE, play);
    assert!(complaints.all.is_empty(), "{:#?}", complaints.all);
}

/// Of rs-027: a reset is no end, for clients of either version.
#[test]
fn a_response_that_would_end_with_the_connection_is_cut_off_by_a_reset() {
    for (version, end) in [("1.1", End::Closed), ("1.0", End::Reset)] {
        let (go, seen) = sync_channel::<()>(1);
        let seen = Mutex::new(seen);
        let bytes = Case::named("rs-027-close-delimited").wire();
        let upstream = Upstream::scripted(move |peer, recorder| {
            while let Some(request) = recorder.request(peer) {
                if request.line.contains("/other") {
                    peer.send(plain(&request));
                    continue;
                }
                peer.send(&bytes);
                // A reset overtakes what was sent before it: it has to wait until that is read.
                let _ = seen.lock().unwrap().recv_timeout(PATIENCE);
                return peer.reset();
            }
        });
        let proxy = Proxy::start(&one_cluster(&[upstream.address()], "", ""));
        let mut client = Talk::connect(proxy.address("web"), PATIENCE);
        client.send(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n"), false);
        client.listen(|client| client.heard().windows(5).any(|bytes| bytes == b"hello"));
        go.send(()).unwrap();
        client.listen_to_end();
        assert!(!client.heard().ends_with(b"0\r\n\r\n"), "HTTP/{version}: it has a last chunk");
        assert_eq!(client.end(), end, "HTTP/{version}");
        holds(|complaints| run::innocent(&proxy, complaints));
    }
}

/// Of rs-034: an upstream that leaves within its head has not answered.
#[test]
fn a_head_that_breaks_off_is_none() {
    let rule = rules::error("rs-034-slow-head", 502).upstream(Then::Closes).reason("broken");
    holds(|complaints| run::response(Case::named(rule.id), &rule, complaints));
}

/// Of rs-035 and rl-015: what has no answer is asked again elsewhere, if it does no harm. What a method
/// that nobody knows does is not known.
#[test]
fn silence_is_asked_about_elsewhere_if_it_does_no_harm() {
    for (method, status) in [("GET", 200), ("POST", 502), ("FROBNICATE", 502)] {
        let silent = Upstream::scripted(|peer, recorder| drop(recorder.request(peer)));
        let other = Upstream::start(super::upstream::Script::Plainly);
        let addresses = [silent.address(), other.address()];
        let balancer = "balancer = 'first-alive'";
        let proxy = Proxy::start(&one_cluster(&addresses, "", balancer));
        let mut client = proxy.connect();
        assert_eq!(client.ask(method, "/", &[], b"").status(), status, "{method}");
        drop(client);
        drop(proxy);
        let count = |upstream: &Upstream| upstream.bytes().iter().filter(|b| !b.is_empty()).count();
        let elsewhere = usize::from(method == "GET");
        assert_eq!((count(&silent), count(&other)), (1, elsewhere), "{method}");
    }
}

/// Of rs-037: what was said of other bytes is not said of these.
#[test]
fn a_body_that_is_rewritten_loses_what_was_said_of_it() {
    let rule = rules::of_responses().into_iter().find(|rule| rule.id == "rs-037-rewrite-length");
    let mut rule = rule.unwrap();
    let rules::Gets::Whole(_, _, lines) = &mut rule.gets else { panic!("{:?}", rule.gets) };
    lines.extend(["!content-md5", "!digest", "!repr-digest", "etag: W/\"x\""]);
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-MD5: x\r\nDigest: md5=x\r\n\
                  Repr-Digest: sha-256=:x:\r\nETag: \"x\"\r\n\r\nhello";
    holds(|complaints| run::response_of(bytes.to_vec(), &rule, complaints));
}

/// Of tg-007: the server as a whole is none of its paths, for a router as well.
#[test]
fn a_router_does_not_see_an_asterisk_as_a_path() {
    let (server, paths) = (Origin::replying("server"), Origin::replying("paths"));
    let proxy = Proxy::start(&format!(
        "{}
        [clusters.paths]
        endpoints = ['{}']
        [plugins.by-path]
        component = 'regex-match'
        config = {{ rules = [
            {{ match = ['^/'], cluster = 'paths' }}, {{ match = ['^[*]$'], cluster = 'main' }},
        ] }}",
        one_cluster(&[server.address()], "routers = ['by-path']", ""),
        paths.address(),
    ));
    let mut client = proxy.connect();
    for (target, answer) in [("*", "server"), ("/*", "paths")] {
        assert_eq!(client.ask("OPTIONS", target, &[], b"").text(), answer, "{target}");
    }
    assert_eq!(server.requests()[0].target(), "*");
}

/// Of rs-020: a status of no class is a number like others for a plugin.
#[test]
fn a_plugin_sees_a_status_of_no_class() {
    let upstream =
        Origin::scripted(|peer| peer.answer(|_| Case::named("rs-020-status-999").wire()));
    let proxy = Proxy::start(&format!(
        "{}
        [plugins.stamp]
        component = 'headers'
        config = {{ response = {{ set = {{ seen = 'it' }} }} }}",
        one_cluster(&[upstream.address()], "rewriters = ['stamp']", "")
    ));
    let response = proxy.get("/");
    assert_eq!((response.status(), response.value("seen")), (999, Some("it")));
    assert!(proxy.access(1)[0]["plugins"][0]["failed"].is_null());
}

/// Of rl-016, fr-010, ch-007 and ch-008: nothing is taken for what a client only announces.
#[test]
fn what_is_announced_takes_no_memory() {
    const CLIENTS: usize = 100;
    const MOST_FOR_EACH: usize = 96 << 10;
    let arrived = Arc::<AtomicUsize>::default();
    let upstream = Origin::scripted({
        let arrived = Arc::clone(&arrived);
        move |peer| {
            let _ = peer.request_head();
            arrived.fetch_add(1, Relaxed);
            peer.hang();
        }
    });
    let mut program = Binary::serve(&one_cluster(&[upstream.address()], "", ""));
    let address = program.address("web");
    for id in
        ["rl-016-method-long", "fr-010-cl-huge-legal", "ch-007-size-overflow", "ch-008-size-max"]
    {
        let bytes = Case::named(id).wire();
        let (before, there) = (program.resident_bytes(), arrived.load(Relaxed));
        let open = |_| {
            let mut client = Client::connect(address);
            client.send(&bytes);
            client
        };
        let mut clients: Vec<_> = (0..CLIENTS).map(open).collect();
        if id == "fr-010-cl-huge-legal" {
            let all = || (arrived.load(Relaxed) >= there + CLIENTS).then_some(());
            eventually("the requests to arrive", all);
        } else {
            clients.iter_mut().for_each(|client| assert!(client.response().status() >= 400));
        }
        let taken = program.resident_bytes().saturating_sub(before);
        assert!(taken <= CLIENTS * MOST_FOR_EACH, "{id}: {} bytes for each", taken / CLIENTS);
    }
}
