//! Conditional requests (RFC 9110, 13).

use super::Scene;

#[test]
fn what_the_client_has_is_not_sent_again() {
    let scene = Scene::new("");
    scene.put("a.txt", "file");
    let first = scene.get("/a.txt", &[]);
    let (etag, date) = (first.value("etag").unwrap(), first.value("last-modified").unwrap());
    for condition in [
        ("if-none-match", etag),
        ("if-none-match", &format!("\"x\", W/{etag}")),
        ("if-none-match", "*"),
        ("if-modified-since", date),
    ] {
        for method in ["GET", "HEAD"] {
            let response =
                scene.ask(method, "/a.txt", &[condition, ("x-answer", "set-cookie=a=1")]);
            assert_eq!(response.status(), 304, "{method} {condition:?}");
            assert_eq!(response.value("etag"), Some(etag));
            assert_eq!(response.value("set-cookie"), Some("a=1"));
            assert_eq!(response.value("content-type"), None);
        }
    }
    for condition in [
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("if-match", etag),
        ("if-unmodified-since", date),
    ] {
        assert_eq!(scene.get("/a.txt", &[condition]).text(), "file", "{condition:?}");
    }
    for condition in
        [("if-match", "\"x\""), ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT")]
    {
        let response = scene.get("/a.txt", &[condition]);
        assert_eq!((response.status(), response.length()), (412, Some(0)), "{condition:?}");
    }
    assert_eq!(scene.count("missing"), 0);
}

#[test]
fn a_changed_file_has_another_tag() {
    let scene = Scene::new("");
    let path = scene.put("a.txt", "file");
    let first = scene.get("/a.txt", &[]);
    std::fs::write(&path, "elif").unwrap();
    let second = scene.get("/a.txt", &[("if-none-match", first.value("etag").unwrap())]);
    assert_eq!((second.status(), second.text().as_str()), (200, "elif"));
}

#[test]
fn the_upstream_s_validators_go_before_the_file_s() {
    let scene = Scene::new("");
    scene.put("a.txt", "file");
    let old = "Sat, 01 Jan 2000 00:00:00 GMT";
    let dated = format!("last-modified={old}");
    let own = [("x-answer", "etag=\"own\""), ("x-answer", dated.as_str())];
    let with = |more: &[(&'static str, &'static str)]| {
        let fields: Vec<_> = own.iter().copied().chain(more.iter().copied()).collect();
        scene.get("/a.txt", &fields)
    };
    let plain = with(&[]);
    assert_eq!(plain.value("etag"), Some("\"own\""));
    assert_eq!(plain.value("last-modified"), Some(old));
    assert_eq!(with(&[("if-none-match", "\"own\"")]).status(), 304);
    assert_eq!(with(&[("if-modified-since", "Sun, 02 Jan 2000 00:00:00 GMT")]).status(), 304);
    assert_eq!(with(&[("range", "bytes=1-2"), ("if-range", "\"own\"")]).text(), "il");
    assert_eq!(with(&[("range", "bytes=1-2"), ("if-range", old)]).text(), "il");
    assert_eq!(with(&[("range", "bytes=1-2"), ("if-range", "\"other\"")]).text(), "file");
}
