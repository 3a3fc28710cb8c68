//! The cases that need more than bytes: a client that takes its time, an upstream that fails at the
//! worst moment, two upstreams. Each story plays the bytes of its case, and says what else it does.

mod slow;
mod upstreams;
mod waiting;

use std::time::Duration;

use crate::support::{PATIENCE, Proxy, one_cluster};

use super::client::{End, Talk};
use super::complaints::Complaints;
use super::file::Case;
use super::parsers::{Message, text};
use super::run;
use super::upstream::{Recorder, Upstream, asked, plain};

/// Plays one case.
pub(super) type Story = fn(&Case, &mut Complaints);

/// All of them.
pub(super) const STORIES: &[(&str, Story)] = &[
    ("cn-005-expect-ok", waiting::consent_comes_before_the_body),
    ("cn-006-expect-final", waiting::a_refusal_spares_the_body),
    ("cn-012-slow-head", slow::head),
    ("cn-014-slow-read", slow::reader),
    ("cn-015-half-close", waiting::half_closed),
    ("cn-016-idle-keepalive", slow::idle),
    ("cn-017-retry-post", upstreams::a_post_is_delivered_once),
    ("cn-018-retry-get-stale-pool", upstreams::a_kept_connection_was_closed),
    ("cn-019-retry-post-never-sent", upstreams::nothing_was_sent),
    ("cn-020-get-partial-response-then-reset", upstreams::a_response_breaks_off),
    ("rs-008-unsolicited", upstreams::an_answer_comes_unasked),
];

/// A proxy in front of these upstreams, asked in their order.
fn proxy(upstreams: &[&Upstream], listener: &str) -> Proxy {
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address()).collect();
    Proxy::start(&one_cluster(&addresses, listener, "balancer = 'first-alive'"))
}

fn client(proxy: &Proxy, complaints: &Complaints) -> Talk {
    Talk::connect(proxy.address("web"), complaints.patience)
}

/// Answers whatever comes.
fn answer(peer: &mut crate::support::Peer, recorder: &mut Recorder) {
    while let Some(request) = recorder.request(peer) {
        if peer.write(plain(&request)).is_err() {
            return;
        }
    }
}

/// Expects what upstreams were asked, one after the other and over all their connections, when the
/// proxy has gone.
fn were_asked(complaints: &mut Complaints, upstreams: &[&Upstream], wanted: &[&str]) {
    let mut found = Vec::new();
    for upstream in upstreams {
        let reached = complaints.understood_alike(upstream);
        complaints.same("requests without an end", &reached.unfinished, &0);
        found.extend(reached.messages.iter().map(|message| asked(&message.line).to_owned()));
    }
    complaints.same(
        "what was asked",
        &found.iter().map(|f| &**f).collect::<Vec<_>>(),
        &wanted.to_vec(),
    );
}

/// The only answer, and how the connection ended.
fn only(client: &Talk, complaints: &mut Complaints) -> Option<Message> {
    match client.answers(&["GET"]) {
        Ok(mut answers) if answers.whole.len() == 1 && answers.rest == 0 => answers.whole.pop(),
        other => {
            complaints.add(format!("not one answer: {other:?}"));
            None
        }
    }
}

fn status_and_text(answer: Option<Message>) -> Option<(u16, String)> {
    answer.map(|answer| (answer.status(), text(&answer.body)))
}
