//! Upstreams that fail at the worst moment.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use crate::support::Down;

use super::super::upstream::Script;
use super::*;

/// Reads the first request, and resets the connection without a word.
fn resets_first() -> Upstream {
    Upstream::scripted(|peer, recorder| {
        if peer.number > 0 {
            return answer(peer, recorder);
        }
        let _ = recorder.request(peer);
        peer.reset();
    })
}

/// A request that may have done something is not sent again.
pub(super) fn a_post_is_delivered_once(case: &Case, complaints: &mut Complaints) {
    let (first, second) = (resets_first(), Upstream::start(Script::Plainly));
    let proxy = proxy(&[&first, &second], "");
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), false);
    client.listen_for(&["POST"]);
    client.half_close();
    client.listen_to_end();
    let found = status_and_text(only(&client, complaints));
    complaints.same("its answer", &found, &Some((502, "502 Bad Gateway\n".to_owned())));
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[502], Some("broken"));
    drop(proxy);
    were_asked(complaints, &[&first, &second], &["POST /pay", "GET /other"]);
}

/// A kept connection that turns out to be closed, before or just when a request goes out on it, costs
/// the client nothing.
pub(super) fn a_kept_connection_was_closed(case: &Case, complaints: &mut Complaints) {
    for reads in [false, true] {
        let upstream = Upstream::scripted(move |peer, recorder| {
            if peer.number > 0 {
                return answer(peer, recorder);
            }
            let Some(request) = recorder.request(peer) else { return };
            peer.send(plain(&request));
            if reads {
                let _ = recorder.request(peer);
            }
        });
        let proxy = proxy(&[&upstream], "");
        run::innocent(&proxy, complaints);
        let mut client = client(&proxy, complaints);
        client.send(case.wire(), false);
        client.listen_for(&["GET"]);
        client.half_close();
        client.listen_to_end();
        let found = status_and_text(only(&client, complaints));
        complaints.same("its answer", &found, &Some((200, "GET /".to_owned())));
        complaints.records(&proxy, 2, &[], None);
        complaints.same("connections", &upstream.origin().connections(), &2);
        drop(proxy);
        let wanted = ["GET /other", "GET /", "GET /"];
        were_asked(complaints, &[&upstream], &wanted[..if reads { 3 } else { 2 }]);
    }
}

/// Where no connection could be made, nothing can have been delivered.
pub(super) fn nothing_was_sent(case: &Case, complaints: &mut Complaints) {
    let (down, second) = (Down::new(), Upstream::start(Script::Plainly));
    let addresses = [down.address(), second.address()];
    let proxy = Proxy::start(&one_cluster(&addresses, "", "balancer = 'first-alive'"));
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), false);
    client.listen_for(&["POST"]);
    client.half_close();
    client.listen_to_end();
    let found = status_and_text(only(&client, complaints));
    complaints.same("its answer", &found, &Some((200, "POST /".to_owned())));
    complaints.records(&proxy, 1, &[], None);
    drop(proxy);
    were_asked(complaints, &[&second], &["POST /"]);
}

/// Once something of a response has been passed on, the client has to see that the rest is missing.
pub(super) fn a_response_breaks_off(case: &Case, complaints: &mut Complaints) {
    let (go, seen) = sync_channel::<()>(1);
    let seen = Mutex::new(seen);
    let first = Upstream::scripted(move |peer, recorder| {
        if peer.number > 0 || recorder.request(peer).is_none() {
            return answer(peer, recorder);
        }
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}", "x".repeat(50)));
        // A reset overtakes what was sent before it: it has to wait until that has been read.
        let _ = seen.lock().unwrap().recv_timeout(PATIENCE);
        peer.reset();
    });
    let second = Upstream::start(Script::Plainly);
    let proxy = proxy(&[&first, &second], "");
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), false);
    client.listen(|client| client.heard().ends_with(b"xxxxxxxxxx"));
    go.send(()).unwrap();
    client.listen_to_end();
    let answers = client.answers(&["GET"]).unwrap();
    complaints.same("whole answers", &answers.whole.len(), &0);
    let part = answers.part.map(|head| (head.status(), head.values("content-length").join("")));
    complaints.same("its head", &part, &Some((200, "100".to_owned())));
    complaints.same(
        "what came of its body",
        &client.heard().iter().filter(|b| **b == b'x').count(),
        &50,
    );
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[200], Some("broken"));
    let told = proxy.access(2).iter().any(|line| {
        line["error"].as_str().is_some_and(|error| error.contains("after 50 bytes of its response"))
    });
    complaints.same("whether the log says so", &told, &true);
    drop(proxy);
    were_asked(complaints, &[&first, &second], &["GET /", "GET /other"]);
}

/// What an upstream says on a connection where nothing was asked is never anyone's answer.
pub(super) fn an_answer_comes_unasked(case: &Case, complaints: &mut Complaints) {
    let (go, answered) = sync_channel::<()>(1);
    let answered = Mutex::new(answered);
    let evil = case.wire();
    let upstream = Upstream::scripted(move |peer, recorder| {
        if peer.number > 0 {
            return answer(peer, recorder);
        }
        let Some(request) = recorder.request(peer) else { return };
        peer.send(plain(&request));
        let _ = answered.lock().unwrap().recv_timeout(PATIENCE);
        peer.send(&evil);
        recorder.rest(peer);
    });
    let proxy = proxy(&[&upstream], "");
    run::innocent(&proxy, complaints);
    go.send(()).unwrap();
    crate::support::eventually("the connection to be closed", || {
        (upstream.origin().open_connections() == 0).then_some(())
    });
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[], None);
    complaints.same("connections", &upstream.origin().connections(), &2);
    drop(proxy);
    were_asked(complaints, &[&upstream], &["GET /other", "GET /other"]);
}
