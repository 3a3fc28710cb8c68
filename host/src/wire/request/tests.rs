//! What the gate for requests lets pass, and what it says of the rest.

use http::Uri;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { head_bytes: 4_096, fields: 20, target_bytes: 1_000 };

/// What goes on of bytes that come in pieces of `size`, and what stops it, `None` for want of more.
fn judged_in(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Fault>) {
    let mut gate = Requests::new(LIMITS);
    let (mut passed, mut kept) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        kept.extend_from_slice(piece);
        while !kept.is_empty() {
            match gate.step(&kept) {
                Step::Pass(count) => passed.extend(kept.drain(..count)),
                Step::Skip(count) | Step::Interim(count) => drop(kept.drain(..count)),
                Step::More | Step::Held => break,
                Step::Fault(fault) => return (passed, Some(fault)),
            }
        }
    }
    (passed, None)
}

#[track_caller]
fn judged(bytes: &[u8]) -> (Vec<u8>, Option<Fault>) {
    let whole = judged_in(bytes, bytes.len());
    for size in [1, 2, 5, 64] {
        assert_eq!(judged_in(bytes, size), whole, "pieces of {size}");
    }
    whole
}

fn passes(text: &str) {
    assert_eq!(judged(text.as_bytes()), (text.as_bytes().to_vec(), None), "{text:?}");
}

fn refused(text: &str) -> Option<Fault> {
    let (passed, fault) = judged(text.as_bytes());
    assert!(passed.is_empty(), "{:?} of {text:?}", String::from_utf8_lossy(&passed));
    fault
}

#[test]
fn requests_pass_as_they_are() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET /\"a?b|`{} HTTP/1.1\r\nHost: a\r\nX: \u{e9}\t\x20\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "CONNECT a.test:22 HTTP/1.1\r\n\r\n",
        "GET http://a.test/x HTTP/1.1\r\n\r\n",
        "frob-nicate //admin HTTP/1.1\r\n\r\n",
    ] {
        passes(text);
    }
}

#[test]
fn what_is_no_request_line_is_refused() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1_000));
    let method = "M".repeat(9_000);
    for (line, fault) in [
        ("GET /", Fault::RequestLine),
        ("GET / http/1.1", Fault::RequestLine),
        ("GET / HTTP/2.0", Fault::Version),
        ("PRI * HTTP/2.0", Fault::Version),
        ("GET / HTTP/1.2", Fault::Version),
        ("GET / HTTP/1.10", Fault::RequestLine),
        ("GET  / HTTP/1.1", Fault::RequestLine),
        ("GET / HTTP/1.1 ", Fault::RequestLine),
        ("GET\t/\tHTTP/1.1", Fault::RequestLine),
        (" GET / HTTP/1.1", Fault::RequestLine),
        ("GE(T / HTTP/1.1", Fault::Method),
        ("GET /a\0b HTTP/1.1", Fault::Control),
        ("GET /\rHTTP/1.1", Fault::Control),
        ("GET /\nHTTP/1.1", Fault::BareLf),
        ("GET /caf\u{e9} HTTP/1.1", Fault::Target),
        ("GET /a#b HTTP/1.1", Fault::Target),
        ("GET /a<b HTTP/1.1", Fault::Target),
        ("GET /a`b HTTP/1.1", Fault::Target),
        ("GET /a?\"b HTTP/1.1", Fault::Target),
        ("GET admin HTTP/1.1", Fault::Target),
        ("GET a.test:80 HTTP/1.1", Fault::Target),
        ("CONNECT http://a/ HTTP/1.1", Fault::Target),
        (&method, Fault::MethodBytes),
        (&long, Fault::TargetBytes),
    ] {
        assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), Some(fault), "{line:?}");
    }
    assert_eq!(refused(&method), Some(Fault::MethodBytes));
    assert_eq!(refused(&format!("GET /{}", "a".repeat(1_000))), Some(Fault::TargetBytes));
}

#[test]
fn a_head_is_as_long_as_allowed_and_no_longer() {
    let head = |length: usize| {
        let rest = "GET / HTTP/1.1\r\na: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "v".repeat(length - rest))
    };
    passes(&head(LIMITS.head_bytes));
    assert_eq!(refused(&head(LIMITS.head_bytes + 1)), Some(Fault::HeadBytes));
}

#[test]
fn what_is_no_head_is_refused() {
    for (head, fault) in [
        ("Host: a\n\r\n", Fault::BareLf),
        ("Host: a\r\n\n", Fault::BareLf),
        ("Host: a\rX: b\r\n\r\n", Fault::Control),
        ("Host: a\x7f\r\n\r\n", Fault::Control),
        ("Host: a\r\n b\r\n\r\n", Fault::Folded),
        (" Host: a\r\n\r\n", Fault::Folded),
        ("Host : a\r\n\r\n", Fault::BlankBeforeColon),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", Fault::LengthAndCoding),
    ] {
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{head}")), Some(fault), "{head:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), Some(Fault::CodingTooEarly));
    let fields = "a: b\r\n".repeat(21);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), Some(Fault::Fields));
    let value = "v".repeat(4_096);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\na: {value}\r\n\r\n")), Some(Fault::HeadBytes));
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\na: {value}")), Some(Fault::HeadBytes));
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_no_more() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (passed, fault) = judged(format!("\r\n{request}\r\n{request}").as_bytes());
    assert_eq!((passed, fault), ([request, request].concat().into_bytes(), None));
    assert_eq!(refused(&format!("\r\n\r\n{request}")), Some(Fault::EmptyLines));
    assert_eq!(refused(&format!("\n{request}")), Some(Fault::BareLf));
}

#[test]
fn what_follows_a_wish_for_another_protocol_waits_for_the_decision() {
    let upgrade =
        "POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok";
    let next = "GET / HTTP/1.1\r\n\r\n";
    let gate = || {
        let mut gate = Requests::new(LIMITS);
        assert!(matches!(gate.step(upgrade.as_bytes()), Step::Pass(_)));
        assert_eq!(gate.step(b"ok"), Step::Pass(2));
        assert_eq!(gate.step(next.as_bytes()), Step::Held);
        gate
    };
    let mut resumed = gate();
    resumed.resume();
    assert_eq!(resumed.step(next.as_bytes()), Step::Pass(next.len()));
    assert_eq!((resumed.begun(), resumed.step(b"\0")), (2, Step::Fault(Fault::Control)));
    assert_eq!(gate().step(b"\0\n\r"), Step::Held, "it is kept for whoever speaks it");
    // Nobody can switch in HTTP/1.0, nor by an Upgrade that is not nominated.
    passes("GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    passes("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n");
}

#[test]
fn nothing_goes_on_after_a_fault() {
    let mut gate = Requests::new(LIMITS);
    assert_eq!(gate.step(b"\n"), Step::Fault(Fault::BareLf));
    assert_eq!(gate.step(b"GET / HTTP/1.1\r\n\r\n"), Step::Fault(Fault::BareLf));
}

/// Parts of requests, right and wrong.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.0\r\n",
        "Host: a\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "5\r\n",
        "0\r\n",
        "hello",
        ";a=b",
        "Connection: upgrade\r\n",
        "Upgrade: x\r\n",
        "Content-Length: ",
        ":",
        "\0",
        "GET ",
        "/",
    ]);
    prop_oneof![
        5 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..5),
    ]
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        parts in proptest::collection::vec(part(), 0..30),
        size in 1_usize..20,
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(judged_in(&bytes, size), judged_in(&bytes, bytes.len()));
    }

    #[test]
    fn what_is_common_is_valid(line in "[A-Z ]{0,5} ?/[a-z\"`#?% ]{0,5} HTTP/1.[01]?") {
        let line = line.as_bytes();
        let long = Limits { target_bytes: 3, ..LIMITS };
        for limits in [LIMITS, long] {
            prop_assert!(!is_common(line, &limits) || any_request_line(line, &limits) == Ok(false));
        }
    }

    /// hyper has nothing left to refuse.
    #[test]
    fn what_passes_is_a_head_for_others(
        target in "/?[ -~]{0,12}",
        name in "[ -~]{0,6}",
        value in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = format!("GET {target} HTTP/1.1\r\n{name}:").into_bytes();
        bytes.extend(value);
        bytes.extend(b"\r\n\r\n");
        let (passed, fault) = judged_in(&bytes, bytes.len());
        if fault.is_none() && passed.len() == bytes.len() {
            let mut fields = [httparse::EMPTY_HEADER; 4];
            let mut parsed = httparse::Request::new(&mut fields);
            prop_assert!(parsed.parse(&passed).unwrap().is_complete());
            prop_assert!(Uri::try_from(target.as_str()).is_ok(), "{}", target);
        }
    }
}
