//! Clients that wait for consent, and one that has said all it will.

use crate::support::reply;

use super::super::run::Expected;
use super::super::upstream::Script;
use super::*;

/// The expectation goes up, the consent comes down, and then the body goes up. Where the upstream does
/// not consent, Linkspan does after a second.
pub(super) fn consent_comes_before_the_body(case: &Case, complaints: &mut Complaints) {
    for consents in [true, false] {
        let upstream = Upstream::scripted(move |peer, recorder| {
            while let Some(head) = recorder.head(peer) {
                assert_eq!(head.values("expect"), ["100-continue"]);
                if consents {
                    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
                }
                let Some(request) = recorder.request(peer) else { return };
                peer.send(reply(200, &[], request.body));
            }
        });
        let proxy = proxy(&[&upstream], "");
        let mut client = client(&proxy, complaints);
        client.send(case.wire(), false);
        client.listen(|client| client.answers(&["PUT"]).is_ok_and(|a| a.interim == [100]));
        client.send("hello", false);
        client.listen_for(&["PUT"]);
        client.half_close();
        client.listen_to_end();
        let answers = client.answers(&["PUT"]).unwrap();
        complaints.same("interim answers", &answers.interim, &vec![100]);
        let found = answers.whole.first().map(|answer| (answer.status(), text(&answer.body)));
        complaints.same("its answer", &found, &Some((200, "hello".to_owned())));
        complaints.same("the connection", &client.end(), &End::Closed);
        complaints.records(&proxy, 1, &[], None);
        drop(proxy);
        were_asked(complaints, &[&upstream], &["PUT /"]);
    }
}

/// Whatever follows the head of a request that was answered without its body: the first five bytes
/// are the body, and the rest, of which that is the middle, is no request.
pub(super) fn a_refusal_spares_the_body(case: &Case, complaints: &mut Complaints) {
    let upstream = Upstream::scripted(|peer, recorder| {
        if let Some(head) = recorder.head(peer) {
            if head.values("expect").is_empty() {
                return answer(peer, recorder);
            }
            peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
            recorder.rest(peer);
        }
    });
    let proxy = proxy(&[&upstream], "");
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), false);
    client.listen_to_end();
    complaints.same("the connection", &client.end(), &End::Closed);
    complaints.answers(&client, &["PUT"], &[Expected::Status(403)]);
    // The proxy reads on for a while, so that nothing it says is lost.
    drop(client);
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[], None);
    drop(proxy);
    let reached = complaints.understood_alike(&upstream);
    let asked: Vec<_> = reached.messages.iter().map(|message| asked(&message.line)).collect();
    complaints.same("what was asked", &asked, &vec!["GET /other"]);
    complaints.same("requests without their body", &reached.unfinished, &1);
}

/// Whoever has sent all it will is answered all the same.
pub(super) fn half_closed(case: &Case, complaints: &mut Complaints) {
    let upstream = Upstream::start(Script::Slowly("/ "));
    let proxy = proxy(&[&upstream], "");
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), true);
    client.listen_to_end();
    complaints.same("the connection", &client.end(), &End::Closed);
    let found = status_and_text(only(&client, complaints));
    complaints.same("its answer", &found, &Some((200, "GET /".to_owned())));
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[], None);
    drop(proxy);
    were_asked(complaints, &[&upstream], &["GET /", "GET /other"]);
}
