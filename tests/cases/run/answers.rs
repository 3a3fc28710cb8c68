//! What clients get, what is counted of it, and what is logged.

use http::StatusCode;
use serde_json::Value;

use crate::support::Proxy;

use super::super::client::{Answers, Talk};
use super::super::complaints::Complaints;
use super::super::parsers::{Message, text};
use super::super::rules::{Gets, Relayed, Step};
use super::super::upstream::asked;

/// What a client is to get.
pub(in super::super) enum Expected {
    /// What the upstream answers, with this body.
    Plain(String),
    /// A reproach of Linkspan's own, and whether it announces that the connection ends.
    Error(u16, bool),
    /// Something with this status.
    Status(u16),
}

/// What a request comes to, as its client sees it.
pub(super) fn of_step(step: &Step, closes: bool) -> Expected {
    match step {
        Step::Forwarded(seen) => plain(asked(seen.head.lines().next().unwrap_or_default())),
        Step::Refused(status) | Step::Cut(status) => Expected::Error(*status, closes),
        Step::Answered(status) => Expected::Status(*status),
    }
}

/// The upstream's answer to a request that it gets with this method and target.
pub(in super::super) fn plain(asked: &str) -> Expected {
    Expected::Plain(asked.to_owned())
}

impl Complaints {
    /// Expects these answers, whole and in this order, and nothing else.
    pub(in super::super) fn answers(
        &mut self,
        client: &Talk,
        methods: &[&str],
        expected: &[Expected],
    ) {
        let Some(answers) = self.understood(client, methods) else { return };
        let statuses: Vec<_> = answers.whole.iter().map(Message::status).collect();
        let wanted = expected.iter().map(|expected| match expected {
            Expected::Plain(_) => 200,
            Expected::Error(status, _) | Expected::Status(status) => *status,
        });
        self.same("answers", &statuses, &wanted.collect());
        self.same("bytes after the answers", &answers.rest, &0);
        for (answer, expected) in answers.whole.iter().zip(expected) {
            match expected {
                Expected::Plain(asked) => self.same("its body", &text(&answer.body), asked),
                Expected::Error(status, closes) => self.error(answer, *status, *closes),
                Expected::Status(_) => {}
            }
        }
    }

    /// Expects what becomes of an upstream's response, and the answer to what followed.
    pub(super) fn relayed(&mut self, client: &Talk, method: &str, rule: &Relayed) {
        let Some(answers) = self.understood(client, &[method]) else { return };
        let mut statuses: Vec<_> = answers.whole.iter().map(Message::status).collect();
        let first = answers.whole.first();
        let mut wanted = match &rule.gets {
            Gets::Whole(status, body, lines) => {
                if let Some(first) = first {
                    self.same("its body", &text(&first.body), &(*body).to_owned());
                    self.fields(first, lines);
                }
                vec![*status]
            }
            Gets::Error(status) => {
                if let Some(first) = first {
                    self.error(first, *status, false);
                }
                vec![*status]
            }
            Gets::Truncated(status) => {
                let part = answers.part.as_ref().map(Message::status);
                self.same("what is truncated", &part, &Some(*status));
                statuses.extend(part);
                vec![*status]
            }
        };
        if !rule.closes {
            wanted.push(200);
            let next = answers.whole.get(1).map(|answer| text(&answer.body));
            self.same("what comes next", &next.as_deref(), &Some("GET /same"));
        }
        self.same("answers", &statuses, &wanted);
        if !matches!(rule.gets, Gets::Truncated(_)) {
            self.same("bytes after the answers", &answers.rest, &0);
        }
    }

    fn understood(&mut self, client: &Talk, methods: &[&str]) -> Option<Answers> {
        match client.answers(methods) {
            Ok(answers) => {
                self.same("interim answers", &answers.interim, &Vec::new());
                Some(answers)
            }
            Err(why) => {
                self.add(why);
                None
            }
        }
    }

    /// Expects a short text without detail, from Linkspan.
    fn error(&mut self, answer: &Message, status: u16, closes: bool) {
        let reason = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
        self.same("its text", &text(&answer.body), &format!("{status} {reason}\n"));
        self.same("who answers", &answer.values("server"), &vec!["linkspan"]);
        let announced = if closes { vec!["close"] } else { Vec::new() };
        self.same("what is announced", &answer.values("connection"), &announced);
    }

    /// Expects these fields and, of their names, no others; of those with `!` before them, none.
    fn fields(&mut self, answer: &Message, lines: &[&str]) {
        for line in lines {
            match (line.strip_prefix('!'), line.split_once(": ")) {
                (Some(name), _) => self.same(name, &answer.values(name), &Vec::new()),
                (None, Some((name, _))) => {
                    let own = lines.iter().filter_map(|line| line.split_once(": "));
                    let wanted = own.filter(|(other, _)| *other == name).map(|(_, value)| value);
                    self.same(name, &answer.values(name), &wanted.collect());
                }
                (None, None) => panic!("no field: {line}"),
            }
        }
    }

    /// Expects so many lines in the access log, and that each refusal is counted with a reason and
    /// logged in words.
    pub(in super::super) fn records(
        &mut self,
        proxy: &Proxy,
        lines: usize,
        faults: &[u16],
        by: Option<&str>,
    ) {
        self.comes_to("lines of the access log", &lines, || proxy.access(0).len());
        let log = proxy.access(0);
        let failed = |line: &&Value| faults.iter().any(|status| line["status"] == *status);
        let told = log.iter().filter(failed).filter(|line| {
            line["error"].as_str().is_some_and(|reason| reason.len() > "bad request: ".len())
        });
        self.same("refusals that are logged", &told.count(), &faults.len());
        if let Some(fault) = faults.first() {
            let reason = by.unwrap_or_else(|| reason(*fault));
            let counted = proxy.counter("linkspan_errors", &[("reason", reason)]);
            self.same(reason, &counted, &(faults.len() as u64));
        }
        let counted = proxy.counter("linkspan_errors", &[]);
        self.same("refusals that are counted", &counted, &(faults.len() as u64));
        let labels = [("listener", "web")];
        let open = || proxy.counter("linkspan_connections_open", &labels);
        self.comes_to("connections that are open", &0, open);
    }
}

/// The reason that a refusal counts by.
fn reason(status: u16) -> &'static str {
    match status {
        405 => "method",
        408 => "client_silent",
        413 => "too_large",
        501 => "coding",
        502 => "malformed",
        504 => "timeout",
        508 => "loop",
        _ => "bad_request",
    }
}
