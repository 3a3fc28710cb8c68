//! Compressed files: those that lie beside others, and those that are compressed while they are sent.

use std::io::Read;
use std::time::{Duration, SystemTime};

use super::Scene;
use crate::support::Message;

fn text() -> String {
    (0..2_000).map(|line| format!("line {line}\n")).collect()
}

fn gunzipped(response: &Message) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*response.body).read_to_string(&mut text).unwrap();
    text
}

fn coding(response: &Message) -> Option<&str> {
    assert_eq!(response.values("vary"), ["Accept-Encoding"]);
    response.value("content-encoding")
}

#[test]
fn the_best_of_what_lies_beside_is_sent() {
    let scene = Scene::new("sendfile-compression = 'precompressed'");
    for (name, bytes) in [("a.css", "plain"), ("a.css.gz", "gz"), ("a.css.br", "br")] {
        scene.put(name, bytes);
    }
    scene.put("b.css", text());
    for (accept, expected) in [
        ("gzip, br", (Some("br"), "br")),
        ("gzip", (Some("gzip"), "gz")),
        ("zstd, gzip;q=0.5", (Some("gzip"), "gz")),
        ("br;q=0.1, gzip", (Some("gzip"), "gz")),
        ("identity, gzip;q=0.5", (None, "plain")),
        ("gzip;q=0", (None, "plain")),
        ("deflate", (None, "plain")),
    ] {
        let response = scene.get("/a.css", &[("accept-encoding", accept)]);
        assert_eq!((coding(&response), response.text().as_str()), expected, "{accept}");
        assert_eq!(response.value("content-type"), Some("text/css"));
        assert_eq!(response.length(), Some(expected.1.len()));
    }
    let plain = scene.get("/b.css", &[("accept-encoding", "gzip")]);
    assert_eq!((coding(&plain), plain.text()), (None, text()), "nothing lies beside it");
}

#[test]
fn each_coding_has_its_own_tag_and_parts() {
    let scene = Scene::new("");
    scene.put("a.css", "plain");
    scene.put("a.css.gz", "gzip!");
    let gzip = ("accept-encoding", "gzip");
    let (plain, coded) = (scene.get("/a.css", &[]), scene.get("/a.css", &[gzip]));
    let tag = coded.value("etag").unwrap();
    assert_ne!(plain.value("etag").unwrap(), tag);
    let part = scene.get("/a.css", &[gzip, ("range", "bytes=0-1"), ("if-range", tag)]);
    assert_eq!((part.status(), coding(&part), part.text().as_str()), (206, Some("gzip"), "gz"));
    let other = scene.get("/a.css", &[("range", "bytes=0-1"), ("if-range", tag)]);
    assert_eq!((other.status(), other.text().as_str()), (200, "plain"));
    assert_eq!(scene.get("/a.css", &[gzip, ("if-none-match", tag)]).status(), 304);
    let own = scene.get("/a.css", &[gzip, ("x-answer", "etag=\"own\"")]);
    assert_eq!(own.value("etag"), Some("W/\"own\""), "the upstream knows of the plain one only");
}

#[test]
fn what_lies_beside_and_is_older_or_no_file_is_passed_over() {
    let scene = Scene::new("sendfile-compression = 'precompressed'");
    scene.put("a.css", "plain");
    let old = scene.put("a.css.gz", "old");
    let file = std::fs::File::options().write(true).open(old).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
    std::fs::create_dir(scene.path("a.css.br")).unwrap();
    std::fs::write(scene.directory.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", scene.path("a.css.zst")).unwrap();
    let response = scene.get("/a.css", &[("accept-encoding", "gzip, br, zstd")]);
    assert_eq!((coding(&response), response.text().as_str()), (None, "plain"));
}

#[test]
fn text_is_compressed_while_it_is_sent() {
    let scene = Scene::new("");
    scene.put("a.txt", text());
    let response = scene.get("/a.txt", &[("accept-encoding", "gzip")]);
    assert_eq!((response.status(), coding(&response)), (200, Some("gzip")));
    assert!(response.is_chunked() && response.body.len() < text().len() / 2);
    assert_eq!(gunzipped(&response), text());
    assert_eq!(response.value("accept-ranges"), None, "its parts would differ each time");
    let weak = response.value("etag").unwrap();
    assert!(weak.starts_with("W/\""), "{weak}");
    let brotli = scene.get("/a.txt", &[("accept-encoding", "gzip, br")]);
    let mut again = String::new();
    brotli::Decompressor::new(&*brotli.body, 4096).read_to_string(&mut again).unwrap();
    assert_eq!((coding(&brotli), again), (Some("br"), text()));
    let head = scene.ask("HEAD", "/a.txt", &[("accept-encoding", "gzip")]);
    assert_eq!((coding(&head), head.length()), (Some("gzip"), None));
    let again = scene.get("/a.txt", &[("accept-encoding", "gzip"), ("if-none-match", weak)]);
    assert_eq!((again.status(), again.value("etag")), (304, Some(weak)));
    let plain = scene.get("/a.txt", &[("accept-encoding", "br;q=0.5, identity")]);
    assert_eq!((coding(&plain), plain.text()), (None, text()));
}

#[test]
fn what_is_small_packed_a_part_or_not_to_be_changed_is_sent_as_it_is() {
    let scene = Scene::new("");
    scene.put("small.txt", "small");
    scene.put("a.png", text());
    scene.put("a.txt", text());
    let gzip = ("accept-encoding", "gzip");
    assert_eq!(coding(&scene.get("/small.txt", &[gzip])), None);
    assert_eq!(coding(&scene.get("/a.png", &[gzip])), None);
    let part = scene.get("/a.txt", &[gzip, ("range", "bytes=0-3")]);
    assert_eq!((part.status(), coding(&part), part.text().as_str()), (206, None, "line"));
    let whole = scene.get("/a.txt", &[gzip, ("range", "bytes=0-3"), ("if-range", "\"x\"")]);
    assert_eq!((whole.status(), coding(&whole), whole.text()), (200, None, text()));
    let kept = scene.get("/a.txt", &[gzip, ("x-answer", "cache-control=no-transform")]);
    assert_eq!((coding(&kept), kept.text()), (None, text()));
    let off = Scene::new("sendfile-compression = 'off'");
    off.put("a.txt", text());
    off.put("a.txt.gz", "gz");
    let response = off.get("/a.txt", &[gzip]);
    assert_eq!((response.value("vary"), response.text()), (None, text()));
}
