//! What reached the upstream, byte for byte, and whether three parsers understand it alike.

use super::super::complaints::Complaints;
use super::super::parsers::{Message, Request, Split, hasty, lenient, strict, text};
use super::super::rules::{Adds, Seen, Step};
use super::super::upstream::{Upstream, asked};

impl Complaints {
    /// Expects the requests that are forwarded, what `followed`, and no more.
    pub(super) fn reached(
        &mut self,
        upstream: &Upstream,
        steps: &[Step],
        followed: &[&str],
        most: Option<usize>,
    ) {
        let Reached { messages, unfinished } = self.understood_alike(upstream);
        let begun = (messages.len() + unfinished).saturating_sub(followed.len());
        if most.is_some_and(|most| begun > most) {
            self.add(format!("{begun} requests have begun at the upstream, of at most {most:?}"));
        }
        let cut = steps.iter().any(|step| matches!(step, Step::Cut(_)));
        if unfinished > usize::from(cut) {
            self.add("the upstream got a request without its end");
        }
        let wanted: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Forwarded(seen) => Some(seen),
                Step::Refused(_) | Step::Cut(_) | Step::Answered(_) => None,
            })
            .collect();
        for (found, seen) in messages.iter().zip(&wanted) {
            self.seen(found, seen, &upstream.address().to_string());
        }
        let first = |seen: &&Seen| asked(seen.head.lines().next().unwrap_or_default()).to_owned();
        let asked_for = wanted.iter().map(first);
        self.in_all(&messages, asked_for.chain(followed.iter().map(|path| format!("GET {path}"))));
    }

    /// Expects one request with its method and path, and what `followed`.
    pub(super) fn asked(&mut self, upstream: &Upstream, request: &str, followed: &[&str]) {
        let Reached { messages, unfinished } = self.understood_alike(upstream);
        self.same("requests without an end", &unfinished, &0);
        let line = request.lines().next().unwrap_or_default();
        let first = std::iter::once(asked(line).to_owned());
        self.in_all(&messages, first.chain(followed.iter().map(|path| format!("GET {path}"))));
    }

    fn in_all(&mut self, messages: &[Message], wanted: impl Iterator<Item = String>) {
        let found: Vec<_> = messages.iter().map(|message| asked(&message.line)).collect();
        let wanted: Vec<_> = wanted.collect();
        self.same("what the upstream was asked", &found, &wanted.iter().map(|w| &**w).collect());
    }

    /// What reached an upstream. All three parsers have to find the same in it.
    pub(in super::super) fn understood_alike(&mut self, upstream: &Upstream) -> Reached {
        let mut reached = Reached::default();
        for bytes in upstream.bytes() {
            let (split, messages) = match strict(&bytes) {
                Ok(understood) => understood,
                Err(why) => {
                    self.add(format!("the upstream got {:?}: {why}", text(&bytes)));
                    continue;
                }
            };
            self.same("what the lenient parser sees", &lenient(&bytes), &split);
            self.same("what the hasty parser sees", &hasty(&bytes), &split);
            reached.unfinished += usize::from(split.unfinished);
            reached.messages.extend(messages);
        }
        reached
    }

    /// Compares a request with what the upstream is to get: names and values byte for byte, and the
    /// order of those that have one name.
    fn seen(&mut self, found: &Message, wanted: &Seen, upstream: &str) {
        let head = wanted.head.replace("{upstream}", upstream);
        let (line, lines) = head.split_once('\n').unwrap_or((&head, ""));
        self.same("the upstream's line", &found.line.as_str(), &line);
        self.same("the upstream's body", &text(&found.body), &wanted.body.to_owned());
        self.same("its trailers", &found.trailers, &Vec::new());
        let Some(added) = added(wanted.adds, lines) else { return };
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        };
        let mut wanted: Vec<_> = lines.lines().map(pair).collect();
        wanted.extend(added.iter().map(|line| pair(line)));
        let mut found = found.fields.clone();
        // Which name comes before which other says nothing; the sort keeps the rest.
        wanted.sort_by(|one, other| one.0.cmp(&other.0));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        self.same("the upstream's fields", &found, &wanted);
    }
}

/// What reached an upstream, over all its connections.
#[derive(Debug, Default)]
pub(in super::super) struct Reached {
    /// Requests that came to their end.
    pub(in super::super) messages: Vec<Message>,
    /// Those that did not.
    pub(in super::super) unfinished: usize,
}

/// The lines that Linkspan adds to a head with these.
fn added(adds: Adds, lines: &str) -> Option<Vec<String>> {
    let host = lines.lines().find_map(|line| line.strip_prefix("host: "));
    let (via, host) = match adds {
        Adds::Usual => ("1.1 linkspan", host),
        Adds::Of10 { host: named } => ("1.0 linkspan", host.filter(|_| named)),
        Adds::Unsaid => return None,
    };
    let mut added = vec![
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        format!("via: {via}"),
    ];
    added.extend(host.map(|host| format!("x-forwarded-host: {host}")));
    Some(added)
}

/// Parsers that would not see through what they are given could not tell anything.
#[test]
fn the_parsers_differ_where_parsers_do() {
    let both = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                 0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
    assert!(strict(both).is_err());
    let counts = |split: Split| (split.requests.len(), split.unfinished);
    assert_eq!(counts(lenient(both)), (2, false));
    assert_ne!(lenient(both), hasty(both));
    let folded = b"POST / HTTP/1.1\nTransfer_Encoding:\n chunked\n\n1\nx\n0\n\n";
    let request = |line: &str, body: &str| Request { line: line.to_owned(), body: body.into() };
    assert_eq!(lenient(folded).requests, [request("POST / HTTP/1.1", "x")]);
    let plain = b"GET /1 HTTP/1.1\r\nA: b\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nok\
                  POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nGET";
    let (split, _) = strict(plain).unwrap();
    assert_eq!(counts(lenient(plain)), (3, true));
    assert_eq!((lenient(plain), hasty(plain)), (split, strict(plain).unwrap().0));
}
