//! Answers as servers give them, whole and in pieces, and as they must not be.

use proptest::prelude::*;

use super::*;

const MAX: usize = 100;

/// Reads an answer that arrives in one piece.
fn read(request: &Request<'_>, bytes: &[u8]) -> Result<Progress, Broken> {
    request.read("key", bytes, MAX)
}

fn complete(reply: Reply) -> Result<Progress, Broken> {
    Ok(Progress::Complete(reply))
}

fn written(request: &Request<'_>) -> String {
    let mut out = Vec::new();
    request.write("key", &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn requests_are_lines_and_a_value() {
    assert_eq!(written(&Request::Get), "get key\r\n");
    assert_eq!(written(&Request::Set(b"a\r\nb", 60)), "set key 0 60 4\r\na\r\nb\r\n");
    assert_eq!(written(&Request::Add(b"", -1)), "add key 0 -1 0\r\n\r\n");
    assert_eq!(written(&Request::Delete), "delete key\r\n");
    assert_eq!(written(&Request::Increment(u64::MAX)), format!("incr key {}\r\n", u64::MAX));
}

#[test]
fn what_servers_answer() {
    let refused = |words: &str| Reply::Refused(words.to_owned());
    let (set, add) = (Request::Set(b"", 0), Request::Add(b"", 0));
    let increment = Request::Increment(1);
    for (request, line, reply) in [
        (Request::Get, "END", Reply::Missing),
        (Request::Get, "SERVER_ERROR out of memory", refused("out of memory")),
        (Request::Get, "ERROR", refused("ERROR")),
        (Request::Get, "CLIENT_ERROR bad\u{1}\u{7f} thing", refused("bad thing")),
        (set, "STORED", Reply::Done),
        (set, "NOT_STORED", refused("NOT_STORED")),
        (set, "SERVER_ERROR object too large for cache", Reply::TooLarge),
        (set, "SERVER_ERROR out of memory storing object", refused("out of memory storing object")),
        (add, "STORED", Reply::Done),
        (add, "NOT_STORED", Reply::Present),
        (Request::Delete, "DELETED", Reply::Done),
        (Request::Delete, "NOT_FOUND", Reply::Missing),
        (increment, "0", Reply::Number(0)),
        (increment, "18446744073709551615", Reply::Number(u64::MAX)),
        (increment, "NOT_FOUND", Reply::Missing),
        (
            increment,
            "CLIENT_ERROR cannot increment or decrement non-numeric value",
            Reply::NotANumber,
        ),
    ] {
        let answer = read(&request, format!("{line}\r\n").as_bytes());
        assert_eq!(answer, complete(reply), "{request:?}: {line}");
    }
    assert_eq!(
        read(&Request::Get, b"VALUE key 32 4\r\na\r\nb\r\nEND\r\n"),
        complete(Reply::Value(b"a\r\nb".to_vec()))
    );
    assert_eq!(
        read(&Request::Get, b"VALUE key 0 0\r\n\r\nEND\r\n"),
        complete(Reply::Value(Vec::new()))
    );
}

#[test]
fn what_is_no_answer() {
    let get = |bytes: &str| read(&Request::Get, bytes.as_bytes()).unwrap_err();
    assert_eq!(get("VALUE other 0 1\r\nx\r\nEND\r\n"), Broken::OtherKey);
    assert_eq!(get("VALUE key 0 101\r\n"), Broken::Giant(101));
    assert_eq!(get(&format!("VALUE key 0 {}\r\n", u64::MAX)), Broken::Giant(u64::MAX));
    assert_eq!(get("END\r\nEND\r\n"), Broken::Surplus);
    assert_eq!(get("END\r\nx"), Broken::Surplus);
    assert_eq!(get("VALUE key 0 1\r\nx\r\nEND\r\ny"), Broken::Surplus);
    assert_eq!(get(&"x".repeat(LINE_BYTES)), Broken::LongLine);
    for unfit in [
        "STORED\r\n",
        "END\n",
        "\r\n",
        "end\r\n",
        "VALUE key 0\r\n",
        "VALUE key 0 -1\r\n",
        "VALUE key 0 +1\r\n",
        "VALUE key x 1\r\n",
        "VALUE key 0 1 7\r\n",
        "VALUE  key 0 1\r\n",
        "VALUE key 0 99999999999999999999\r\n",
        "VALUE key 0 1\r\nxy",
        "VALUE key 0 1\r\nx\r\nVALUE",
        "HTTP/1.1 400 Bad Request\r\n",
    ] {
        assert!(matches!(get(unfit), Broken::Unfit(_)), "{unfit:?}");
    }
    let increment = |bytes: &str| read(&Request::Increment(1), bytes.as_bytes());
    assert!(increment("18446744073709551616\r\n").is_err());
    assert!(increment("1 \r\n").is_err());
    assert!(increment("END\r\n").is_err());
    assert!(read(&Request::Delete, b"STORED\r\n").is_err());
}

fn requests() -> [Request<'static>; 5] {
    let (set, add) = (Request::Set(b"v", 0), Request::Add(b"v", 0));
    [Request::Get, set, add, Request::Delete, Request::Increment(1)]
}

proptest! {
    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut(value in prop::collection::vec(any::<u8>(), 0..=MAX)) {
        let mut bytes = format!("VALUE key 7 {}\r\n", value.len()).into_bytes();
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(b"\r\nEND\r\n");
        for cut in 0..bytes.len() {
            match read(&Request::Get, &bytes[..cut]) {
                Ok(Progress::More(most)) => prop_assert!(most >= cut),
                other => prop_assert!(false, "cut at {cut}: {other:?}"),
            }
        }
        prop_assert_eq!(read(&Request::Get, &bytes), complete(Reply::Value(value)));
        bytes.push(b'x');
        prop_assert_eq!(read(&Request::Get, &bytes), Err(Broken::Surplus));
    }

    #[test]
    fn garbage_is_neither_a_panic_nor_waited_for_without_bound(
        begin in prop::sample::select(vec!["", "VALUE ", "VALUE key ", "VALUE key 0 9\r\n", "SERVER_ERROR ", "1"]),
        rest in prop::collection::vec(any::<u8>(), 0..3_000),
    ) {
        let bytes = [begin.as_bytes(), &rest].concat();
        for request in requests() {
            // As a connection reads: never more than it was told to.
            let mut arrived = 0;
            while let Ok(Progress::More(most)) = read(&request, &bytes[..arrived]) {
                prop_assert!(most < LINE_BYTES + MAX + END.len());
                prop_assert!(most >= arrived, "there is room for more");
                if arrived == bytes.len() {
                    break;
                }
                arrived = bytes.len().min(most + 1);
            }
        }
    }

    #[test]
    fn a_line_is_an_answer_or_not_and_never_another_keys(key in "[!-~]{1,20}", length in 0_u64..200) {
        let line = format!("VALUE {key} 0 {length}\r\n");
        match Request::Get.read("key", line.as_bytes(), MAX) {
            Ok(Progress::More(_)) => prop_assert!(key == "key" && length <= 100),
            Ok(Progress::Complete(_)) => prop_assert!(false, "complete"),
            Err(error) => prop_assert!(key != "key" || error == Broken::Giant(length)),
        }
    }
}
