//! Parts of files, as players and download managers ask for them (RFC 9110, 14).

use super::Scene;
use crate::support::Message;

const VIDEO: &str = "0123456789abcdefghij";

fn scene() -> Scene {
    let scene = Scene::new("");
    scene.put("v.mp4", VIDEO);
    scene
}

fn part(response: &Message) -> (u16, Option<&str>, String) {
    (response.status(), response.value("content-range"), response.text())
}

#[test]
fn a_player_gets_the_parts_that_it_seeks() {
    let scene = scene();
    let mut player = scene.proxy.connect();
    for (range, content_range, bytes) in [
        ("bytes=0-", "bytes 0-19/20", VIDEO),
        ("bytes=0-3", "bytes 0-3/20", "0123"),
        ("bytes=10-99", "bytes 10-19/20", "abcdefghij"),
        ("bytes=-2", "bytes 18-19/20", "ij"),
        ("bytes=19-19", "bytes 19-19/20", "j"),
        ("bytes=2-3,4-5", "bytes 2-5/20", "2345"),
    ] {
        let response = player.ask("GET", "/v.mp4", &[("range", range)], b"");
        assert_eq!(part(&response), (206, Some(content_range), bytes.to_owned()), "{range}");
        assert_eq!(response.length(), Some(bytes.len()));
        assert_eq!(response.value("content-type"), Some("video/mp4"));
    }
    for range in ["bytes=20-", "bytes=-0", "bytes=99-100,200-"] {
        let response = player.ask("GET", "/v.mp4", &[("range", range)], b"");
        assert_eq!(part(&response), (416, Some("bytes */20"), String::new()), "{range}");
    }
    for range in ["bytes=3-2", "bytes=x", "seconds=0-1", "bytes=0-,-20,0-1, 1-"] {
        let response = player.ask("GET", "/v.mp4", &[("range", range)], b"");
        assert_eq!(response.text(), VIDEO, "{range}");
    }
    assert_eq!(scene.origin.connections(), 1, "and the upstream's connection is used again");
}

#[test]
fn several_parts_come_in_one_body() {
    let scene = scene();
    let response = scene.get("/v.mp4", &[("range", "bytes=0-1, -3")]);
    assert_eq!((response.status(), response.value("content-range")), (206, None));
    let kind = response.value("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let expected = [
        format!("--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/20\r\n\r\n01"),
        format!(
            "\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 17-19/20\r\n\r\nhij"
        ),
        format!("\r\n--{boundary}--\r\n"),
    ];
    assert_eq!(response.text(), expected.concat());
}

#[test]
fn a_part_is_sent_only_of_what_the_client_has_the_rest_of() {
    let scene = scene();
    let first = scene.get("/v.mp4", &[]);
    let (etag, date) = (first.value("etag").unwrap(), first.value("last-modified").unwrap());
    let weak = format!("W/{etag}");
    for (condition, stands) in [
        (etag, true),
        (date, true),
        (&weak, false),
        ("\"other\"", false),
        ("Sat, 01 Jan 2000 00:00:00 GMT", false),
    ] {
        let fields = [("range", "bytes=0-3"), ("if-range", condition)];
        let response = scene.get("/v.mp4", &fields);
        let expected = if stands { (206, "0123") } else { (200, VIDEO) };
        assert_eq!((response.status(), response.text().as_str()), expected, "{condition}");
    }
    // What the client has already is told before parts of it are looked at.
    let fields = [("range", "bytes=99-"), ("if-none-match", etag)];
    assert_eq!(scene.get("/v.mp4", &fields).status(), 304);
}

#[test]
fn an_empty_file_has_no_parts() {
    let scene = Scene::new("");
    scene.put("empty.txt", "");
    let whole = scene.get("/empty.txt", &[("accept-encoding", "gzip")]);
    assert_eq!((whole.status(), whole.length()), (200, Some(0)));
    let first = scene.get("/empty.txt", &[("range", "bytes=0-")]);
    assert_eq!(part(&first), (416, Some("bytes */0"), String::new()));
    assert_eq!(scene.get("/empty.txt", &[("range", "bytes=-1")]).status(), 200);
}
