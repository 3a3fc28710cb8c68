//! What the words of some cases say beyond their bytes.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use crate::support::{PATIENCE, Proxy, one_cluster};

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

/// Of rs-035: what has no answer is asked again elsewhere, if it does no harm.
#[test]
fn silence_is_asked_about_elsewhere_if_it_does_no_harm() {
    for (method, status) in [("GET", 200), ("POST", 502)] {
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
