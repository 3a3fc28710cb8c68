//! What is sent in place of what, and what of the upstream's answer stays.

use super::{JUNK, Scene, expect_discreet};
use crate::support::{Origin, Proxy, one_cluster, reply};

#[test]
fn the_file_goes_in_place_of_the_body() {
    let scene = Scene::new("");
    scene.put("a b.txt", "file");
    for by in ["X-Sendfile", "x-SENDFILE", "X-LIGHTTPD-send-file"] {
        let file = "~/files/a%20b.txt";
        let response = scene.get("/", &[("x-file", file), ("x-by", by)]);
        assert_eq!((response.status(), response.text().as_str()), (200, "file"), "{by}");
        assert_eq!(response.value("content-type"), Some("text/plain"));
        assert_eq!(response.value("accept-ranges"), Some("bytes"));
        assert_eq!(response.length(), Some(4));
        assert!(response.value("etag").is_some_and(|etag| etag.starts_with('"')));
        assert!(response.value("last-modified").is_some_and(|date| date.ends_with("GMT")));
    }
    assert_eq!(scene.get("/missing", &[]).status(), 404);
    let outside = scene.get("/", &[("x-file", "/etc/passwd")]);
    assert_eq!((outside.status(), outside.text().as_str()), (403, "403 Forbidden\n"));
    assert_eq!((scene.count("served"), scene.count("missing"), scene.count("refused")), (3, 1, 1));
}

#[test]
fn a_cluster_without_roots_sends_its_own_body() {
    let scene = Scene::with(tempfile::tempdir().unwrap(), "");
    let etc = "/etc/passwd";
    for by in ["X-Sendfile", "X-LIGHTTPD-send-file", "X-Accel-Redirect"] {
        let response = scene.get("/", &[("x-file", etc), ("x-by", by)]);
        assert_eq!((response.status(), response.text().as_str()), (200, JUNK), "{by}");
    }
    assert_eq!(scene.count("served") + scene.count("refused"), 0);
}

#[test]
fn a_router_s_own_address_sends_its_own_body() {
    let origin = Origin::answering(|_| reply(200, &[("x-sendfile", "/etc/passwd")], JUNK));
    let address = origin.address();
    let proxy = Proxy::start_with(
        &format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
             [plugins.forwards]\ngrants = {{ addresses = ['{address}'] }}\n\
             [defaults.cluster]\nsendfile-roots = ['/etc']\n\
             [clusters.other]\nendpoints = ['{address}']\n"
        ),
        &["forwards"],
    );
    let to = format!("http://{address}");
    let response = proxy.connect().ask("GET", "/", &[("x-to", &to)], b"");
    assert_eq!((response.status(), response.text().as_str()), (200, JUNK));
    expect_discreet(&response);
}

#[test]
fn what_is_said_to_the_proxy_alone_stays_with_it() {
    let secrets = [
        ("X-LIGHTTPD-send-tempfile", "/tmp/files"),
        ("X-Sendfile2", "/files 0-3"),
        ("X-Rewrite-URI", "/"),
        ("X-Rewrite-Host", "a"),
        ("X-Rewrite-Backend", "b"),
        ("X-Accel-Expires", "10"),
        ("X-Accel-Buffering", "no"),
        ("X-Accel-Charset", "utf-8"),
        ("X-Accel-Limit-Rate", "100"),
        ("X-Acceleration", "stays"),
    ];
    let origin = Origin::answering(move |_| reply(200, &secrets, JUNK));
    for cluster in ["", "sendfile-roots = ['/usr']"] {
        let proxy = Proxy::start(&one_cluster(&[origin.address()], "", cluster));
        let response = proxy.get("/");
        assert_eq!(response.text(), JUNK, "none of them names a file that is sent");
        expect_discreet(&response);
        assert_eq!(response.value("x-acceleration"), Some("stays"));
    }
}

#[test]
fn a_client_s_own_field_is_not_heeded() {
    let scene = Scene::new("");
    scene.put("a", "file");
    let origin = Origin::answering(|request| {
        let own = request.value("x-sendfile").unwrap_or("none").to_owned();
        reply(200, &[], own)
    });
    let roots = format!("sendfile-roots = [{:?}]", scene.path(""));
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", &roots));
    let path = scene.path("a");
    let path = path.to_str().unwrap();
    assert_eq!(proxy.connect().ask("GET", "/", &[("x-sendfile", path)], b"").text(), path);
}

/// An upstream that repeats what it was asked with is one that names files, if it is trusted to.
#[test]
fn a_client_s_field_that_comes_back_is_the_upstream_s_word() {
    let scene = Scene::new("");
    scene.put("a", "file");
    let origin = Origin::answering(|request| {
        let fields = request.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields = fields.filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-"));
        reply(200, &fields.collect::<Vec<_>>(), "ok")
    });
    let roots = format!("sendfile-roots = [{:?}]", scene.path(""));
    let below = scene.path("a");
    for (cluster, file, expected) in [
        ("", "/etc/passwd", (200, "ok")),
        ("", below.to_str().unwrap(), (200, "ok")),
        (roots.as_str(), "/etc/passwd", (403, "403 Forbidden\n")),
        (&roots, below.to_str().unwrap(), (200, "file")),
    ] {
        let proxy = Proxy::start(&one_cluster(&[origin.address()], "", cluster));
        let fields = [("X-Sendfile", file), ("x-echo", "yes")];
        let response = proxy.connect().ask("GET", "/", &fields, b"");
        assert_eq!((response.status(), response.text().as_str()), expected, "{cluster} {file}");
        assert_eq!(origin.requests().last().unwrap().value("x-sendfile"), Some(file));
        let echo = (response.status() == 200).then_some("yes");
        assert_eq!(response.value("x-echo"), echo, "it is the echo that is answered with");
        expect_discreet(&response);
    }
}

#[test]
fn the_upstream_s_fields_stay_but_for_those_of_its_body() {
    let scene = Scene::new("");
    scene.put("a.bin", "file");
    let answer = |pair| ("x-answer", pair);
    let response = scene.get(
        "/a.bin",
        &[
            answer("set-cookie=a=1"),
            answer("set-cookie=b=2"),
            answer("cache-control=private"),
            answer("content-disposition=attachment; filename=x"),
            answer("content-type=video/x-own"),
            answer("content-encoding=gzip"),
            answer("content-range=bytes 0-3/4"),
            answer("content-digest=sha-256=:AAAA:"),
            answer("vary=Cookie"),
        ],
    );
    assert_eq!((response.status(), response.text().as_str()), (200, "file"));
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
    for (name, value) in [
        ("cache-control", Some("private")),
        ("content-disposition", Some("attachment; filename=x")),
        ("content-type", Some("video/x-own")),
        ("content-encoding", None),
        ("content-range", None),
        ("content-digest", None),
    ] {
        assert_eq!(response.value(name), value, "{name}");
    }
    assert_eq!(response.values("vary"), ["Cookie", "Accept-Encoding"]);
}

#[test]
fn a_status_other_than_200_stays() {
    let scene = Scene::new("");
    scene.put("sorry.html", "<p>sorry");
    let range = ("range", "bytes=0-1");
    for (status, expected) in [("404", 404), ("503", 503), ("201", 201), ("206", 200)] {
        let response =
            scene.get("/sorry.html", &[("x-status", status), ("if-none-match", "\"x\"")]);
        assert_eq!((response.status(), response.text().as_str()), (expected, "<p>sorry"));
    }
    let response = scene.get("/sorry.html", &[("x-status", "404"), range, ("if-none-match", "*")]);
    assert_eq!((response.status(), response.text().as_str()), (404, "<p>sorry"), "no conditions");
    for (status, expected) in [("404", 404), ("500", 500), ("302", 404), ("201", 404)] {
        assert_eq!(scene.get("/none", &[("x-status", status)]).status(), expected);
    }
    for status in ["204", "304"] {
        let response = scene.get("/sorry.html", &[("x-status", status)]);
        assert_eq!(response.status().to_string(), status);
    }
}

#[test]
fn get_head_and_post_get_the_file_and_no_other_method() {
    let scene = Scene::new("");
    scene.put("a.txt", "file");
    let head = scene.ask("HEAD", "/a.txt", &[("range", "bytes=0-1")]);
    assert_eq!((head.status(), head.length(), head.text().as_str()), (200, Some(4), ""));
    assert!(head.value("etag").is_some());
    assert_eq!(scene.ask("HEAD", "/none", &[]).status(), 404);
    let post = scene.ask("POST", "/a.txt", &[("range", "bytes=0-1"), ("if-none-match", "*")]);
    assert_eq!((post.status(), post.text().as_str()), (200, "file"));
    for method in ["PUT", "DELETE", "OPTIONS"] {
        assert_eq!(scene.ask(method, "/a.txt", &[]).text(), JUNK, "{method}");
    }
}

#[test]
fn a_redirect_goes_by_the_longest_of_the_prefixes() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["all", "films"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join(name).join("a b"), name).unwrap();
    }
    let prefixes = format!(
        "sendfile-prefixes = {{ '/protected/' = {:?}, '/protected/films/' = {:?} }}",
        directory.path().join("all"),
        directory.path().join("films")
    );
    let scene = Scene::with(directory, &prefixes);
    for (value, by, expected) in [
        ("/protected/a%20b", "X-Accel-Redirect", (200, "all")),
        ("/protected/films/a%20b?t=1", "x-accel-redirect", (200, "films")),
        ("/protected/films/../a b", "X-Accel-Redirect", (200, "all")),
        ("/protected/none", "X-Accel-Redirect", (404, "404 Not Found\n")),
        ("/other/a", "X-Accel-Redirect", (403, "403 Forbidden\n")),
        ("/protected/../../etc/passwd", "X-Accel-Redirect", (403, "403 Forbidden\n")),
        ("@named", "X-Accel-Redirect", (403, "403 Forbidden\n")),
        ("~/films/a b", "X-Sendfile", (200, "films")),
    ] {
        let response = scene.get("/", &[("x-file", value), ("x-by", by)]);
        assert_eq!((response.status(), response.text().as_str()), expected, "{value}");
    }
}

#[test]
fn a_refusal_says_why_in_the_log_and_nowhere_else() {
    let scene = Scene::new("");
    let response = scene.get("/", &[("x-file", "/etc/shadow")]);
    assert_eq!(response.text(), "403 Forbidden\n");
    let line = &scene.proxy.access(1)[0];
    let endpoint = scene.origin.address();
    assert_eq!(
        line["error"],
        format!("{endpoint}: X-Sendfile \"/etc/shadow\": it is outside of every root")
    );
    assert_eq!(scene.proxy.counter("linkspan_errors", &[("reason", "sendfile")]), 1);
    scene.put("a", "file");
    scene.get("/a", &[]);
    let line = &scene.proxy.access(2)[1];
    assert_eq!((&line["bytes_down"], &line["error"]), (&4.into(), &serde_json::Value::Null));
}

#[test]
fn rewriters_see_the_response_with_the_file() {
    let scene = Scene::new(
        "rewriters = ['late']\n[plugins.late]\ncomponent = 'headers'\n\
         [plugins.late.config.response]\nset = { x-late = 'yes' }\nremove = ['etag']",
    );
    scene.put("a", "file");
    let response = scene.get("/a", &[]);
    assert_eq!((response.value("x-late"), response.value("etag")), (Some("yes"), None));
    assert_eq!(response.text(), "file");
}
