//! Whatever reaches an upstream can be read in one way only, and is what a client has sent.
//!
//! Three parsers that have nothing in common read it: httparse, with framing of this file's own; node's
//! `http_parser`; and h2o's picohttpparser. The two in C are old, and as lenient as many that are still
//! in use.

mod node;
mod pico;
mod plain;
mod traffic;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::Uri;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use crate::support::{Origin, Proxy, one_cluster};

/// A name in small letters, and a value without blanks around it.
type Field = (String, String);

/// A request that is complete. One character for each byte, so that it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Request {
    method: String,
    target: String,
    /// Of HTTP/1.0.
    old: bool,
    fields: Vec<Field>,
    body: String,
    trailers: Vec<Field>,
}

/// What a parser sees in the bytes of a connection.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Request>,
    end: End,
    /// The method of what is not complete; told by the first of the parsers alone.
    next: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum End {
    /// Nothing is left.
    #[default]
    Whole,
    /// The last request is not complete.
    Part,
    /// The parser does not go on.
    Refused(String),
}

type Parser = fn(&[u8]) -> Seen;

const OTHERS: [(&str, Parser); 2] = [("http_parser", node::parse), ("picohttpparser", pico::parse)];

impl Request {
    fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|field| field.0 == name);
        fields.map(|field| &*field.1).collect()
    }

    /// Whether one is the other as it is relayed.
    fn is_relayed_as(&self, other: &Self) -> bool {
        let target = match self.target.parse::<Uri>() {
            Ok(uri) if uri.scheme().is_some() => {
                // Written, it has a slash where `http://a?b` has none.
                let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
                if self.method == "OPTIONS" && path == "/" { "*".to_owned() } else { path }
            }
            _ => self.target.clone(),
        };
        (&self.method, &target, &self.body) == (&other.method, &other.target, &other.body)
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What came to an upstream, by connection.
type Record = Arc<Mutex<BTreeMap<usize, Vec<u8>>>>;

/// Answers what it gets once it is complete, and keeps all of it. A method that not everybody knows is
/// the last of its connection.
fn upstream(record: &Record) -> Origin {
    let record = Arc::clone(record);
    Origin::scripted(move |peer| {
        let mut answered = 0;
        loop {
            let bytes = peer.some();
            if bytes.is_empty() {
                return;
            }
            let seen = {
                let mut record = record.lock().unwrap();
                let all = record.entry(peer.number).or_default();
                all.extend(bytes);
                plain::parse(all)
            };
            for request in seen.requests.iter().skip(answered) {
                let body = if request.method == "HEAD" { "" } else { "ok" };
                let known = node::knows(&request.method);
                let option = if known { "keep-alive" } else { "close" };
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: ";
                let answer = format!("{head}{option}\r\n\r\n{body}");
                if peer.write(answer).is_err() || !known {
                    return;
                }
            }
            answered = seen.requests.len();
        }
    })
}

/// The requests that have come since the last time: how many bytes, and how many requests there were
/// on each connection is in `before`.
fn news(
    record: &Record,
    before: &mut BTreeMap<usize, (usize, usize)>,
) -> Result<Vec<Request>, TestCaseError> {
    let mut news = Vec::new();
    for (number, bytes) in &*record.lock().unwrap() {
        let (length, count) = before.entry(*number).or_default();
        if bytes.len() == *length {
            continue;
        }
        let seen = plain::parse(bytes);
        let text = bytes.escape_ascii().to_string();
        prop_assert!(!matches!(seen.end, End::Refused(_)), "{:?} of {}", seen.end, text);
        for (name, parse) in OTHERS {
            let mut other = parse(bytes);
            // Not to know a method is no disagreement, and then it is the last one.
            if other.end == End::Refused(node::UNKNOWN_METHOD.to_owned()) {
                let read = other.requests.len();
                let last = seen.requests.get(read..).unwrap_or_default();
                let method = last.first().map_or(&seen.next, |last| &last.method);
                prop_assert!(!node::knows(method) && last.len() < 2, "{} of {}", name, text);
                other.requests.extend_from_slice(last);
                other.end = seen.end.clone();
            }
            for (other, request) in other.requests.iter().zip(&seen.requests) {
                prop_assert_eq!(other, request, "{}", name);
            }
            let (other, seen) =
                ((other.requests.len(), other.end), (seen.requests.len(), &seen.end));
            prop_assert_eq!((other.0, &other.1), seen, "{} of {}", name, text);
        }
        news.extend(seen.requests.iter().skip(*count).cloned());
        (*length, *count) = (bytes.len(), seen.requests.len());
    }
    Ok(news)
}

#[test]
fn upstreams_get_what_can_be_read_in_one_way() {
    let record = Record::default();
    let origin = upstream(&record);
    // Clients that stop in the middle are not waited for.
    let short = ["head", "idle", "body"].map(|what| format!("{what}-timeout = \"100ms\"\n"));
    let proxy = Proxy::start(&one_cluster(&[origin.address()], &short.concat(), ""));
    let before = Cell::default();
    let (relayed, refused) = (Cell::new(0), Cell::new(0));

    let config = Config {
        cases: 300,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&traffic::connection(), |bytes| {
        let mut client = proxy.connect();
        // The proxy may have heard enough before the end.
        let _ = client.write(&bytes);
        let answers = client.rest();
        let mut counts = before.take();
        let news = news(&record, &mut counts);
        before.set(counts);
        let news = news?;

        let mut sent = plain::parse(&bytes).requests.into_iter();
        for request in &news {
            let is_it = |sent: Request| sent.is_relayed_as(request);
            prop_assert!(sent.any(is_it), "nobody has sent {:#?}", request);
        }
        let answered =
            answers.windows(12).filter(|w| w.ends_with(b" 200") && w.starts_with(b"HTTP/1."));
        prop_assert_eq!(answered.count(), news.len());
        relayed.set(relayed.get() + news.len());
        refused.set(refused.get() + answers.windows(5).filter(|w| w == b" 400 ").count());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(relayed.get() > 300, "only {} requests were relayed", relayed.get());
    assert!(refused.get() > 30, "only {} were refused", refused.get());
}

#[test]
fn a_target_that_hyper_does_not_take_is_refused_and_counted() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    for target in ["/a?\"b\"", "/a`b", "http://a/b?\""] {
        let mut client = proxy.connect();
        let answer = client.get(target);
        assert_eq!((answer.status(), answer.value("server")), (400, Some("linkspan")), "{target}");
        client.expect_closed();
    }
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "syntax")]), 3);
    assert_eq!(proxy.get("/\"a?`b").status(), 200, "each may stand where the other may not");
}
