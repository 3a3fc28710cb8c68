//! Every case of `cases/cases.json` that concerns HTTP/1.x, over real sockets: what its words say, and
//! what they leave open as Linkspan has it (`cases/rules`, `cases/stories.rs`).
//!
//! For each, this is compared: the answers, whole and readable to the last byte before the connection
//! ends; that what is refused is counted with a reason and logged; what reached the upstream, byte for
//! byte, and that three parsers which differ in what they forgive see the same requests in it; and
//! that the same connection, where it stays, and another client are served as if nothing had been.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that looks beyond what there is has nothing better to do than to fail"
)]

mod beyond;
mod client;
mod complaints;
mod elsewhere;
pub(crate) mod file;
mod not_yet;
mod parsers;
mod rules;
mod run;
mod stories;
mod upstream;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::PATIENCE;

use complaints::Complaints;
use file::{CASES, Case, Kind};
use not_yet::NOT_YET;
use rules::{Relayed, Rule, Step};
use stories::STORIES;

/// How long is waited for what is known not to come yet.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);

/// How a case is played.
enum Play {
    Request(Rule),
    Response(Relayed),
    Story(stories::Story),
}

/// All that are, by their ids.
fn plays() -> Vec<(&'static str, Play)> {
    let requests = rules::of_requests().into_iter().map(|rule| (rule.id, Play::Request(rule)));
    let responses = rules::of_responses().into_iter().map(|rule| (rule.id, Play::Response(rule)));
    let stories = STORIES.iter().map(|(id, story)| (*id, Play::Story(*story)));
    requests.chain(responses).chain(stories).collect()
}

/// Plays all cases of a group. Those that are known to fail have to.
#[track_caller]
fn group(prefix: &str) {
    let mut wrong = Vec::new();
    let mut played = 0;
    for (id, play) in plays().into_iter().filter(|(id, _)| id.starts_with(prefix)) {
        let case = Case::named(id);
        let reason = NOT_YET.iter().find(|(known, _)| *known == id).map(|(_, reason)| reason);
        let patience = if reason.is_some() { LITTLE_PATIENCE } else { PATIENCE };
        let complaints = Complaints::of(patience, |complaints| match &play {
            Play::Request(rule) => run::request(case, rule, complaints),
            Play::Response(rule) => run::response(case, rule, complaints),
            Play::Story(story) => story(case, complaints),
        });
        played += 1;
        match (reason, &complaints.all[..]) {
            (None, []) | (Some(_), [_, ..]) => {}
            (Some(reason), []) => wrong.push(format!("{id} holds: it is no longer {reason:?}")),
            (None, complaints) => {
                let all = complaints.join("\n    ");
                wrong.push(format!("{id} ({}): {}\n    {all}", case.rfc, case.expect));
            }
        }
    }
    assert!(played > 0, "there is no case of {prefix}");
    assert!(wrong.is_empty(), "{} of {played} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn request_lines() {
    group("rl-");
}

#[test]
fn targets() {
    group("tg-");
}

#[test]
fn hosts() {
    group("ho-");
}

#[test]
fn header_fields() {
    group("hd-");
}

#[test]
fn framing() {
    group("fr-");
}

#[test]
fn chunked_bodies() {
    group("ch-");
}

#[test]
fn connections() {
    group("cn-");
}

#[test]
fn paths() {
    group("ur-");
}

#[test]
fn responses() {
    group("rs-");
}

#[test]
fn every_case_is_played_or_belongs_elsewhere() {
    let plays = plays();
    let (played, elsewhere) = (plays.len(), elsewhere::CASES.len());
    assert_eq!(played + elsewhere, 206);
    let own = plays.iter().map(|(id, _)| *id);
    let named: BTreeSet<_> = own.chain(elsewhere::CASES.iter().map(|(id, _)| *id)).collect();
    let written: BTreeSet<_> = CASES.iter().map(|case| &*case.id).collect();
    assert_eq!(written.len(), 206);
    assert_eq!(named, written);
    for (id, _) in NOT_YET {
        assert!(plays.iter().any(|(played, _)| played == id), "{id} is not played");
    }
}

/// A rule that a case does not allow would be a rule of our own making.
#[test]
fn rules_stay_within_what_their_cases_allow() {
    let allowed = |id, status: u16, closes: bool| {
        let case = Case::named(id);
        let statuses = &case.allow_status;
        assert!(statuses.is_empty() || statuses.contains(&status), "{id}: {status}");
        assert!(closes || !case.close, "{id} has to close");
    };
    for rule in rules::of_requests() {
        let case = Case::named(rule.id);
        assert_eq!(case.kind, Kind::Request, "{}", rule.id);
        let forwarded = rule.steps.iter().filter(|step| !matches!(step, Step::Refused(_))).count();
        assert!(case.upstream_max.is_none_or(|most| forwarded <= most), "{}", rule.id);
        let status = match &rule.steps[0] {
            Step::Forwarded(_) => 200,
            Step::Refused(status) | Step::Cut(status) | Step::Answered(status) => *status,
        };
        allowed(rule.id, status, rule.closes);
    }
    for rule in rules::of_responses() {
        assert_eq!(Case::named(rule.id).kind, Kind::Response, "{}", rule.id);
        let (rules::Gets::Whole(status, ..)
        | rules::Gets::Truncated(status)
        | rules::Gets::Error(status)) = rule.gets;
        allowed(rule.id, status, rule.closes);
    }
}
