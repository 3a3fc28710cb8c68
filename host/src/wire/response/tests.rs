//! What the gate for responses lets pass, and what it says of the rest.

use super::*;

const LIMITS: Limits = Limits { head_bytes: 4_096, fields: 60, target_bytes: 0 };

/// What goes on, what informational responses there were, what stops it and whether another request
/// could be sent.
type Judged = (String, Vec<String>, Option<Fault>, bool);

fn judged_in(asked: Asked, bytes: &[u8], size: usize) -> Judged {
    let mut gate = Responses::new(LIMITS);
    gate.ask(asked);
    let (mut passed, mut kept, mut interims) = (Vec::new(), Vec::new(), Vec::new());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    for piece in bytes.chunks(size) {
        kept.extend_from_slice(piece);
        while !kept.is_empty() {
            match gate.step(&kept) {
                Step::Pass(count) => passed.extend(kept.drain(..count)),
                Step::Interim(count) => interims.push(text(kept.drain(..count).collect())),
                Step::More => break,
                Step::Fault(fault) => return (text(passed), interims, Some(fault), gate.is_idle()),
                other => panic!("{other:?}"),
            }
        }
    }
    (text(passed), interims, None, gate.is_idle())
}

#[track_caller]
fn judged(asked: Asked, text: &str) -> Judged {
    let whole = judged_in(asked, text.as_bytes(), text.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(judged_in(asked, text.as_bytes(), size), whole, "pieces of {size}");
    }
    whole
}

const GET: Asked = Asked { head: false, upgrade: false };
const HEAD: Asked = Asked { head: true, upgrade: false };
const UPGRADE: Asked = Asked { head: false, upgrade: true };

#[test]
fn responses_end_where_they_say() {
    for (asked, text) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (GET, "HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok"),
        (GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        (GET, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ] {
        assert_eq!(judged(asked, text), (text.to_owned(), vec![], None, true), "{text:?}");
        // What comes then was not asked for, even if it came along.
        let (passed, _, fault, idle) = judged(asked, &format!("{text}HTTP/1.1 200 evil\r\n\r\n"));
        assert_eq!((&*passed, fault, idle), (text, Some(Fault::Unasked), false), "{text:?}");
    }
    for text in ["HTTP/1.0 200 OK\r\n\r\nhello\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhe"]
    {
        assert_eq!(judged(GET, text), (text.to_owned(), vec![], None, false), "{text:?}");
    }
}

#[test]
fn what_is_no_response_is_refused() {
    for (text, fault) in [
        ("<html>hello", Fault::StatusLine),
        ("\r\n", Fault::StatusLine),
        ("HTTP/1.1 2000 OK\r\n", Fault::StatusLine),
        ("HTTP/1.1 20 OK\r\n", Fault::StatusLine),
        ("HTTP/1.1  200 OK\r\n", Fault::StatusLine),
        ("HTTP/1.1\r\n", Fault::StatusLine),
        ("HTTP/1.1 099 X\r\n", Fault::Status),
        ("HTTP/1.2 200 OK\r\n", Fault::Version),
        ("HTTP/1.1 200 OK\n", Fault::BareLf),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Fault::Folded),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", Fault::Control),
        ("HTTP/1.1 302 Found\r\nLocation: /a\rSet-Cookie: x\r\n\r\n", Fault::Control),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Fault::Length),
        ("HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Fault::Switch),
    ] {
        let (passed, _, found, idle) = judged(GET, text);
        assert_eq!((&*passed, found, idle), ("", Some(fault), false), "{text:?}");
    }
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx";
    assert_eq!(judged(GET, chunks).2, Some(Fault::ChunkTooLarge));
    let beside = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(judged(GET, beside).2, Some(Fault::LengthAndCoding));
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(judged(GET, old).2, Some(Fault::CodingTooEarly));
}

#[test]
fn informational_responses_are_set_apart() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (passed, interims, fault, idle) = judged(GET, &format!("{hint}{hint}{answer}"));
    assert_eq!((&*passed, fault, idle), (answer, None, true));
    assert_eq!(interims, [hint, hint]);
    let most = hint.repeat(100);
    assert_eq!(judged(GET, &format!("{most}{answer}")).0, answer);
    assert_eq!(judged(GET, &format!("{most}{hint}{answer}")).2, Some(Fault::Interims));
}

#[test]
fn another_protocol_begins_when_both_sides_say_so() {
    let agreed = "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0raw\n";
    assert_eq!(judged(UPGRADE, agreed), (agreed.to_owned(), vec![], None, false));
    let half = "HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n";
    assert_eq!(judged(UPGRADE, half).2, Some(Fault::Switch));
}

#[test]
fn nothing_is_expected_before_it_was_asked_for() {
    let mut gate = Responses::new(LIMITS);
    assert!(gate.is_idle());
    assert_eq!(gate.step(b"HTTP/1.1 200 OK\r\n\r\n"), Step::Fault(Fault::Unasked));
    gate.ask(GET);
    assert_eq!((gate.is_idle(), gate.fault()), (false, Some(Fault::Unasked)));
}
